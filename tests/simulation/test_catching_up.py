"""A validator that was away walks back from the newest QC, page by page, and up again."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import pytest

from consensus import limits
from consensus.numbers import BlockId, Digest, Milliseconds, Seq, ValidatorIndex
from consensus.replica.effects import Commit
from consensus.replica.walk import walk_height
from consensus.vocabulary.tip import Tip
from tests.simulation.cluster import Cluster
from tests.simulation.node import Node
from tests.simulation.timing import TIMING

PAGE = 8
LAGGARD = 3


@pytest.fixture(autouse=True)
def _short_pages(monkeypatch):
    monkeypatch.setattr(limits, "WALK_TIPS_MAX", PAGE)


def behind(blocks: int, seed: int = 1) -> tuple[Cluster, Node]:
    """A cluster that is `blocks` ahead of validator 3, which starts now."""
    cluster = Cluster(seed=seed, timing=TIMING)
    cluster.start(0, 1, 2)
    cluster.run_until(lambda: len(cluster.blocks) >= blocks)
    cluster.start(LAGGARD)
    return cluster, cluster.nodes[LAGGARD]


def has_caught_up(cluster: Cluster) -> bool:
    return len(cluster.nodes[LAGGARD].committed) >= len(cluster.blocks) - 2


def test_a_slow_peer_with_short_pages_does_not_keep_a_validator_behind():
    """It signs every QC, and answers each request with one tip, just before the request would time out."""
    cluster, laggard = behind(150)
    cluster.answers = lambda peer, tips: (1_900.0, tips[:1]) if peer == 0 else (0.0, tips)
    cluster.run_until(lambda: has_caught_up(cluster), limit_ms=10_000)
    assert laggard.pages_asked.count(0) <= 2
    cluster.check()


def test_the_pages_of_a_walk_are_asked_of_one_peer_after_the_other():
    cluster, laggard = behind(150)
    cluster.run_until(lambda: has_caught_up(cluster), limit_ms=10_000)
    counts = [laggard.pages_asked.count(peer) for peer in range(3)]
    assert sum(counts) >= 150 / PAGE
    assert max(counts) <= 2 * min(counts)


def test_a_long_way_takes_no_more_memory_than_a_short_one():
    cluster, laggard = behind(300)
    most = 0

    def look(node: Node, _effect: object) -> None:
        nonlocal most
        if node is laggard:
            most = max(most, len(node.core.state.tree))

    cluster.observers.append(look)
    live = limits.WALK_TIPS_MAX * 2 + 80  # a page or two, and the tips of the views that passed meanwhile
    cluster.run_until(lambda: has_caught_up(cluster), limit_ms=10_000)
    assert most < live
    assert laggard.core.state.walk is None
    cluster.check()


def test_it_says_where_the_walk_is_on_the_way_down_and_up_again():
    cluster, laggard = behind(150)
    heights: list[int] = []

    def look(node: Node, _effect: object) -> None:
        height = walk_height(node.core.state) if node is laggard else None
        if height is not None and (not heights or height != heights[-1]):
            heights.append(height)

    cluster.observers.append(look)
    assert walk_height(laggard.core.state) is None
    cluster.run_until(lambda: has_caught_up(cluster), limit_ms=10_000)
    lowest = heights.index(min(heights))
    assert heights[:lowest] == sorted(heights[:lowest], reverse=True)
    assert heights[lowest:] == sorted(heights[lowest:])
    assert min(heights) <= PAGE < 130 < min(heights[0], heights[-1])
    assert walk_height(laggard.core.state) is None


def test_marks_are_bounded_however_short_the_pages_are(monkeypatch):
    monkeypatch.setattr(limits, "WALK_MARKS_MAX", 5)
    cluster, laggard = behind(200)
    most = 0

    def look(node: Node, _effect: object) -> None:
        nonlocal most
        walk = node.core.state.walk
        most = max(most, len(walk.marks) if walk is not None else 0)

    cluster.observers.append(look)
    cluster.run_until(lambda: has_caught_up(cluster), limit_ms=10_000)
    assert 3 <= most <= 5
    assert not laggard.faults
    cluster.check()


def test_a_crash_in_the_middle_of_a_walk_does_not_lose_what_it_fetched():
    cluster, laggard = behind(300)
    pages = 300 // PAGE
    cluster.run_until(lambda: len(laggard.pages_asked) >= pages * 3 // 4)
    assert not laggard.committed
    cluster.crash(LAGGARD)
    cluster.start(LAGGARD)
    cluster.run_until(lambda: has_caught_up(cluster), limit_ms=10_000)
    assert len(laggard.pages_asked) < pages * 3 // 2
    cluster.check()


def test_walks_go_on_when_what_they_stored_was_lost():
    cluster, laggard = behind(200)
    cluster.run_until(lambda: len(laggard.disk.walked) >= 150)
    laggard.disk.walked.clear()
    cluster.run_until(lambda: has_caught_up(cluster), limit_ms=10_000)
    cluster.check()


@pytest.mark.parametrize("seed", range(3))
def test_no_step_commits_more_than_its_share(monkeypatch, seed):
    monkeypatch.setattr(limits, "STEP_LANES_MAX", 12)
    cluster, laggard = behind(100, seed)
    sizes: list[int] = []
    cluster.observers.append(
        lambda node, effect: (
            sizes.append(len(effect.blocks)) if node is laggard and isinstance(effect, Commit) else None
        )
    )
    cluster.run_until(lambda: has_caught_up(cluster), limit_ms=10_000)
    assert max(sizes) <= 12 // 4
    cluster.check()


@pytest.mark.parametrize("seed", range(4))
def test_whatever_goes_wrong_on_the_way_it_arrives(monkeypatch, seed):
    """One peer gives nothing, too little or too late; the validator crashes and loses what it stored."""
    rng = random.Random(seed)
    monkeypatch.setattr(limits, "WALK_TIPS_MAX", rng.choice((1, 2, 5)))
    monkeypatch.setattr(limits, "WALK_MARKS_MAX", rng.choice((2, 3, 50)))
    monkeypatch.setattr(limits, "STEP_LANES_MAX", rng.choice((1, 8, 1_024)))
    monkeypatch.setattr(limits, "TIPS_UNCOMMITTED_MAX", rng.choice((2, 6, 1_024)))
    cluster, laggard = behind(60, seed)

    def answer(peer: int, tips: tuple[Tip, ...]) -> tuple[float, tuple[Tip, ...]]:
        if peer != seed % 3:
            return 0.0, tips
        return rng.choice(((0.0, ()), (300.0, tips[:1]), (0.0, tips[:1]), (50.0, tips)))

    cluster.answers = answer
    for _ in range(6):
        cluster.run(rng.uniform(1, 60))
        cluster.batch(rng.randrange(3))
        cluster.crash(LAGGARD)
        for tip_id in [tip_id for tip_id in laggard.disk.walked if rng.random() < 0.1]:
            del laggard.disk.walked[tip_id]
        cluster.start(LAGGARD)
    cluster.run_until(lambda: has_caught_up(cluster), limit_ms=20_000)
    cluster.run(200)
    assert laggard.core.state.walk is None
    cluster.check()


LIARS = (0, 2)
HONEST = 1


def other_bytes(tip: Tip) -> Tip:
    """A tip that its own id does not name."""
    return replace(tip, header=replace(tip.header, ts_ms=Milliseconds(tip.header.ts_ms + 1)))


LIES: dict[str, Callable[[tuple[Tip, ...]], tuple[float, tuple[Tip, ...]]]] = {
    "tips that do not hash": lambda tips: (0.0, tuple(map(other_bytes, tips))),
    "tips of which a later one does not hash": lambda tips: (0.0, (*tips[:2], *map(other_bytes, tips[2:]))),
    "reports that the header does not name": lambda tips: (
        0.0,
        tuple(replace(tip, reports=tip.reports[:-1]) for tip in tips),
    ),
    "other tips than asked": lambda tips: (0.0, tips[1:]),
    "nothing": lambda tips: (0.0, ()),
    "nothing until it is too late": lambda tips: (2_000.0, ()),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_peer_costs_a_request_and_one_honest_peer_is_enough(lie):
    cluster, laggard = behind(60)
    cluster.answers = lambda peer, tips: LIES[lie](tips) if peer in LIARS else (0.0, tips)
    cluster.run_until(lambda: has_caught_up(cluster), limit_ms=10_000)
    assert laggard.pages_asked.count(HONEST) >= 60 / PAGE
    for liar in LIARS:
        assert laggard.pages_asked.count(liar) <= 2  # another tip may have been wanted at the same time
    assert {sender for sender, _ in laggard.faults} <= set(LIARS)
    laggard.faults.clear()
    cluster.check()


def without_bytes(blocks: int) -> tuple[Cluster, Node]:
    """As `behind`, with a batch or two in every block; the laggard gets none by push and each one late."""
    cluster = Cluster(seed=1, timing=TIMING)
    cluster.withholds = lambda author, receiver, seq: receiver == LAGGARD
    cluster.start(0, 1, 2)
    while len(cluster.blocks) < blocks:
        cluster.batch(len(cluster.blocks) % 3)
        height = len(cluster.blocks)
        cluster.run_until(lambda: len(cluster.blocks) > height)  # noqa: B023 - it is called at once
    cluster.start(LAGGARD)
    return cluster, cluster.nodes[LAGGARD]


@pytest.mark.parametrize("bound", [4, 20])
def test_what_is_committed_and_missing_does_not_grow_with_the_distance(monkeypatch, bound):
    monkeypatch.setattr(limits, "WALK_UNHELD_MAX", bound)
    cluster, laggard = without_bytes(150)
    look_for, wanted = laggard._look_for, deque[tuple[ValidatorIndex, Seq, Digest]]()
    monkeypatch.setattr(laggard, "_look_for", lambda key, wait_ms: wanted.append(key))
    most, tops = 0, set[BlockId]()

    def fetch_one() -> None:
        """One batch every few ms, the oldest first."""
        if wanted:
            look_for(wanted.popleft(), 0)
        cluster.after(3, fetch_one)

    def look(node: Node, _effect: object) -> None:
        nonlocal most
        if node is laggard:
            most = max(most, node.core.state.holdings.unheld_count)
            if node.core.state.walk is not None:
                tops.add(node.core.state.walk.top)

    cluster.observers.append(look)
    cluster.run(300)
    held_up = len(laggard.committed)
    assert 0 < held_up < 100  # nothing was fetched yet
    cluster.run(300)
    assert len(laggard.committed) == held_up
    fetch_one()
    cluster.run_until(lambda: has_caught_up(cluster), limit_ms=20_000)
    assert bound <= most <= bound + 2 * PAGE + 20  # a page, and what the chain orders near its head
    assert len(tops) == 1  # the walk waited, and was not begun anew
    cluster.check()


def test_no_walk_begins_anew_while_one_waits_for_batches(monkeypatch):
    monkeypatch.setattr(limits, "WALK_UNHELD_MAX", 4)
    cluster, laggard = without_bytes(150)
    monkeypatch.setattr(laggard, "_look_for", lambda key, wait_ms: None)
    cluster.run(300)
    walk, asked, committed = laggard.core.state.walk, len(laggard.pages_asked), len(laggard.committed)
    assert walk is not None
    cluster.run(500)
    assert laggard.core.state.walk is walk
    assert len(laggard.pages_asked) == asked
    assert len(laggard.committed) == committed
    assert len(laggard.core.state.tree) < 150
