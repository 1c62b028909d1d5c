"""How far the chain is: whoever waits for it is told, and many of them fill no turn of the event loop."""

import trio
import trio.testing

from consensus.numbers import Height
from sequencer.rpc.rungs import Rungs
from sequencer.rpc.waking import WOKEN_AT_ONCE
from tests.committee import Committee
from tests.integration.rpc.fake_service import FakeService


async def test_thousands_that_wait_are_all_woken_and_only_a_few_at_a_time():
    rungs = Rungs(FakeService(Committee()).sync_status())
    seen = [Height(0)] * 2_000
    awake = 0

    async def follow(number: int) -> None:
        nonlocal awake
        while True:
            await rungs.until_moved()
            awake += 1
            seen[number] = rungs.executed_height
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for number in range(len(seen)):
            nursery.start_soon(follow, number)
        most = 0
        for height in range(100, 103):
            await trio.testing.wait_all_tasks_blocked()
            awake, before = 0, 0
            rungs.executed_height = Height(height)
            rungs.wake()
            while awake < len(seen):
                await trio.lowlevel.checkpoint()
                most, before = max(most, awake - before), awake
            assert set(seen) == {height}
        await trio.testing.wait_all_tasks_blocked()
        assert awake == len(seen)
        nursery.cancel_scope.cancel()
    assert most <= 2 * WOKEN_AT_ONCE  # this task looks once in each of two turns of the loop


async def test_what_moves_while_some_are_not_woken_yet_is_told_once():
    rungs = Rungs(FakeService(Committee()).sync_status())
    told = [0] * 50

    async def follow(number: int) -> None:
        while True:
            await rungs.until_moved()
            told[number] += 1

    async with trio.open_nursery() as nursery:
        for number in range(len(told)):
            nursery.start_soon(follow, number)
        await trio.testing.wait_all_tasks_blocked()
        rungs.wake()
        rungs.wake()
        await trio.testing.wait_all_tasks_blocked()
        assert set(told) == {1}
        nursery.cancel_scope.cancel()
