"""Inclusion and fair order, as `ordering.md` words them, judged after a run from what every honest node stored.

Responsible for: the two guarantees over a committed chain. δ is the largest difference between honest clocks, and one
ms for clocks that show whole ones.
Refuses to do: judge lanes whose author made two batches of one seq, and batches behind the lane bound of a quoted
honest report: of those nothing is promised.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consensus.numbers import Digest
from consensus.replica.effects import CommittedBlock


@dataclass(frozen=True)
class Placed:
    """A committed batch: lane and seq, its place in the order, its height, when the first and last honest node had it.

    To have a batch is to have what precedes it in its lane, too. `last_ms` is None if some honest node never had it.
    """

    lane: int
    seq: int
    place: int
    height: int
    first_ms: int
    last_ms: int | None


@dataclass(frozen=True)
class Run:
    """What the guarantees are judged by: the committed chain, who was honest, LANE_REPORT_BATCHES, and δ."""

    blocks: Sequence[CommittedBlock]
    honest: Sequence[int]
    lane_bound: int
    delta_ms: int

    def has_room(self, batch: Placed, block: CommittedBlock) -> bool:
        """Whether the batch is within the lane bound of every honest report that the block's tip quotes."""
        quoted = [report for report in block.tip.reports if report.validator in self.honest]
        return all(batch.seq <= report.lanes[batch.lane].base_seq + self.lane_bound for report in quoted)


def place_batches(
    blocks: Sequence[CommittedBlock],
    arrivals: Mapping[Digest, Mapping[int, int]],
    honest: Sequence[int],
    forked: set[int],
) -> list[Placed]:
    """The committed batches of lanes that nobody forked, with their arrivals."""
    found: list[Placed] = []
    before: dict[tuple[int, int], int] = defaultdict(int)  # (lane, node) → when it had all earlier ones
    complete: dict[tuple[int, int], bool] = defaultdict(lambda: True)
    place = 0
    for block in blocks:
        for batch in block.batches:
            place += 1
            if batch.lane in forked:
                continue
            known = arrivals.get(batch.digest, {})
            times = []
            for node in honest:
                key = (batch.lane, node)
                complete[key] &= node in known
                before[key] = max(before[key], known.get(node, 0))
                if complete[key]:
                    times.append(before[key])
            if times:
                last_ms = max(times) if len(times) == len(honest) else None
                found.append(Placed(batch.lane, batch.seq, place, block.tip.header.height, min(times), last_ms))
    return found


def check_fairness(placed: Sequence[Placed], run: Run) -> int:
    """What every honest node had more than δ before any had another is ordered before it. Returns pairs judged."""
    judged = 0
    for first in placed:
        if first.last_ms is None:
            continue
        for second in placed:
            if first.last_ms + run.delta_ms < second.first_ms:
                has_overtaken = first.place > second.place
                if has_overtaken and not run.has_room(first, run.blocks[second.height - 1]):
                    continue
                judged += 1
                assert not has_overtaken, f"batch {second.place} overtook batch {first.place} unfairly"
    return judged


def check_inclusion(placed: Sequence[Placed], run: Run) -> int:
    """What every honest node had more than δ before a block's parent's time is in it or before it.

    Returns the number of batches looked at.
    """
    for batch in placed:
        if batch.last_ms is None:
            continue
        for block in run.blocks[: batch.height - 1]:
            if batch.last_ms + run.delta_ms < block.tip.justify.body.ts_ms and run.has_room(batch, block):
                raise AssertionError(
                    f"batch {batch.place} belonged into height {block.tip.header.height}, not into {batch.height}"
                )
    return len(placed)
