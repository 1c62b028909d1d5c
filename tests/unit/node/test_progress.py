"""Positions rise, times are remembered, waiters wake exactly at their position."""

import trio
import trio.testing

from consensus.numbers import Height, Seq, ValidatorIndex
from sequencer.client.status import Status
from sequencer.node.progress import HISTORY_MAX, CutHistory, Progress, Waiters


def ends(*seqs):
    return tuple(Seq(seq) for seq in seqs)


def progress_at(*seqs, height=0):
    return Progress(ends(*seqs), Height(height), Height(height), Height(0))


def test_positions_only_rise():
    progress = progress_at(3, 1)
    progress.note_ordered(ends(5, 1), Height(2))
    progress.note_ordered(ends(4, 2), Height(1))
    assert progress.ordered.ends == ends(5, 2)
    assert progress.ordered.height == 2


def test_what_was_committed_before_the_start_is_final_before_it_is_executed_again():
    progress = Progress(ends(0), Height(5), Height(9), Height(4))
    assert (progress.executed.height, progress.final_height, progress.attested_height) == (5, 9, 4)
    progress.note_final(Height(8))
    assert progress.final_height == 9


def test_an_executed_block_is_ordered_too():
    progress = progress_at(0, 0)
    progress.note_executed(ends(1, 0), Height(1))
    assert progress.ordered.covers(0, 1)


def test_the_step_that_reached_a_position_is_remembered_and_one_before_the_start_is_not():
    progress = progress_at(3, 0)
    progress.note_executed(ends(5, 0), Height(7))
    progress.note_executed(ends(9, 0), Height(8))
    assert progress.executed.first_covering(0, 6).height == 8
    assert progress.executed.first_covering(0, 9).height == 8
    assert progress.executed.first_covering(0, 5).height == 7
    assert progress.executed.first_covering(0, 2) is None
    assert progress.executed.first_covering(0, 10) is None


def test_a_step_after_the_start_did_not_reach_what_was_reached_before():
    progress = progress_at(7, 0, height=100)
    progress.note_executed(ends(7, 0), Height(101))
    progress.note_executed(ends(7, 3), Height(102))
    assert progress.executed.first_covering(0, 7) is None
    assert progress.ordered.first_covering(0, 7) is None
    assert progress.executed.first_covering(1, 0) is None
    assert progress.executed.first_covering(1, 1).height == 102


def test_what_the_first_step_reached_is_known_whole():
    progress = progress_at(3)
    progress.note_executed(ends(6), Height(7))
    assert [getattr(progress.executed.first_covering(0, seq), "height", None) for seq in (3, 4, 6)] == [None, 7, 7]


def test_what_forgotten_steps_reached_is_not_said_of_a_later_one():
    history = CutHistory(ends(0, 0), Height(0))
    for step in range(1, 2 * HISTORY_MAX + 2):
        history.note(ends(step, 5), Height(step))
    assert history.first_covering(1, 5) is None
    assert history.first_covering(0, HISTORY_MAX) is None
    oldest = history.first_covering(0, HISTORY_MAX + 1)
    assert oldest is not None
    assert oldest.height == HISTORY_MAX + 1


def test_times_of_heights_are_those_of_the_first_note_at_or_above():
    progress = progress_at(0)
    progress.note_final(Height(4))
    progress.note_final(Height(6))
    assert progress.final_ms(Height(5)) is not None
    assert progress.final_ms(Height(7)) is None


async def test_a_waiter_wakes_at_its_own_position(nursery):
    progress = progress_at(0, 0)
    woken = []

    async def wait(lane, seq):
        await progress.until_lane(Status.FINAL, ValidatorIndex(lane), Seq(seq))
        woken.append((lane, seq))

    for place in ((0, 2), (0, 1), (1, 1)):
        nursery.start_soon(wait, *place)
    await trio.testing.wait_all_tasks_blocked()
    progress.note_executed(ends(1, 0), Height(1))
    await trio.testing.wait_all_tasks_blocked()
    assert woken == [(0, 1)]
    progress.note_executed(ends(2, 1), Height(2))
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(woken) == [(0, 1), (0, 2), (1, 1)]


async def test_a_certificate_wakes_all_lower_heights(nursery):
    progress = progress_at(0)
    woken = []

    async def wait(height):
        await progress.until_attested(Height(height))
        woken.append(height)

    for height in (3, 1, 2):
        nursery.start_soon(wait, height)
    await trio.testing.wait_all_tasks_blocked()
    progress.note_attested(Height(2))
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(woken) == [1, 2]
    progress.note_attested(Height(9))


async def test_waiters_that_gave_up_leave_nothing_behind(nursery):
    waiters, woken = Waiters(), []

    async def wait(position):
        await waiters.until(position)
        woken.append(position)

    for position in (7, 5):
        nursery.start_soon(wait, position)
    await trio.testing.wait_all_tasks_blocked()
    for position in range(1_000):
        with trio.CancelScope() as scope:
            scope.cancel()
            await waiters.until(position)
        assert waiters.held <= 2 * 2 + 1
    waiters.wake(5)
    await trio.testing.wait_all_tasks_blocked()
    assert woken == [5]
    waiters.wake(1_000)
    await trio.testing.wait_all_tasks_blocked()
    assert woken == [5, 7]
    assert waiters.held == 0


async def test_a_waiter_that_is_cancelled_as_it_is_woken_is_not_counted_twice(nursery):
    waiters = Waiters()
    for _ in range(3):
        with trio.CancelScope() as scope:
            nursery.start_soon(trio.lowlevel.checkpoint)

            async def cancel_and_wake(scope=scope):
                scope.cancel()
                waiters.wake(9)

            nursery.start_soon(cancel_and_wake)
            await waiters.until(9)
    assert waiters.held == 0


def test_what_is_forgotten_was_reached_at_or_below_a_height_that_is_told():
    history = CutHistory(ends(3), Height(5))
    assert history.forgotten_height == 5
    for height in range(6, 6 + 2 * HISTORY_MAX + 1):
        history.note(ends(height), Height(height))
    forgotten = history.forgotten_height
    assert history.first_covering(0, forgotten) is None
    found = history.first_covering(0, forgotten + 1)
    assert found is not None
    assert found.height == forgotten + 1


def test_what_is_committed_is_ordered_before_it_is_executed():
    progress = Progress(ends(1), Height(5), Height(9), Height(4), ordered=ends(7))
    assert progress.ordered.covers(0, 7)
    assert not progress.executed.covers(0, 7)
    assert progress.ordered.height == 9
    assert Progress(ends(1), Height(5), Height(0), Height(4), ordered=ends(1)).ordered.height == 5  # from a checkpoint
