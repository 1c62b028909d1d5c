"""A node loses everything but its disk between any two of its effects, or all nodes at once do; then they restart.

The watcher sees every message of all lives: nobody ever says two things that contradict each other, what had to be on
disk was, and the chain goes on. The effects of the undisturbed run are counted first, so every crash point is tried.
"""

from collections.abc import Callable

import pytest

from consensus.replica.effects import Broadcast, Effect
from consensus.replica.state import ReplicaTiming
from consensus.vocabulary.messages import Proposal, Timeout
from tests.simulation.cluster import Cluster
from tests.simulation.node import Node

TIMING = ReplicaTiming(view_timeout_ms=40, view_timeout_max_ms=120, min_block_interval_loaded_ms=8, idle_interval_ms=8)
SCENARIO_MS = 60.0
DOWN_MS = 15.0
PARTS = 4
# One node's every crash point in the default suite, every node's in the slow one; of power cuts every tenth.
CASES = [
    pytest.param(dead, node, marks=() if (dead, node) in {(None, 1), (1, 0)} else pytest.mark.slow)
    for dead in (None, 1)
    for node in range(4)
    if node != dead
]
POWER_CUT_PARTS = [pytest.param(part, marks=pytest.mark.slow if part else ()) for part in range(10)]


class CrashBefore:
    """Stops a node (or counts only) before effect number `point` of the nodes watched, the first being 0."""

    def __init__(self, point: int | None, *nodes: int) -> None:
        self.point = point
        self.nodes = nodes
        self.count = 0
        self.struck = False

    def __call__(self, node: Node, effect: Effect) -> bool:
        if self.struck or node.index not in self.nodes:
            return False
        self.struck = self.count == self.point
        self.count += 1
        return self.struck


def scenario(crash: CrashBefore, dead: int | None, observe: Callable[[Node, Effect], None] | None = None) -> Cluster:
    """Seven views with two batches, of which view 3 fails: half of the nodes get its proposal too late.

    Then leader(4) re-proposes the tip; if it is dead, the timeouts of view 4 carry backup votes for it.
    """
    cluster = Cluster(timing=TIMING)
    late = {0} if dead == 1 else {0, 1}
    cluster.latency_ms = (1.0, 1.0)
    cluster.extra_delay_ms = lambda sent: (
        1.5 * TIMING.view_timeout_ms
        if isinstance(sent.message, Proposal) and sent.message.view == 3 and sent.receiver in late
        else 0
    )
    cluster.before_effect = crash
    cluster.observers.extend([observe] if observe else [])
    alive = [index for index in range(cluster.count) if index != dead]
    cluster.start(*alive)
    cluster.run(3)
    cluster.batch(alive[0])
    cluster.run(4)
    cluster.batch(alive[1])
    cluster.run(SCENARIO_MS if dead is None else 2 * SCENARIO_MS)
    cluster.before_effect = None
    return cluster


def finish(cluster: Cluster, *restarted: int) -> None:
    """The restarted nodes come back; everything that was sealed, and one batch more, becomes final everywhere."""
    cluster.run(DOWN_MS)
    cluster.start(*restarted)
    wanted = {cluster.batch(restarted[0]), *(digest for lane in cluster.lanes for digest in lane)}
    cluster.run_until(lambda: wanted <= set(cluster.ordered), limit_ms=3_000)
    height = len(cluster.blocks)
    cluster.run_until(
        lambda: all(len(node.committed) >= height for node in cluster.nodes if node.alive), limit_ms=3_000
    )
    cluster.check()


def points(dead: int | None, *nodes: int) -> range:
    """All crash points of these nodes, counted in an undisturbed run."""
    crash = CrashBefore(None, *nodes)
    scenario(crash, dead)
    return range(crash.count)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(("dead", "node"), CASES)
def test_a_node_that_restarts_between_any_two_effects_says_nothing_twice(dead, node, part):
    for point in points(dead, node)[part::PARTS]:
        crash = CrashBefore(point, node)
        cluster = scenario(crash, dead)
        assert crash.struck
        finish(cluster, node)


@pytest.mark.parametrize("part", POWER_CUT_PARTS)
@pytest.mark.parametrize("dead", [None, 1])
def test_a_power_cut_of_all_nodes_between_any_two_effects_is_survived(dead, part):
    alive = [index for index in range(4) if index != dead]
    for point in points(dead, *alive)[part :: len(POWER_CUT_PARTS)]:
        crash = CrashBefore(point, *alive)
        cluster = scenario(crash, dead)
        assert crash.struck
        cluster.crash(*alive)
        finish(cluster, *alive)


def test_the_scenarios_have_timeouts_a_re_proposal_and_backup_votes():
    """What the crash points above are worth depends on what happens between them."""
    seen: set[str] = set()

    def observe(node: Node, effect: Effect) -> None:
        match effect:
            case Broadcast(Proposal(entry=entry)) if entry is not None:
                seen.add("re-proposal")
            case Broadcast(Timeout(backup_vote=vote)):
                seen.add("timeout")
                if vote is not None and not vote.body.is_fresh:
                    seen.add("backup vote")
            case _:
                pass

    scenario(CrashBefore(None, 0), dead=None, observe=observe)
    assert seen == {"re-proposal", "timeout"}
    seen.clear()
    scenario(CrashBefore(None, 0), dead=1, observe=observe)
    assert seen == {"backup vote", "timeout"}
