"""What one schedule is like, drawn from its seed: who takes part, who is Byzantine, and how bad the world is.

Responsible for: the draw. Each world has a few kinds of faults and not the others, so that every kind also meets a
network that is otherwise well; a few have them all.
Refuses to do: make the faults (`faults.py`).
"""

import random
from dataclasses import dataclass

COMMITTEES: tuple[tuple[int, ...], ...] = (
    (1, 1, 1, 1),
    (1, 1, 1, 1),
    (1, 1, 1, 1),
    (1, 1, 1, 1),
    (3, 2, 2, 3),
    (2, 1, 1, 2),
    (1, 1, 1, 1, 1),
    (5, 1, 4, 3, 3),
    (1, 1, 1, 1, 1, 1, 1),
    (2, 1, 1, 1, 1, 1, 1),
    (3, 3, 1, 1, 1, 1),
)
LARGE: tuple[tuple[int, ...], ...] = ((1,) * 10, (1,) * 16, (3,) * 5 + (1,) * 12, (1,) * 31)


@dataclass(frozen=True)
class Shape:
    """See the module. Rates are probabilities per message, effect or tick; times are ms."""

    stakes: tuple[int, ...]
    byzantine: tuple[int, ...]
    attack: float  # moves of each Byzantine validator per tick, on average
    latency_ms: tuple[float, float]
    drop: float
    duplicate: float
    hide: float  # certificates lost
    split: float  # views in which some honest nodes see no proposal
    late: float  # views in which the timeouts of some honest nodes come too late for the TC
    partition: float
    one_way: float
    reset: float
    latency_change: float
    bytes_per_ms: float | None
    crash: float
    power_cut: float
    sync_ms: float
    batch_sync_ms: float
    skew_ms: int
    drift: float  # how much faster or slower a clock may run
    clock_jump: float
    traffic: float


def draw_byzantine(stakes: tuple[int, ...], rng: random.Random) -> tuple[int, ...]:
    """A set of validators below a third of the stake, mostly as large as it can be; sometimes none."""
    if rng.random() < 0.1:
        return ()
    order = rng.sample(range(len(stakes)), len(stakes))
    members: list[int] = []
    for index in order:
        if 3 * (sum(stakes[member] for member in members) + stakes[index]) < sum(stakes):
            members.append(index)
            if rng.random() < 0.2:
                break
    return tuple(sorted(members))


def draw_shape(rng: random.Random, stakes: tuple[int, ...] | None = None) -> Shape:
    """One world."""
    everything = rng.random() < 0.1
    if stakes is None:
        stakes = rng.choice(LARGE) if rng.random() < 0.01 else rng.choice(COMMITTEES)

    def one_of(*values: float, chance: float = 0.4) -> float:
        """Off, or one of these."""
        return rng.choice(values) if everything or rng.random() < chance else 0.0

    return Shape(
        stakes=stakes,
        byzantine=draw_byzantine(stakes, rng),
        attack=rng.choice((0.2, 0.5, 1.0)),
        latency_ms=rng.choice(((0.5, 1.5), (0.5, 1.5), (0.2, 6.0), (3.0, 12.0))),
        drop=one_of(0.02, 0.05, 0.2),
        duplicate=one_of(0.05, 0.3, chance=0.2),
        hide=one_of(0.3, 0.6),
        split=one_of(0.3, 0.7),
        late=one_of(0.3, 0.7),
        partition=one_of(0.01, 0.03),
        one_way=one_of(0.01, 0.03, chance=0.2),
        reset=one_of(0.01, 0.05, chance=0.2),
        latency_change=one_of(0.02, 0.05),
        bytes_per_ms=one_of(200.0, 2_000.0, chance=0.1) or None,
        crash=one_of(0.0005, 0.002, 0.01),
        power_cut=one_of(0.005, chance=0.15),
        sync_ms=one_of(1.0, 10.0),
        batch_sync_ms=one_of(0.3, 3.0, 15.0, chance=0.6),
        skew_ms=rng.choice((0, 3, 3, 40)),
        drift=one_of(0.001, 0.02, chance=0.2),
        clock_jump=one_of(0.005, 0.02, chance=0.15),
        traffic=rng.choice((0.1, 0.3, 0.6)),
    )
