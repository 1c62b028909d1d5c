"""Inclusion and fair order in running clusters, with clocks that differ and batches that arrive when they like.

δ is the largest difference between clocks. All arrivals are read off the validators' own clocks, as stored. Both
guarantees are shown again beside each attacker that aims at order: the backdating author, the clock liar, and the
leader that chooses which reports it quotes; and beside all three in one colluding set.
"""

import itertools

import pytest

from consensus.numbers import Digest
from consensus.replica.state import ReplicaTiming
from tests.simulation.attackers.reports import AGE_MS_MAX
from tests.simulation.cluster import Cluster
from tests.simulation.order_checks import check_fairness, check_inclusion
from tests.simulation.schedule import Options, Schedule
from tests.simulation.test_named_attackers import seeds
from tests.simulation.whole.cryptography import quick_signatures

TIMING = ReplicaTiming(
    view_timeout_ms=80, view_timeout_max_ms=200, min_block_interval_loaded_ms=15, idle_interval_ms=10
)
SKEW_MS = 6


def traffic(seed: int, stakes: tuple[int, ...]) -> Cluster:
    """Two hundred ms of batches from everybody, each arriving anywhere within 20 ms; sometimes a proposal is lost."""
    cluster = Cluster(stakes, seed, TIMING)
    rng = cluster.random
    for node in cluster.nodes:
        node.clock_offset_ms = rng.randrange(SKEW_MS + 1)
    cluster.drops = lambda sent: type(sent.message).__name__ == "Proposal" and rng.random() < 0.05
    cluster.start()
    cluster.run(30)
    for _ in range(40):
        author = rng.randrange(cluster.count)
        cluster.batch(author, {index: rng.uniform(0.5, 20) for index in range(cluster.count)})
        cluster.run(rng.uniform(0, 10))
    wanted = {digest for lane in cluster.lanes for digest in lane}
    cluster.run_until(lambda: wanted <= set(cluster.ordered), limit_ms=5_000)
    cluster.check()
    return cluster


def arrivals(cluster: Cluster) -> dict[Digest, list[int]]:
    """Per batch, when each validator had it, by its own clock."""
    found: dict[Digest, list[int]] = {}
    for node in cluster.nodes:
        for (_, _, digest), (arrival_ms, _) in node.disk.held.items():
            found.setdefault(digest, []).append(arrival_ms)
    return found


@pytest.mark.parametrize("stakes", [(1, 1, 1, 1), (3, 2, 2, 1, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_what_everybody_had_more_than_delta_earlier_is_ordered_earlier(seed, stakes):
    cluster = traffic(seed, stakes)
    when, place = arrivals(cluster), {digest: place for place, digest in enumerate(cluster.ordered)}
    judged = 0
    for first, second in itertools.permutations(cluster.ordered, 2):
        if max(when[first]) + SKEW_MS < min(when[second]):
            judged += 1
            assert place[first] < place[second]
    assert judged > 300


@pytest.mark.parametrize("stakes", [(1, 1, 1, 1), (3, 2, 2, 1, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_what_everybody_had_more_than_delta_before_the_parents_time_is_in_the_block(seed, stakes):
    cluster = traffic(seed, stakes)
    when, height_of = arrivals(cluster), {}
    for block in cluster.blocks:
        height_of.update({batch.digest: block.tip.header.height for batch in block.batches})
    judged = 0
    for digest, times in when.items():
        for block in cluster.blocks:
            if max(times) < block.tip.justify.body.ts_ms - SKEW_MS:
                judged += 1
                assert height_of[digest] <= block.tip.header.height
    assert judged > 100


ATTACKED_MS = 250.0
FOUR, SEVEN = (1, 1, 1, 1), (1,) * 7


def attacked(habits: tuple[str, ...], stakes: tuple[int, ...], *, whole: bool) -> list[Schedule]:
    """Schedules beside these habits and nothing else that goes wrong; each has checked both guarantees at its end."""
    found = []
    with quick_signatures(ecdsa=True):
        for seed in seeds(stakes, 2):
            options = Options(whole=whole, duration_ms=ATTACKED_MS, stakes=stakes, habits=habits, only=())
            found.append(Schedule(seed, options))
            found[-1].moves = []
            found[-1].run()
    return found


def judge(schedules: list[Schedule]) -> tuple[int, int]:
    """Pairs of batches whose order was promised, and (batch, block) whose inclusion was; all are as promised."""
    pairs = places = 0
    for schedule in schedules:
        placed, run = schedule.place_batches(), schedule.judged_by()
        pairs += check_fairness(placed, run)
        check_inclusion(placed, run)
        places += sum(
            batch.last_ms is not None and batch.last_ms + run.delta_ms < block.tip.justify.body.ts_ms
            for batch in placed
            for block in run.blocks[batch.height - 1 :]
        )
    return pairs, places


def quoted(schedule: Schedule) -> list:
    """The liars' reports in committed blocks, each with the honest ones beside it."""
    liars = schedule.cluster.byzantine
    return [
        (report, [other for other in block.tip.reports if other.validator not in liars])
        for block in schedule.cluster.blocks
        for report in block.tip.reports
        if report.validator in liars
    ]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("stakes", [FOUR, SEVEN])
def test_fairness_and_inclusion_hold_beside_a_backdating_author(stakes, whole):
    schedules = attacked(("BackdatingAuthor",), stakes, whole=whole)
    assert any(
        age_ms == AGE_MS_MAX
        for schedule in schedules
        for report, _ in quoted(schedule)
        for row in report.lanes
        for _, age_ms in row.batches
    )
    pairs, places = judge(schedules)
    assert pairs > 30
    assert places > 30


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("stakes", [FOUR, SEVEN])
def test_fairness_and_inclusion_hold_beside_a_clock_liar(stakes, whole):
    schedules = attacked(("ClockLiar",), stakes, whole=whole)
    assert any(
        abs(report.sent_ms - other.sent_ms) > schedule.delta_ms + 5
        for schedule in schedules
        for report, others in quoted(schedule)
        for other in others
    )
    pairs, places = judge(schedules)
    assert pairs > 30
    assert places > 30


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("stakes", [FOUR, SEVEN])
def test_fairness_and_inclusion_hold_under_a_leader_that_chooses_reports(stakes, whole):
    schedules = attacked(("ReportChooser",), stakes, whole=whole)
    led = [
        block
        for schedule in schedules
        for block in schedule.cluster.blocks
        if schedule.cluster.leader(block.tip.view) in schedule.cluster.byzantine
    ]
    assert led
    pairs, places = judge(schedules)
    assert pairs > 30
    assert places > 30


@pytest.mark.parametrize("whole", [False, True])
def test_fairness_and_inclusion_hold_beside_all_three_in_one_colluding_set(whole):
    pairs, places = judge(attacked(("BackdatingAuthor", "ClockLiar", "ReportChooser"), SEVEN, whole=whole))
    assert pairs > 30
    assert places > 30
