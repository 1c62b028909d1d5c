"""One client's WebSocket: what waits for a client that does not read is bounded."""

from typing import Any

import trio
import trio.testing

from sequencer.rpc.context import Context
from sequencer.rpc.feeds import Feeds
from sequencer.rpc.options import RpcOptions
from sequencer.rpc.session import Session
from sequencer.telemetry.metrics import Metrics
from tests.committee import Committee
from tests.integration.rpc.fake_service import FakeService


async def test_a_client_that_does_not_read_its_answers_is_closed(autojump_clock, monkeypatch):
    monkeypatch.setattr("sequencer.rpc.session.BATCH_ANSWER_BYTES_MAX", 4_096)
    context = Context(FakeService(Committee()), RpcOptions(port=0), Metrics("test"))
    sent: list[Any] = []
    reads = trio.Event()

    async def send(message: Any) -> None:
        sent.append(message)
        await reads.wait()

    session = Session(context, Feeds(context, lambda error: None), send)

    async def read(nursery: trio.Nursery) -> None:
        for _ in range(20):
            nursery.start_soon(session.answer, b"x" * 2_000)
            await trio.testing.wait_all_tasks_blocked()
        reads.set()

    await session.run(read)
    assert [message["type"] for message in sent] == ["websocket.send"] * 4 + ["websocket.close"]
    assert sent[-1]["code"] == 1013
