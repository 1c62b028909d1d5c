"""What comes back for submitted transactions: receipts, and what was refused. As JSON and as the fast door's bytes.

Responsible for: `SubmitOutcome` and both its encodings.
Refuses to do: check a receipt's signature (`verify.py`).

Invariants:
1. Every item of a request is in exactly one receipt or is refused. A refused item is named by its number in the
   request, from 0; an accepted one is found in the receipts by its hash.
2. Binary request: repeated `u32 length ‖ transaction`, nothing else: the framing of a segment
   (`consensus/vocabulary/batch.py: Items`).
3. Binary answer: version u8 ‖ list of receipts ‖ list of (item u32 ‖ code i32, two's complement ‖ reason u32 length and
   ASCII ‖ optional retry_after_ms u64 ‖ optional receipt), in the codec of `consensus/encoding.py`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from consensus import limits
from consensus.encoding import Reader, decode_whole, optional, sequence, u8, u32, u64, variable
from consensus.errors import DecodeError
from consensus.numbers import Hash, NamespaceId
from consensus.vocabulary.batch import KIND_OPEN, transaction_id
from consensus.vocabulary.receipt import Receipt
from sequencer.client.errors import MalformedAnswer
from sequencer.client.fields import NUMBER_MAX, Fields, JsonObject, as_bytes, to_hex
from sequencer.client.reasons import reason_of
from sequencer.client.wire import receipt_from_json, receipt_to_json

OUTCOME_VERSION = 1
_REASON_BYTES_MAX = 64
_RECEIPTS_MAX = limits.RECEIPT_ITEMS_MAX  # one per item at worst
_CODE_RANGE = 2**32


@dataclass(frozen=True, slots=True)
class Refused:
    """One item that was not taken. Make it with `refused_item` where only the reason is known."""

    item: int  # its number in the request, from 0
    code: int
    reason: str
    retry_after_ms: int | None = None
    first_receipt: Receipt | None = None  # of an item that is already known


@dataclass(frozen=True, slots=True)
class SubmitOutcome:
    """`hashes` of all items in the order of the request, refused ones included."""

    hashes: tuple[Hash, ...]
    receipts: tuple[Receipt, ...]
    refused: tuple[Refused, ...]


def refused_item(
    item: int, reason: str, retry_after_ms: int | None = None, first_receipt: Receipt | None = None
) -> Refused:
    """A refusal with the code that belongs to the reason's word."""
    return Refused(item, reason_of(reason).code, reason, retry_after_ms, first_receipt)


def encode_outcome(receipts: Sequence[Receipt], refused: Sequence[Refused]) -> bytes:
    """The binary answer (invariant 3)."""
    return (
        u8(OUTCOME_VERSION)
        + sequence([receipt.encode() for receipt in receipts])
        + sequence([_encode_refused(entry) for entry in refused])
    )


def decode_outcome(data: bytes, hashes: Sequence[Hash]) -> SubmitOutcome:
    """The inverse of `encode_outcome`; `hashes` are those of the request. Raises `MalformedAnswer`."""

    def read(reader: Reader) -> SubmitOutcome:
        if reader.u8() != OUTCOME_VERSION:
            raise DecodeError("unknown version of a fast-door answer")
        receipts = reader.sequence(_RECEIPTS_MAX, Receipt.decode)
        return SubmitOutcome(tuple(hashes), receipts, reader.sequence(limits.RECEIPT_ITEMS_MAX, _decode_refused))

    try:
        return decode_whole(data, read)
    except DecodeError as error:
        raise MalformedAnswer(f"fast-door answer: {error}") from error


def _encode_refused(entry: Refused) -> bytes:
    return (
        u32(entry.item)
        + u32(entry.code % _CODE_RANGE)
        + variable(entry.reason.encode())
        + optional(None if entry.retry_after_ms is None else u64(entry.retry_after_ms))
        + optional(None if entry.first_receipt is None else entry.first_receipt.encode())
    )


def _decode_refused(reader: Reader) -> Refused:
    item, code = reader.u32(), reader.u32()
    try:
        reason = reader.variable(_REASON_BYTES_MAX).decode("ascii")
    except UnicodeDecodeError as error:
        raise DecodeError("a reason is an ASCII word") from error
    retry_after_ms = reader.u64() if reader.flag() else None
    first_receipt = Receipt.decode(reader) if reader.flag() else None
    return Refused(
        item, code - _CODE_RANGE if code >= _CODE_RANGE // 2 else code, reason, retry_after_ms, first_receipt
    )


def outcome_to_json(outcome: SubmitOutcome) -> JsonObject:
    """`{hashes, receipts, refused}`."""
    return {
        "hashes": [to_hex(hash) for hash in outcome.hashes],
        "receipts": [receipt_to_json(receipt) for receipt in outcome.receipts],
        "refused": [_refused_to_json(entry) for entry in outcome.refused],
    }


def outcome_from_json(value: object) -> SubmitOutcome:
    """The inverse of `outcome_to_json`."""
    fields = Fields(value, "outcome")
    return SubmitOutcome(
        tuple(fields.items("hashes", lambda item, name: Hash(as_bytes(item, name, 32)))),
        tuple(fields.items("receipts", lambda item, _name: receipt_from_json(item))),
        tuple(fields.items("refused", _refused_from_json)),
    )


def _refused_to_json(entry: Refused) -> JsonObject:
    return {
        "item": entry.item,
        "code": entry.code,
        "reason": entry.reason,
        "retry_after_ms": entry.retry_after_ms,
        "receipt": None if entry.first_receipt is None else receipt_to_json(entry.first_receipt),
    }


def _refused_from_json(value: object, name: str) -> Refused:
    fields = Fields(value, name)
    code = fields["code"]
    if isinstance(code, bool) or not isinstance(code, int) or not -NUMBER_MAX <= code <= NUMBER_MAX:
        raise MalformedAnswer(f"{name}.code is an error code")
    receipt = fields["receipt"]
    return Refused(
        fields.number("item"),
        code,
        fields.text("reason"),
        None if fields["retry_after_ms"] is None else fields.number("retry_after_ms"),
        None if receipt is None else receipt_from_json(receipt),
    )


def account_for(namespace: NamespaceId, items: Sequence[bytes], outcome: SubmitOutcome) -> SubmitOutcome:
    """The outcome with the items' hashes. Raises `MalformedAnswer` unless each is in one receipt or refused."""
    hashes = tuple(transaction_id(namespace, KIND_OPEN, item) for item in items)
    refused = {entry.item for entry in outcome.refused}
    wanted = Counter(hash for place, hash in enumerate(hashes) if place not in refused)
    promised = [item for receipt in outcome.receipts for item in receipt.items]
    found = Counter(item.hash for item in promised)
    if any((item.namespace, item.kind) != (namespace, KIND_OPEN) for item in promised):
        raise MalformedAnswer("the receipts do not account for transactions of this namespace")
    if wanted != found or len(refused) != len(outcome.refused) or not refused <= set(range(len(items))):
        raise MalformedAnswer("the receipts and refusals do not account for every transaction")
    return SubmitOutcome(hashes, outcome.receipts, outcome.refused)
