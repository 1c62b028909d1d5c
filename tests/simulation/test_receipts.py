"""A receipt holds across crashes of its author, crashes of leaders and reordering on the links."""

from dataclasses import replace

import pytest

from consensus.numbers import Hash
from tests.simulation.schedule import Options, Schedule
from tests.simulation.timing import TIMING
from tests.simulation.whole.cluster import WholeCluster
from tests.simulation.whole.cryptography import quick_signatures
from tests.simulation.whole.receipts import check_receipts

LIMIT_MS = 8_000.0


@pytest.fixture
def cluster():
    with quick_signatures(ecdsa=True), WholeCluster((1, 1, 1, 1), 5, TIMING) as made:
        made.start()
        made.run(20)
        yield made


def give_receipt(cluster, author):
    """The author has signed a receipt this very moment; returns it."""
    before = len(cluster.receipts)
    cluster.batch(author)
    cluster.run_until(lambda: len(cluster.receipts) > before, LIMIT_MS)
    return cluster.receipts[-1]


def make_peace(cluster):
    """All are there, and everything receipted is executed everywhere."""
    for node in cluster.nodes:
        if not node.alive:
            cluster.start(node.index)
    cluster.reconnect()
    cluster.run_until(lambda: cluster.promised() <= cluster.ordered_set, LIMIT_MS)
    cluster.await_everything(len(cluster.blocks), LIMIT_MS)
    cluster.check()


@pytest.mark.parametrize("away_ms", [0, 300])
def test_a_receipt_holds_when_its_author_dies_the_moment_it_is_given(cluster, away_ms):
    for turn in range(6):
        author = turn % cluster.count
        receipt = give_receipt(cluster, author)
        cluster.nodes[author].crash()
        cluster.run(away_ms)
        if away_ms:  # what nobody else has stays unordered, and nothing else takes its place
            held = cluster.holders[receipt.batch] - {author}
            assert held or receipt.batch not in cluster.ordered_set
        cluster.start(author)
        cluster.reconnect(author)
        cluster.run(30)
    make_peace(cluster)
    assert check_receipts(cluster, cluster.receipts) == len(cluster.receipts) >= 6


def test_a_receipt_holds_when_every_leader_dies_with_it(cluster):
    for turn in range(8):
        give_receipt(cluster, turn % cluster.count)
        leader = cluster.leader(max(node.core.state.view for node in cluster.nodes if node.alive) + turn % 2)
        cluster.nodes[leader].crash()
        cluster.run(60)
        cluster.start(leader)
        cluster.reconnect(leader)
    make_peace(cluster)
    assert check_receipts(cluster, cluster.receipts) == len(cluster.receipts) >= 8


def test_a_receipt_holds_when_links_reorder_and_break(cluster):
    cluster.latency_ms = (0.2, 12.0)
    for turn in range(40):
        give_receipt(cluster, turn % cluster.count)
        if turn % 4 == 0:
            cluster.reset_link(turn // 4 % 4, (turn // 4 + 1) % 4)
    make_peace(cluster)
    assert check_receipts(cluster, cluster.receipts) == len(cluster.receipts) >= 40


def test_a_receipt_that_does_not_hold_is_noticed(cluster):
    receipt = give_receipt(cluster, 1)
    make_peace(cluster)
    assert check_receipts(cluster, cluster.receipts) == 1
    (item,) = receipt.items
    for change, words in (
        ({"seq": receipt.seq + 1}, "is lost"),
        ({"batch": bytes(32)}, "another batch"),
        ({"items": (item._replace(index=item.index + 1),)}, "no item"),
        ({"items": (item._replace(hash=Hash(bytes(32))),)}, "another item"),
    ):
        key = cluster.nodes[1].replica.state.key
        changed = replace(receipt, **change).sign(cluster.chain, key)
        with pytest.raises(AssertionError, match=words):
            check_receipts(cluster, [changed])


@pytest.mark.parametrize("seed", range(3))
def test_receipts_hold_in_random_schedules(seed):
    with quick_signatures(ecdsa=True):
        assert Schedule(seed, Options(whole=True, duration_ms=100.0)).run().receipts > 0
