"""What leaves the node at once: every ordered block once, in order, and nothing where nobody listens."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from consensus.numbers import Height
from consensus.replica.effects import Confirm
from sequencer.node.consensus_driver import ConsensusDriver, ConsensusListener
from sequencer.node.failpoints import Failpoints
from sequencer.node.news import News
from sequencer.node.progress import Progress
from sequencer.telemetry.metrics import Metrics
from tests.simulation.keys import make_genesis

CHAIN = make_genesis((1,))


class Listener:
    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def note_ordered(self, blocks, ends) -> None:
        self.told.append(("ordered", *blocks))

    def note_executed(self, height) -> None:
        self.told.append(("executed", height))

    def note_attested(self, height) -> None:
        self.told.append(("attested", height))

    def note_l1(self, posted, settled) -> None:
        self.told.append(("l1", posted, settled))

    def note_evidence(self, evidence) -> None:
        self.told.append(("evidence", evidence))


def tips(*named: tuple[int, str]) -> list[Any]:
    return [SimpleNamespace(header=SimpleNamespace(height=height), id=name) for height, name in named]


def tell(news: News, *named: tuple[int, str], committed: int = 0) -> None:
    news.ordered(tips(*named), lambda tip: tip.id, (), Height(committed))()  # type: ignore[arg-type, return-value]


def test_every_ordered_block_is_told_once_after_its_parent():
    news, listener = News(), Listener()
    news.listen(listener)
    tell(news, (1, "a"))
    tell(news, (1, "a"), (2, "b"))
    tell(news, (2, "b"), (3, "c"), (4, "d"), committed=1)
    tell(news, (3, "c"), (4, "other"), committed=2)  # an equivocating leader has made another one
    assert listener.told == [("ordered", "a"), ("ordered", "b"), ("ordered", "c", "d"), ("ordered", "other")]


def test_what_is_told_late_is_what_was_ordered_then():
    news, listener, committed = News(), Listener(), set[Any]()
    news.listen(listener)
    branches = (tips((1, "a")), tips((1, "a"), (2, "b")), tips((2, "b"), (3, "c")))
    later = [
        news.ordered(branch, lambda tip: (tip.id, tip.id in committed), (), Height(branch[0].header.height - 1))  # type: ignore[arg-type, return-value]
        for branch in branches
    ]
    assert listener.told == []
    committed.update("abc")  # while what we saved is being synced
    for tell_now in later:
        tell_now()
    assert listener.told == [("ordered", (name, False)) for name in "abc"]


def test_what_is_remembered_is_what_is_not_committed():
    news = News()
    for height in range(1, 1_000):
        tell(news, (height, f"block {height}"), committed=height - 1)
    assert len(news._told) == 1


def test_progress_tells_on_what_it_notes():
    listener = Listener()
    progress = Progress((), Height(1), Height(1), Height(1))
    progress.note_executed((), Height(2))
    progress.news.listen(listener)
    progress.note_executed((), Height(3))
    progress.note_attested(Height(3))
    progress.note_attested(Height(2))  # an older certificate is no news
    progress.note_l1(Height(3), Height(2))
    assert listener.told == [("executed", 3), ("attested", 3), ("l1", 3, 2)]


async def test_a_fresh_qc_is_told_once_what_we_saved_before_it_is_synced():
    """It may count our own vote, which a crash could still make us forget, and vote otherwise."""
    confirm = Confirm(SimpleNamespace(header=SimpleNamespace(height=3)), None, None)  # type: ignore[arg-type]
    seen: list[Confirm] = []
    told: list[Confirm] = []
    waiting: list[Callable[[], None]] = []
    replica = SimpleNamespace(
        state=SimpleNamespace(me=0, view=1, voted_view=0, timeout_view=0, proposed_view=0),
        step=lambda event, now: [confirm],
    )
    outbox = SimpleNamespace(put=lambda puts: None, post=waiting.append)
    stand_ins: dict[str, Any] = {"replica": replica, "outbox": outbox, "store": None}

    def confirmed(found: Confirm) -> Callable[[], None]:
        seen.append(found)
        return lambda: told.append(found)

    driver = ConsensusDriver(
        chain=CHAIN,
        **stand_ins,
        listener=ConsensusListener(lambda commit: None, confirmed, lambda needed: None),
        metrics=Metrics("test"),
        failpoints=Failpoints(),
    )
    driver.start()
    assert (seen, told) == ([confirm], [])
    for deliver in waiting:
        deliver()
    assert told == [confirm]
