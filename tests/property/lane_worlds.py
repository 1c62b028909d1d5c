"""Committees and lane reports for property tests: honest ones with clocks and arrivals, and whatever a liar says."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from consensus.numbers import Digest, Epoch, Hash, Milliseconds, Seq, Stake, ValidatorIndex, View
from consensus.signing import sha256
from consensus.validators import Validator, ValidatorSet
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.report import LaneReport, LaneRow
from tests.simulation.keys import validator

SENT_MS = 1_000


# Total stakes of 3f, 3f + 1 and 3f + 2, equal and unequal, one validator with up to a third and one with more.
STAKES: tuple[tuple[int, ...], ...] = (
    *((1,) * count for count in range(1, 8)),
    *((1, 1, 1, 1), (1,) * 5, (1,) * 7) * 2,
    (2, 1, 1, 1),
    (3, 2, 2, 2),
    (2, 2, 2, 3, 1),
    (4, 3, 2, 1),
    (5, 1, 1, 1),
    (1, 2, 3, 4, 5),
    (6, 5, 4, 3, 2, 1),
    (3, 3, 2, 2, 2, 2, 1),
    (1, 1, 1, 1, 1, 1, 6),
)


@lru_cache(maxsize=len(STAKES))
def validators(stakes: tuple[int, ...]) -> ValidatorSet:
    """A set with these stakes."""
    entries = [validator(index, 1) for index in range(len(stakes))]
    return ValidatorSet(
        [
            Validator(Stake(stake), entry.node_public_key, entry.bls_public_key, entry.possession)
            for stake, entry in zip(stakes, entries, strict=True)
        ],
        bytes(32),
    )


def digest(lane: int, seq: int, fork: int = 0) -> Digest:
    """The digest of a batch; another `fork` is an equivocating author's other batch."""
    return Digest(sha256(b"%d %d %d" % (lane, seq, fork)))


def report(
    index: int, sent_ms: int, rows: Sequence[tuple[int, Sequence[tuple[Digest, int]]]], anchor: int = 0
) -> LaneReport:
    """An unsigned report; `rows`: (base_seq, [(digest, age_ms)]) by lane."""
    return LaneReport(
        Epoch(0),
        View(1),
        ValidatorIndex(index),
        Milliseconds(sent_ms),
        Anchor(anchor, Hash(sha256(b"l1 %d" % anchor) if anchor else bytes(32))),
        tuple(LaneRow(Seq(base), tuple(batches)) for base, batches in rows),
    )


def any_reports(rng: Random, stakes: tuple[int, ...], bases: Sequence[int] | None = None) -> list[LaneReport]:
    """Reports of a quorum that say anything: lanes with forks (the even ones), wild ages, different anchors.

    `bases`: the highest base_seq that each lane may have; 4 if not given.
    """
    members = _quorum(rng, stakes)
    reports = []
    for index in members:
        rows = []
        for lane in range(len(stakes)):
            base = rng.randrange((4 if bases is None else bases[lane]) + 1)
            seqs = range(base + 1, base + 1 + rng.randrange(5))
            rows.append(
                (
                    base,
                    [
                        (digest(lane, seq, rng.choice((0, 0, 1, 2)) if lane % 2 == 0 else 0), rng.randrange(40))
                        for seq in seqs
                    ],
                )
            )
        reports.append(report(index, SENT_MS + rng.randrange(30), rows, rng.randrange(3)))
    return reports


def _quorum(rng: Random, stakes: Sequence[int]) -> list[int]:
    """Validators that are a quorum, not always a smallest one."""
    members: list[int] = []
    for index in rng.sample(range(len(stakes)), len(stakes)):
        if 3 * sum(stakes[member] for member in members) > 2 * sum(stakes) and rng.random() < 0.7:
            break
        members.append(index)
    return sorted(members)


@dataclass(frozen=True)
class World:
    """Some honest validators with clocks within δ of each other, some liars below a third, and what truly arrived when.

    `arrivals[index][lane]`: the true times at which validator `index` had batches 1, 2 … of the lane.
    """

    stakes: tuple[int, ...]
    liars: frozenset[int]
    skew_ms: int  # δ
    offsets: tuple[int, ...]  # of each clock, 0 to δ
    arrivals: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def honest(self) -> list[int]:
        return [index for index in range(len(self.stakes)) if index not in self.liars]

    def honest_report(self, index: int, now: int, parent_ts_ms: int) -> LaneReport:
        """What the validator reports at true time `now`, having processed the parent."""
        clock = now + self.offsets[index]
        lanes = []
        for lane, times in enumerate(self.arrivals[index]):
            held = [(digest(lane, seq), now - time) for seq, time in enumerate(times, 1) if time <= now]
            lanes.append((0, held))
        return report(index, max(clock, parent_ts_ms), lanes)


def make_world(rng: Random, lanes_filled: int = 2, batches: int = 3, span_ms: int = 60) -> World:
    """See `World`; every validator gets every batch of the first lanes at some time, in lane order."""
    stakes = rng.choice(STAKES)
    count = len(stakes)
    liars: list[int] = []
    for index in rng.sample(range(count), count):
        if 3 * sum(stakes[liar] for liar in [*liars, index]) < sum(stakes) and rng.random() < 0.8:
            liars.append(index)
    skew = rng.choice((0, 3, 12))
    arrivals = tuple(
        tuple(
            tuple(sorted(rng.randrange(span_ms) for _ in range(batches))) if lane < lanes_filled else ()
            for lane in range(count)
        )
        for _ in stakes
    )
    return World(stakes, frozenset(liars), skew, tuple(rng.randrange(skew + 1) for _ in stakes), arrivals)


def quoted(world: World, rng: Random, parent_ts_ms: int) -> list[LaneReport]:
    """R: what a leader may quote of the honest, each made at some time, and whatever the liars say."""
    held, reports = 0, []
    for index in rng.sample(range(len(world.stakes)), len(world.stakes)):
        if 3 * held > 2 * sum(world.stakes) and rng.random() < 0.7:
            break
        held += world.stakes[index]
        if index in world.liars:
            sent_ms = max(parent_ts_ms, rng.randrange(200))
            reports.append(report(index, sent_ms, [_lie(rng, lane) for lane in range(len(world.stakes))]))
        else:
            now = rng.randrange(max(0, parent_ts_ms - world.skew_ms), 160)
            reports.append(world.honest_report(index, now, parent_ts_ms))
    return sorted(reports, key=lambda entry: entry.validator)


def _lie(rng: Random, lane: int) -> tuple[int, list[tuple[Digest, int]]]:
    """True digests more often than not, with ages and a base that help one side or the other."""
    base = rng.choice((0, 0, 0, 1, 3))
    ages = rng.choice(((0, 1), (0, 200), (150, 200)))
    count = rng.randrange(5)
    return base, [
        (digest(lane, seq, rng.choice((0, 0, 0, 1))), rng.randrange(*ages)) for seq in range(base + 1, base + 1 + count)
    ]
