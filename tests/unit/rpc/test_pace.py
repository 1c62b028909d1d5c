"""How fast a client's messages are read."""

import trio

from sequencer.rpc.pace import Pace


async def test_a_burst_passes_and_what_is_more_waits(autojump_clock):
    pace = Pace(10)
    began_s = trio.current_time()
    for _ in range(10):
        await pace.take()
    assert trio.current_time() == began_s
    for _ in range(20):
        await pace.take()
    assert trio.current_time() - began_s == 2.0


async def test_it_recovers_and_saves_no_more_than_a_burst(autojump_clock):
    pace = Pace(10)
    for _ in range(10):
        await pace.take()
    await trio.sleep(1_000)
    began_s = trio.current_time()
    for _ in range(10):
        await pace.take()
    assert trio.current_time() == began_s
    await pace.take()
    assert trio.current_time() > began_s
