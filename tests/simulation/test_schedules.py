"""Random schedules of the simulator, and what makes them worth something: repeatable, shortened, and able to fail."""

import os
import subprocess
import sys

import pytest

from tests.simulation import schedule as schedules
from tests.simulation.cluster import Cluster
from tests.simulation.dice import Dice
from tests.simulation.minimise import minimise
from tests.simulation.schedule import Options
from tests.simulation.schedule_outcome import run_schedule

PART = 15
FOUND = (
    3_003_796,  # a clock that drifts rang a rounding error too early, and was set again at once, for ever
    3_016_400,  # an append that a power cut met lost bytes of the file before, which was synced
    3_017_063,
    3_083_931,  # peace began on slow links: what was sent as they opened took 90 ms, and with it 18 fast views
    3_131_043,
    3_137_070,  # the 65th batch of a lane belonged into a block whose honest reports list 64
    3_039_011,  # a batch that a crash met in its sync was had from its receipt on, not from the restart
)


def run_all(seeds: range) -> None:
    failures = [outcome.describe() for outcome in map(run_schedule, seeds) if outcome.failure]
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("first", range(0, 8 * PART, PART))
def test_a_random_schedule_breaks_nothing(first):
    run_all(range(first, first + PART))


@pytest.mark.parametrize("seed", FOUND)
def test_what_a_schedule_once_found_stays_mended(seed):
    run_all(range(seed, seed + 1))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1_000, 3_000, 100))
def test_many_random_schedules_break_nothing(first):
    run_all(range(first, first + 100))


@pytest.mark.parametrize("seed", [1_001, 1_003])
def test_the_same_seed_is_the_same_trace_in_another_process(seed):
    here = run_schedule(seed)
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    command = [sys.executable, "-m", "tests.simulation", "replay", str(seed)]
    there = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert here.result is not None
    assert here.result.trace_hash in there.stdout


def test_faults_that_may_not_strike_leave_the_others_where_they_were():
    everything, some = Dice(5), Dice(5, only=("drop:2",))
    drawn = [everything.strikes("drop", 0.5) for _ in range(20)]
    assert everything.struck[1] == "drop:2"
    assert [some.strikes("drop", 0.5) for _ in range(20)].count(True) == 1
    assert some.struck == ["drop:2"]
    assert drawn.index(True, drawn.index(True) + 1) < 20


def test_a_schedule_that_fails_says_how_to_see_it_again_and_gets_shorter(monkeypatch):
    """The rule that is broken here: no two crashes may ever happen."""

    def check(cluster: Cluster) -> None:
        lives = sum(node.life - 1 for node in cluster.honest)
        assert lives < 2, "two restarts"

    monkeypatch.setattr(Cluster, "check", check)
    seed = next(seed for seed in range(200) if "two restarts" in run_schedule(seed, Options(whole=False)).failure)
    monkeypatch.setattr(schedules, "WHOLE_SHARE", 0.0)
    found = minimise(seed, lambda line: None)
    assert found is not None
    assert found.options.only is not None
    assert 1 <= len(found.options.only) <= 4 < len(run_schedule(seed).struck)
    assert "two restarts" in run_schedule(seed, found.options).failure
