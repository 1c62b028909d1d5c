"""Where a transaction stands on the confirmation ladder: the words, and the answer to a status question.

Responsible for: `Status`, `TransactionStatus` and its JSON shape.
Refuses to do: find anything out.

Invariants:
1. A transaction climbs received → ordered → final → attested → posted → settled; `expired` and `refused` are ends.
2. In JSON every field is present; what is not known yet is null. An older node's answer may lack `places`,
   `received_ms` and `author_away_since_ms`.
3. What has a receipt is never `expired`: while its author is away it stays `received`.
"""

from dataclasses import dataclass
from enum import StrEnum, unique

from consensus.numbers import Digest, Hash, Height, Milliseconds, NamespaceId, NamespaceIndex, Seq, ValidatorIndex
from consensus.vocabulary.receipt import Receipt
from sequencer.client.errors import MalformedAnswer
from sequencer.client.fields import Fields, JsonObject, namespace_to_json, to_hex
from sequencer.client.wire import receipt_from_json, receipt_to_json


@unique
class Status(StrEnum):
    """The rungs, in the order of the ladder, and what is beside it."""

    UNKNOWN = "unknown"  # this node has no record of the hash
    RECEIVED = "received"  # sealed in a batch of this validator, with a receipt
    ORDERED = "ordered"  # a fresh quorum certificate covers the batch
    FINAL = "final"  # committed
    ATTESTED = "attested"  # more than 2/3 of the stake hold the data and signed the resulting block
    POSTED = "posted"  # in an L1 block
    SETTLED = "settled"  # in a finalized L1 block
    EXPIRED = "expired"  # waited too long to be sealed; it never had a receipt
    REFUSED = "refused"  # will never be ordered; `reason` says why


LADDER = (Status.RECEIVED, Status.ORDERED, Status.FINAL, Status.ATTESTED, Status.POSTED, Status.SETTLED)
_RANKS = {status: rank for rank, status in enumerate(LADDER)}
_ENDS = (Status.EXPIRED, Status.REFUSED)


@dataclass(frozen=True, slots=True)
class L1Place:
    """The L1 batch that holds a transaction, and the L1 block that holds the batch."""

    batch_index: int
    transaction: Hash  # of the L1
    block_number: int


@dataclass(frozen=True, slots=True)
class LanePlace:
    """The batch that a receipt names: by it a node that does not know the hash can say where it stands."""

    lane: ValidatorIndex
    seq: Seq
    batch: Digest

    @staticmethod
    def of(receipt: Receipt) -> "LanePlace":
        """What a receipt promises."""
        return LanePlace(receipt.lane, receipt.seq, receipt.batch)

    def to_json(self) -> JsonObject:
        """The documented shape of a parameter."""
        return {"lane": self.lane, "seq": self.seq, "batch": to_hex(self.batch)}


@dataclass(frozen=True, slots=True)
class TransactionPlace:
    """One copy of a transaction: where it stands in a lane, and in its namespace's chain once it is final."""

    lane: ValidatorIndex
    seq: Seq
    index: int
    height: Height | None = None
    namespace_index: NamespaceIndex | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class TransactionStatus:
    """What a node knows of a transaction. Times are ms since 1970; `position` is its place in the namespace block."""

    hash: Hash
    status: Status
    namespace: NamespaceId | None = None
    height: Height | None = None
    namespace_index: NamespaceIndex | None = None
    position: int | None = None
    section: str | None = None
    receipt: Receipt | None = None
    count: int | None = None  # how often the hash was ordered; a repeat is not removed by the network
    ordered_ms: Milliseconds | None = None
    final_ms: Milliseconds | None = None
    attested_ms: Milliseconds | None = None
    l1: L1Place | None = None
    reason: str | None = None  # why it is refused, or why it may never be ordered although it is received
    places: tuple[TransactionPlace, ...] = ()  # of its first copies: final ones in chain order, then those to come
    received_ms: Milliseconds | None = None  # when this node had the batch; None if it does not hold it
    author_away_since_ms: Milliseconds | None = None  # no link with its author since then, or since this node began

    def has_reached(self, status: Status) -> bool:
        """Whether it stands at or above a rung of the ladder."""
        return self.status in _RANKS and _RANKS[self.status] >= _RANKS[status]

    @property
    def has_ended(self) -> bool:
        """Whether it can climb no further: expired or refused."""
        return self.status in _ENDS


def status_to_json(status: TransactionStatus) -> JsonObject:
    """The documented shape."""
    return {
        "hash": to_hex(status.hash),
        "namespace": None if status.namespace is None else namespace_to_json(status.namespace),
        "status": status.status.value,
        "height": status.height,
        "namespace_index": status.namespace_index,
        "position": status.position,
        "section": status.section,
        "receipt": None if status.receipt is None else receipt_to_json(status.receipt),
        "count": status.count,
        "ordered_ms": status.ordered_ms,
        "final_ms": status.final_ms,
        "attested_ms": status.attested_ms,
        "l1": None if status.l1 is None else _l1_place_to_json(status.l1),
        "reason": status.reason,
        "places": [_place_to_json(place) for place in status.places],
        "received_ms": status.received_ms,
        "author_away_since_ms": status.author_away_since_ms,
    }


def _place_to_json(place: TransactionPlace) -> JsonObject:
    return {
        "lane": place.lane,
        "seq": place.seq,
        "index": place.index,
        "height": place.height,
        "namespace_index": place.namespace_index,
        "position": place.position,
    }


def _place_from_json(value: object, name: str) -> TransactionPlace:
    fields = Fields(value, name)
    height, index = fields.number_or_none("height"), fields.number_or_none("namespace_index")
    return TransactionPlace(
        ValidatorIndex(fields.number("lane")),
        Seq(fields.number("seq")),
        fields.number("index"),
        None if height is None else Height(height),
        None if index is None else NamespaceIndex(index),
        fields.number_or_none("position"),
    )


def _l1_place_to_json(place: L1Place) -> JsonObject:
    return {
        "batch_index": place.batch_index,
        "transaction": to_hex(place.transaction),
        "block_number": place.block_number,
    }


def _l1_place_from_json(value: object) -> L1Place:
    fields = Fields(value, "status.l1")
    return L1Place(fields.number("batch_index"), fields.hash("transaction"), fields.number("block_number"))


def status_from_json(value: object) -> TransactionStatus:
    """The inverse of `status_to_json`."""
    fields = Fields(value, "status")

    number = fields.number_or_none

    def newer(key: str) -> int | None:
        return number(key) if key in fields else None

    def text(key: str) -> str | None:
        return None if fields[key] is None else fields.text(key)

    height, index = number("height"), number("namespace_index")
    ordered, final, attested = number("ordered_ms"), number("final_ms"), number("attested_ms")
    received, away = newer("received_ms"), newer("author_away_since_ms")
    return TransactionStatus(
        hash=fields.hash("hash"),
        status=_read_word(fields.text("status")),
        namespace=None if fields["namespace"] is None else fields.namespace(),
        height=None if height is None else Height(height),
        namespace_index=None if index is None else NamespaceIndex(index),
        position=number("position"),
        section=text("section"),
        receipt=None if fields["receipt"] is None else receipt_from_json(fields["receipt"]),
        count=number("count"),
        ordered_ms=None if ordered is None else Milliseconds(ordered),
        final_ms=None if final is None else Milliseconds(final),
        attested_ms=None if attested is None else Milliseconds(attested),
        l1=None if fields["l1"] is None else _l1_place_from_json(fields["l1"]),
        reason=text("reason"),
        places=tuple(fields.items("places", _place_from_json)) if "places" in fields else (),
        received_ms=None if received is None else Milliseconds(received),
        author_away_since_ms=None if away is None else Milliseconds(away),
    )


def _read_word(word: str) -> Status:
    try:
        return Status(word)
    except ValueError as error:
        raise MalformedAnswer(f"status.status is no rung of the ladder: {word[:32]!r}") from error
