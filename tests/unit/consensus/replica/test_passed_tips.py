"""What the committed chain has passed needs no tip any more."""

from consensus.clock import Now
from consensus.numbers import GENESIS_HEIGHT, GENESIS_VIEW, Milliseconds, ValidatorIndex
from consensus.ordering.effective import effective_start
from consensus.replica.effects import FetchTips
from consensus.replica.events import CertificateReceived, ProposalReceived, Started, TimeoutReceived
from consensus.replica.replica import Replica
from consensus.replica.state import Recovered, ReplicaTiming
from consensus.vocabulary.certificates import TC
from tests.simulation.cluster import Cluster
from tests.simulation.forge import START_MS, Forge
from tests.simulation.keys import make_genesis, node_key

VIEW = 10


def test_a_timeout_that_names_a_committed_tip_counts_at_the_next_leader():
    chain = make_genesis((1, 1, 1, 1))
    forge = Forge(chain)
    leader = forge.leader(VIEW + 1)
    first, laggard, _ = [ValidatorIndex(index) for index in range(4) if index != leader]
    genesis_id = forge.genesis_qc.body.block_id
    recovered = Recovered(None, genesis_id, GENESIS_HEIGHT, GENESIS_VIEW, effective_start(4))
    replica = Replica(chain, node_key(leader), ReplicaTiming(), recovered)
    time_ms = 0

    def step(event):
        nonlocal time_ms
        time_ms += 1
        return replica.step(event, Now(Milliseconds(START_MS + 1_000 + time_ms), float(time_ms)))

    step(Started())
    tips = forge.chain_of(VIEW - 1)
    for view, tip in enumerate(tips, 1):
        step(ProposalReceived(forge.leader(view), forge.proposal(view, tip)))
    newest = forge.certify(tips[-1])
    step(CertificateReceived(first, newest))
    passed = tips[1]
    assert passed.view <= replica.state.tree.committed_view

    effects = step(TimeoutReceived(first, forge.timeout(VIEW, first, newest, newest)))
    effects += step(TimeoutReceived(laggard, forge.timeout(VIEW, laggard, passed, newest)))

    assert isinstance(replica.state.entry, TC)
    assert replica.state.view == VIEW + 1
    assert not [effect for effect in effects if isinstance(effect, FetchTips)]


def test_clocks_behind_the_genesis_do_not_keep_a_chain_from_starting():
    cluster = Cluster(seed=1)
    for node in cluster.nodes:
        node.clock_offset_ms = -60_000
    cluster.start()
    digest = cluster.batch(0)
    cluster.run_until(lambda: digest in cluster.ordered, limit_ms=5_000)
    cluster.check()
