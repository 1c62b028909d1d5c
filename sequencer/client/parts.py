"""A page of namespace blocks: blocks that may be larger than a page, in parts of whole runs.

Responsible for: the type, its JSON shape, and joining parts.
Refuses to do: verify (`verify.py`) or fetch (`following.py`).

Invariants:
1. Only the first block of a page may begin, and only the last may end, inside a block.
2. Parts are joined only if they are of one block and leave no run out.
"""

from dataclasses import dataclass

from sequencer.client.errors import MalformedAnswer
from sequencer.client.fields import Fields, JsonObject
from sequencer.client.wire import DeliveredBlock, namespace_block_from_json, namespace_block_to_json


@dataclass(frozen=True, slots=True)
class NamespaceBlockPart:
    """A namespace block with `delivered.runs` being its runs from number `first_run` on, of `run_count` in all."""

    delivered: DeliveredBlock
    first_run: int
    run_count: int

    @property
    def next_run(self) -> int:
        """The first run that is not in this part."""
        return self.first_run + len(self.delivered.runs)

    @property
    def is_last(self) -> bool:
        """Whether the block ends with this part."""
        return self.next_run == self.run_count


def part_to_json(part: NamespaceBlockPart) -> JsonObject:
    """The block's shape with `first_run` and `run_count`."""
    return {**namespace_block_to_json(part.delivered), "first_run": part.first_run, "run_count": part.run_count}


def part_from_json(value: object, name: str = "block") -> NamespaceBlockPart:
    """The inverse of `part_to_json`."""
    fields = Fields(value, name)
    part = NamespaceBlockPart(namespace_block_from_json(value), fields.number("first_run"), fields.number("run_count"))
    if part.next_run > part.run_count:
        raise MalformedAnswer(f"{name} has more runs than its run_count says")
    return part


def join_parts(earlier: NamespaceBlockPart, later: NamespaceBlockPart) -> NamespaceBlockPart:
    """One part of both. Raises `MalformedAnswer` unless `later` goes on where `earlier` ends."""
    one, other = earlier.delivered, later.delivered
    if (
        (one.block, one.hash) != (other.block, other.hash)
        or later.first_run != earlier.next_run
        or later.run_count != earlier.run_count
        or not other.runs
    ):
        raise MalformedAnswer(f"the parts of block {one.block.index} do not fit together")
    return NamespaceBlockPart(
        DeliveredBlock(one.block, one.hash, one.runs + other.runs), earlier.first_run, earlier.run_count
    )
