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
    assert [message["type"] for message in sent] == ["websocket.send"] * 3 + ["websocket.close"]
    assert sent[-1]["code"] == 1013


async def test_what_all_connections_of_a_client_leave_unread_is_bounded_together(autojump_clock, monkeypatch):
    monkeypatch.setattr("sequencer.rpc.context.ANSWERS_BYTES_MAX", 20_000)
    context = Context(FakeService(Committee()), RpcOptions(port=0), Metrics("test"))
    reads = trio.Event()
    sent: list[list[Any]] = [[] for _ in range(4)]

    async def serve(number: int) -> None:
        async def send(message: Any) -> None:
            sent[number].append(message["type"])
            await reads.wait()

        async def read(nursery: trio.Nursery) -> None:
            for _ in range(3):
                nursery.start_soon(session.answer, b"x" * 1_000)

        session = Session(context, Feeds(context, lambda error: None), send)
        await session.run(read)

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(serve, number)
            await trio.testing.wait_all_tasks_blocked()
        reads.set()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert sum(messages.count("websocket.send") for messages in sent) == 10
    assert sent[0] == sent[1] == ["websocket.send"] * 3
    assert sent[3] == ["websocket.send", "websocket.close"]
    with context.answer_held(10_000):  # every place was given back
        pass
