"""With a third of the stake or more Byzantine, and less than two thirds, safety may be lost.

Then evidence convicts at least a third of the stake, and nobody honest. Beyond that nothing can be promised.
"""

import pytest

from tests.simulation.adversary import Adversary
from tests.simulation.attackers.attacker import Attackers
from tests.simulation.attackers.disks import Twins
from tests.simulation.attackers.voters import DoubleVoter
from tests.simulation.cluster import Cluster
from tests.simulation.timing import TIMING
from tests.simulation.whole.cryptography import quick_signatures

# stakes, Byzantine validators, the honest on one side of the partition (the rest is on the other)
CASES = [
    ((1, 1, 1, 1), (0, 1), (2,)),
    ((3, 2, 2, 3), (0, 3), (1,)),
    ((1,) * 5, (0, 1, 2), (3,)),
    ((1,) * 7, (0, 1, 2, 3), (4,)),
    ((4, 1, 1, 2), (0,), (1, 2)),
    ((2, 1, 1, 1, 1), (0, 1), (2, 3)),
]


def split(stakes: tuple[int, ...], members: tuple[int, ...], side: tuple[int, ...], seed: int) -> Cluster:
    """Twins of the Byzantine on both sides of a partition of the honest, for a while; then all see each other."""
    cluster = Cluster(stakes, seed, TIMING)
    adversary = Adversary(cluster, *members)
    cluster.may_fork = True
    kinds = (Twins, DoubleVoter) if seed % 2 else (Twins,)
    Attackers({member: [kind(adversary, member, cluster.random) for kind in kinds] for member in members})
    cluster.start()
    cluster.batch(side[0])
    cluster.run(40)
    here, there = {*members, *side}, {*(twin.instance for twin in cluster.twins)}
    there |= {node.index for node in cluster.honest} - set(side)
    cluster.partition(here, there)
    for _ in range(6):
        for node in cluster.honest:
            if node.alive:
                cluster.batch(node.index)
        cluster.run(50)
    cluster.heal()
    cluster.run(200)
    return cluster


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("stakes", "members", "side"), CASES)
def test_a_fork_convicts_a_third_of_the_stake_and_nobody_honest(stakes, members, side, seed):
    with quick_signatures(ecdsa=True):
        cluster = split(stakes, members, side, seed)
    convicted = {conviction.validator for conviction in cluster.watcher.convictions()}
    assert convicted <= set(members)
    quorum = cluster.chain.validator_set.is_quorum
    if quorum({*members, *side}) and quorum(set(range(len(stakes))) - set(side)):
        assert cluster.has_forks, "both sides are a quorum"
    if cluster.has_forks:
        assert 3 * sum(stakes[member] for member in convicted) >= sum(stakes)


def test_below_a_third_twins_on_both_sides_of_a_partition_fork_nothing():
    with quick_signatures(ecdsa=True):
        cluster = split((1, 1, 1, 1), (0,), (1, 2), 1)
    assert not cluster.has_forks
    assert {conviction.validator for conviction in cluster.watcher.convictions()} <= {0}
