"""The ordering rules once more, in the words of their definition and without a thought for speed.

Nothing here is shared with `consensus/ordering`: where the two differ, one of them is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.vocabulary.report import LaneReport

MINUS_INFINITY = float("-inf")


@dataclass(frozen=True)
class Ordered:
    """A batch of the cut."""

    seq: int
    digest: bytes
    arrival: float


class Judge:
    """What a set R of reports determines, for validators with these stakes."""

    def __init__(self, reports: Sequence[LaneReport], stakes: Sequence[int]) -> None:
        self.reports = reports
        self.stakes = stakes
        self.witness = sum(stakes) // 3 + 1
        self.w = min(report.sent_ms for report in reports)

    def stake(self, reports: Sequence[LaneReport]) -> int:
        return sum(self.stakes[report.validator] for report in reports)

    def base_reaches(self, lane: int, s: int) -> list[LaneReport]:
        return [report for report in self.reports if report.lanes[lane].base_seq >= s]

    def s0(self, lane: int) -> int:
        """The largest s such that reports of R with base_seq ≥ s hold witness stake."""
        s = 0
        while self.stake(self.base_reaches(lane, s + 1)) >= self.witness:
            s += 1
        return s

    def listed_at(self, report: LaneReport, lane: int, s: int) -> tuple[bytes, float] | None:
        """What the report lists at s, with the time at which it says it had it."""
        row = report.lanes[lane]
        numbered = dict(enumerate(row.batches, row.base_seq + 1))
        if s not in numbered:
            return None
        digest, age = numbered[s]
        return digest, report.sent_ms - age

    def listing(self, lane: int, s: int, digest: bytes) -> list[tuple[LaneReport, float]]:
        found = [(report, self.listed_at(report, lane, s)) for report in self.reports]
        return [(report, entry[1]) for report, entry in found if entry is not None and entry[0] == digest]

    def support(self, lane: int, s: int, digest: bytes) -> int:
        """Stake listing the digest at s + stake with base_seq ≥ s."""
        return self.stake([report for report, _ in self.listing(lane, s, digest)]) + self.stake(
            self.base_reaches(lane, s)
        )

    def time(self, lane: int, s: int, digest: bytes) -> float:
        """The smallest t such that reports with base_seq ≥ s, or listing it at a time ≤ t, hold witness stake."""
        below = self.stake(self.base_reaches(lane, s))
        listing = self.listing(lane, s, digest)
        for t in sorted(time for _, time in listing):
            if below + self.stake([report for report, time in listing if time <= t]) >= self.witness:
                return t
        raise AssertionError("only asked for where the support is a witness set")

    def lane(self, lane: int) -> tuple[int, list[Ordered]]:
        """s0 and the batches that follow it."""
        s0 = s = self.s0(lane)
        carry = MINUS_INFINITY
        ordered: list[Ordered] = []
        while True:
            s += 1
            digests = {entry[0] for report in self.reports if (entry := self.listed_at(report, lane, s)) is not None}
            live = {
                digest: self.time(lane, s, digest)
                for digest in digests
                if self.support(lane, s, digest) >= self.witness and max(carry, self.time(lane, s, digest)) <= self.w
            }
            if not live:
                return s0, ordered
            most = max(self.stake([report for report, _ in self.listing(lane, s, digest)]) for digest in live)
            chosen = min(
                digest for digest in live if self.stake([report for report, _ in self.listing(lane, s, digest)]) == most
            )
            ordered.append(Ordered(s, chosen, max(carry, live[chosen])))
            carry = max(carry, min(live.values()))


def median(values: Sequence[tuple[int, int]]) -> int:
    """The smallest v with 2 × stake(values ≤ v) ≥ stake of all, for (value, stake)."""
    total = sum(stake for _, stake in values)
    return min(v for v, _ in values if 2 * sum(stake for value, stake in values if value <= v) >= total)


def anchor(reports: Sequence[LaneReport], stakes: Sequence[int]) -> tuple[int, bytes]:
    """The highest pair that a witness set of R reports exactly, else (0, 0)."""
    witness = sum(stakes) // 3 + 1
    pairs = {(report.l1_final.number, bytes(report.l1_final.hash)) for report in reports}
    agreed = [
        pair
        for pair in pairs
        if sum(stakes[report.validator] for report in reports if tuple(report.l1_final) == pair) >= witness
    ]
    return max(agreed, default=(0, bytes(32)))
