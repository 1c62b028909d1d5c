"""What subscriptions tell: the kinds, and the shapes that no other method answers.

Responsible for: `Kind`, the items of a namespace subscription, and how far a namespace's transactions are.
Refuses to do: subscribe (`subscribing.py`) or judge a proof (`verify.py`).

Invariants:
1. An item of a namespace is a part of a block or a proof, never both; the other field is null.
2. A proof follows the block that it names: with the chain of hashes it proves every block before it, too.
"""

from dataclasses import dataclass
from enum import StrEnum, unique

from consensus.genesis import Genesis
from consensus.numbers import Height, NamespaceId, NamespaceIndex, Seq
from sequencer.client.errors import MalformedAnswer
from sequencer.client.fields import Fields, JsonObject, as_number, namespace_to_json
from sequencer.client.parts import NamespaceBlockPart, part_from_json
from sequencer.client.status import LADDER, Status
from sequencer.client.wire import NamespaceProof, proof_from_json


@unique
class Kind(StrEnum):
    """What can be subscribed to."""

    HEADS = "heads"
    NAMESPACE = "namespace"
    TRANSACTIONS = "transactions"
    EVIDENCE = "evidence"


HEAD_STATUSES = (Status.ORDERED, Status.FINAL)

NamespaceItem = NamespaceBlockPart | NamespaceProof


def namespace_item_from_json(value: object, chain: Genesis | None) -> NamespaceItem:
    """An item of a namespace subscription; without a chain a block, since no proof was asked for."""
    fields = Fields(value, "item")
    if (fields["block"] is None) == (fields["proof"] is None):
        raise MalformedAnswer("an item is a block or a proof")
    if fields["block"] is not None:
        return part_from_json(fields["block"])
    if chain is None:
        raise MalformedAnswer("a proof that was not asked for")
    return proof_from_json(fields["proof"], chain)


@dataclass(frozen=True, slots=True)
class NamespaceProgress:
    """All transactions of a namespace in blocks up to `height` have reached `status`.

    With `ordered` come `ends`: for each lane, the last batch that is covered. With `final` comes `index`: the number of
    the namespace's newest block.
    """

    namespace: NamespaceId
    status: Status
    height: Height
    index: NamespaceIndex | None = None
    ends: tuple[Seq, ...] | None = None


def namespace_progress_to_json(progress: NamespaceProgress) -> JsonObject:
    """The documented shape."""
    return {
        "namespace": namespace_to_json(progress.namespace),
        "status": progress.status.value,
        "height": progress.height,
        "index": progress.index,
        "ends": None if progress.ends is None else list(progress.ends),
    }


def namespace_progress_from_json(value: object) -> NamespaceProgress:
    """The inverse of `namespace_progress_to_json`."""
    fields = Fields(value, "progress")
    status = fields.text("status")
    if status not in LADDER:
        raise MalformedAnswer("progress.status is a rung of the ladder")
    return NamespaceProgress(
        fields.namespace(),
        Status(status),
        Height(fields.number("height")),
        None if fields["index"] is None else NamespaceIndex(fields.number("index")),
        None if fields["ends"] is None else tuple(Seq(end) for end in fields.items("ends", as_number)),
    )
