"""Each attacker alone, in a network that is otherwise well.

The chain goes on, everything promised becomes final, nobody honest is blamed or convicted, and what the rules of
evidence can prove is proved.
"""

import itertools

import pytest

from tests.simulation.attackers.attacker import Attacker
from tests.simulation.attackers.roster import ROSTER, available
from tests.simulation.dice import Dice
from tests.simulation.schedule import Options, Schedule
from tests.simulation.shape import draw_shape
from tests.simulation.whole.cryptography import quick_signatures

DURATION_MS = 150.0
CASES = [(whole, kind) for whole in (False, True) for kind in available(whole=whole)]
PROVED = {  # what of the habit shows in signed statements, within a few hundred views
    "DoubleVoter": {"E3"},
    "EquivocatingLeader": {"E1", "E2", "E3"},
    "TipWithholder": {"E4", "E5"},
    "Twins": {"E1", "E2", "E3"},
    "VoteSplitter": {"E3"},
}


def run_alone(kind: type[Attacker], *, whole: bool, seed: int, stakes: tuple[int, ...]) -> Schedule:
    options = Options(whole=whole, duration_ms=DURATION_MS, stakes=stakes, habits=(kind.__name__,), only=())
    with quick_signatures(ecdsa=True):
        schedule = Schedule(seed, options)
        schedule.moves = []
        schedule.run()
    return schedule


def seeds(stakes: tuple[int, ...], count: int) -> list[int]:
    """The first seeds whose world has a Byzantine validator."""
    worlds = (seed for seed in range(100) if draw_shape(Dice(seed).stream("shape"), stakes).byzantine)
    return list(itertools.islice(worlds, count))


@pytest.mark.parametrize(("whole", "kind"), CASES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_an_attacker_alone_stops_nothing_and_frames_nobody(whole, kind):
    proved: set[str] = set()
    for stakes, count in (((1, 1, 1, 1), 2), ((3, 2, 2, 3), 1), ((1,) * 7, 1)):
        for seed in seeds(stakes, count):
            schedule = run_alone(kind, whole=whole, seed=seed, stakes=stakes)
            assert schedule.attackers.names == [kind.__name__]
            proved |= {conviction.rule for conviction in schedule.cluster.watcher.convictions()}
    assert proved >= PROVED.get(kind.__name__, set())


def test_every_habit_is_in_some_draw():
    assert {*available(whole=True), *available(whole=False)} == set(ROSTER)


def test_all_habits_at_once_in_one_colluding_set():
    for whole in (False, True):
        names = tuple(kind.__name__ for kind in available(whole=whole))
        options = Options(whole=whole, duration_ms=DURATION_MS, stakes=(1,) * 7, habits=names)
        with quick_signatures(ecdsa=True):
            assert Schedule(11, options).run().views > 3
