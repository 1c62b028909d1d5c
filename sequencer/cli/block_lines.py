"""A namespace block as a line of JSON: the same bytes, whether a node told it or an L1 did."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from consensus.numbers import Hash
    from consensus.vocabulary.block import NamespaceBlock


def block_to_json(
    block: "NamespaceBlock", block_hash: "Hash", transactions: Sequence[bytes], *, proved: bool
) -> dict[str, Any]:
    """The fields in their order. `proved`: more than 2/3 of the stake signed it, and that was checked."""
    from sequencer.client.fields import namespace_to_json, to_hex

    return {
        "namespace": namespace_to_json(block.namespace),
        "index": block.index,
        "height": block.height,
        "block_id": to_hex(block.block_id),
        "prev_hash": to_hex(block.prev_hash),
        "hash": to_hex(block_hash),
        "ts_ms": block.ts_ms,
        "tx_count": sum(section.item_count for section in block.sections),
        "byte_count": sum(section.byte_count for section in block.sections),
        "data_root": to_hex(block.data_root),
        "proved": proved,
        "transactions": [to_hex(item) for item in transactions],
    }
