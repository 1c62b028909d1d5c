"""What an operator is told of a node that is far behind."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from consensus.numbers import Height
from sequencer.client.views import CatchUp
from sequencer.node.catching_up import FAR_HEIGHTS, CatchingUp, Place, follow_catching_up


def place(target: int, executed: int, *, final: int | None = None, walk: int | None = None, missing: int = 0) -> Place:
    return Place(
        Height(target),
        Height(executed if final is None else final),
        Height(executed),
        None if walk is None else Height(walk),
        missing,
    )


def after(*places: Place) -> CatchUp | None:
    """Seen once a second."""
    catching_up = CatchingUp()
    for second, seen in enumerate(places):
        catching_up.note(100.0 + second, seen)
    return catching_up.figures


def test_a_node_that_follows_catches_nothing_up():
    assert after(*(place(height + FAR_HEIGHTS, height) for height in range(5))) is None


def test_nor_does_one_whose_disk_stalled_for_a_moment():
    assert after(place(100, 98), place(150, 98), place(200, 98), place(250, 250)) is None


def test_it_is_told_after_two_seconds_and_ends_as_soon_as_the_head_is_near():
    far = place(1_000, 100)
    assert after(far, far) is None
    assert after(far, far, far) is not None
    assert after(far, far, far, place(1_000, 990)) is None
    assert after(far, far, far, place(1_000, 990), far, far) is None


@pytest.mark.parametrize(
    ("seen", "phase"),
    [
        (place(1_000, 100, walk=700), "headers"),
        (place(1_000, 100, final=300, missing=4), "batches"),
        (place(1_000, 100, final=300), "executing"),
        (place(1_000, 100, missing=4), "headers"),
    ],
)
def test_the_phase_is_what_holds_it_up(seen, phase):
    figures = after(seen, seen, seen)
    assert figures is not None
    assert (figures.phase, figures.walk_height) == (phase, seen.walk_height)


def test_the_rate_is_of_ten_seconds_and_the_end_counts_what_the_chain_does_meanwhile():
    slow = [place(10_000 + 10 * second, 1_000 + second) for second in range(20)]
    fast = [place(10_200 + 10 * second, 1_020 + 110 * second) for second in range(15)]
    figures = after(*slow, *fast)
    assert figures == CatchUp("headers", None, 10_340 - 2_560, 110, 78)


def test_there_is_no_end_in_sight_while_it_comes_no_nearer():
    figures = after(*(place(1_000 + 5 * second, 100 + 5 * second, final=900) for second in range(12)))
    assert figures is not None
    assert (figures.blocks_per_s, figures.seconds_left) == (5, None)


def test_what_is_remembered_does_not_grow():
    catching_up = CatchingUp()
    for second in range(1_000):
        catching_up.note(second, place(100_000, second))
    assert len(catching_up._seen) <= 12


def logged(places: Iterator[Place], seconds: int) -> list[MutableMapping[str, Any]]:
    async def run() -> None:
        with trio.move_on_after(seconds + 0.5):
            await follow_catching_up(CatchingUp(), lambda: next(places))

    with capture_logs() as entries:
        trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
    return entries


def test_the_log_tells_it_every_ten_seconds_and_says_when_it_is_over():
    told = logged((place(2_000, min(2_000, 60 * second), final=2_000) for second in range(60)), 50)
    assert [entry["event"] for entry in told] == ["catching_up"] * 4 + ["caught_up"]
    assert [entry["executed_height"] // 60 for entry in told[:4]] == [2, 12, 22, 32]
    assert told[1] == {
        "event": "catching_up",
        "log_level": "info",
        "phase": "executing",
        "executed_height": 720,
        "target_height": 2_000,
        "walk_height": None,
        "heights_left": 1_280,
        "blocks_per_s": 60,
        "seconds_left": 21,
    }
    assert (told[-1]["height"], told[-1]["blocks"], told[-1]["seconds"]) == (1_980, 1_980, 33)


def test_the_log_says_nothing_of_a_node_that_follows():
    assert logged((place(second + 3, second) for second in range(60)), 50) == []
