"""The shared ring: bounded, and nobody who waits is forgotten."""

import pytest
import trio
import trio.testing

from sequencer.rpc.ring import FellBehind, Ring
from sequencer.rpc.waking import WOKEN_AT_ONCE


def test_positions_rise_and_the_oldest_go():
    ring: Ring[int] = Ring(3, 1_000)
    for number in range(5):
        ring.append(f"item {number}", number)
    assert (ring.first_position, ring.next_position, ring.tags()) == (2, 5, [2, 3, 4])
    assert ring.at(2).text == "item 2"
    with pytest.raises(FellBehind):
        ring.at(1)


def test_bytes_are_bounded_and_the_newest_is_kept_whatever_its_size():
    ring: Ring[int] = Ring(100, 10)
    for number, size in enumerate((4, 4, 4, 50)):
        ring.append("x" * size, number)
        assert ring.held_bytes <= 10 or ring.tags() == [number]
    assert ring.tags() == [3]
    ring.append("y", 4)
    assert (ring.tags(), ring.held_bytes) == ([4], 1)


async def test_one_item_wakes_everybody_a_few_at_a_time():
    ring: Ring[None] = Ring(10, 1_000)
    woken: list[int] = []

    async def follow(number: int) -> None:
        await ring.until(0)
        woken.append(number)
        for _ in range(3):  # as if it sent something
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(follow, number)
        await trio.testing.wait_all_tasks_blocked()
        ring.append("item", None)
        most, before = 0, 0
        while len(woken) < 100:
            await trio.lowlevel.checkpoint()
            most, before = max(most, len(woken) - before), len(woken)
    assert most <= 2 * WOKEN_AT_ONCE  # this task looks once in each of two turns of the loop


async def test_one_that_gives_up_while_it_waits_or_is_woken_breaks_no_chain():
    ring: Ring[None] = Ring(10, 1_000)
    scopes = [trio.CancelScope() for _ in range(30)]
    reached: list[int] = []

    async def follow(number: int) -> None:
        with scopes[number]:
            await ring.until(0)
            await trio.lowlevel.checkpoint()
            reached.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(follow, number)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(0, 30, 3):
            scopes[number].cancel()
        ring.append("item", None)
        for number in range(1, 30, 3):
            scopes[number].cancel()
    assert sorted(reached) == list(range(2, 30, 3))


async def test_followers_that_have_everything_wake_each_other_no_more():
    ring: Ring[None] = Ring(10, 1_000)
    taken = [0] * 40

    async def follow(number: int) -> None:
        while True:
            await ring.until(taken[number])
            taken[number] += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for number in range(len(taken)):
            nursery.start_soon(follow, number)
        for items in (1, 2, 4):
            await trio.testing.wait_all_tasks_blocked()
            while ring.next_position < items:
                ring.append("item", None)
        with trio.fail_after(2):
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert set(taken) == {4}
