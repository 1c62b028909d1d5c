"""What a node tells of its L1: where a height stands on it, and the batches committed there.

Responsible for: the types and their JSON shapes, one definition for node and client.
Refuses to do: verify: `sequencer derive` reads the L1 itself.

Invariants:
1. Reading what was written gives the same object.
"""

from dataclasses import dataclass
from typing import Literal

from consensus.numbers import Hash, Height
from sequencer.client.errors import MalformedAnswer
from sequencer.client.fields import Fields, JsonObject, to_hex
from sequencer.client.status import Status

BatchName = Literal["posted", "settled"]  # the newest batch of that status
DATA_WORDS = ("held", "calldata")


@dataclass(frozen=True, slots=True)
class L1BatchView:
    """A batch in an L1 block. `data`: `held` with the validators, or `calldata`; `byte_count`: of that calldata."""

    index: int
    first_height: Height
    last_height: Height
    hash: Hash
    previous_hash: Hash
    data: str
    data_hash: Hash
    byte_count: int
    namespaces_root: Hash
    poster: bytes  # 20-byte L1 address
    transaction: bytes  # 32-byte hash
    block_number: int
    block_hash: bytes
    status: Status  # posted or settled


def l1_batch_to_json(batch: L1BatchView) -> JsonObject:
    """The documented shape."""
    return {
        "index": batch.index,
        "first_height": batch.first_height,
        "last_height": batch.last_height,
        "hash": to_hex(batch.hash),
        "previous_hash": to_hex(batch.previous_hash),
        "data": batch.data,
        "data_hash": to_hex(batch.data_hash),
        "byte_count": batch.byte_count,
        "namespaces_root": to_hex(batch.namespaces_root),
        "poster": to_hex(batch.poster),
        "transaction": to_hex(batch.transaction),
        "block_number": batch.block_number,
        "block_hash": to_hex(batch.block_hash),
        "status": batch.status.value,
    }


def l1_batch_from_json(value: object, name: str = "batch") -> L1BatchView:
    """The inverse of `l1_batch_to_json`."""
    fields = Fields(value, name)
    data, word = fields.text("data"), fields.text("status")
    if data not in DATA_WORDS:
        raise MalformedAnswer(f"{name}.data is held or calldata")
    if word not in (Status.POSTED, Status.SETTLED):
        raise MalformedAnswer(f"{name}.status is posted or settled")
    return L1BatchView(
        fields.number("index"),
        Height(fields.number("first_height")),
        Height(fields.number("last_height")),
        fields.hash("hash"),
        fields.hash("previous_hash"),
        data,
        fields.hash("data_hash"),
        fields.number("byte_count"),
        fields.hash("namespaces_root"),
        fields.data("poster", 20),
        fields.hash("transaction"),
        fields.number("block_number"),
        fields.hash("block_hash"),
        Status(word),
    )
