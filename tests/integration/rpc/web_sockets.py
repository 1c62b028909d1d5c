"""A subscriber over a real WebSocket, by another library than the server's; and a chain that grows as a test says."""

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from consensus.numbers import Height
from consensus.vocabulary.batch import Batch
from sequencer.rpc.listening import Server
from tests.chain_run import ChainRun
from tests.committee import ATTEST_MS, FIRST
from tests.integration.rpc.fake_service import FakeService

ANSWER_SECONDS_MAX = 20


class Subscriber:
    """Calls, and takes what is notified meanwhile."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self.socket = socket
        self._notified: deque[dict[str, Any]] = deque()
        self._number = 0

    async def call(self, method: str, *params: Any) -> dict[str, Any]:
        """The whole answer."""
        self._number += 1
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": list(params)}
        await self.socket.send_message(msgspec.json.encode(request).decode())
        while True:
            message = await self.receive()
            if message.get("id") == self._number:
                return message
            self._notified.append(message)

    async def subscribe(self, kind: str, **wanted: Any) -> str:
        """The subscription's id."""
        answer = await self.call("seq_subscribe", kind, wanted)
        assert "result" in answer, answer
        return answer["result"]

    async def receive(self) -> dict[str, Any]:
        """The next message of the server."""
        with trio.fail_after(ANSWER_SECONDS_MAX):
            return msgspec.json.decode(await self.socket.get_message())

    async def notified(self) -> dict[str, Any]:
        """The params of the next notification."""
        message = self._notified.popleft() if self._notified else await self.receive()
        assert message["method"] == "seq_subscription"
        return message["params"]

    async def item(self) -> Any:
        """The next item of the one subscription."""
        return (await self.notified())["result"]


@asynccontextmanager
async def subscriber(server: Server, **options: Any) -> AsyncIterator[Subscriber]:
    """An open WebSocket."""
    url = server.url.replace("http:", "ws:") + "/ws"
    async with open_websocket_url(url, max_message_size=16 * 1024 * 1024, **options) as socket:
        yield Subscriber(socket)


class GrowingChain:
    """The chain of a service in memory: what is added is told to whoever listens."""

    def __init__(self, service: FakeService) -> None:
        self.service = service
        self.run = ChainRun(service.committee)
        self._ts_ms = 0

    def add(self, *items: bytes, attested: bool = False) -> None:
        """One block, of FIRST if it has items."""
        self.add_batches(self.run.data(0, *items) if items else None, attested=attested)

    def add_batches(self, batches: dict[int, list[Batch]] | None, *, attested: bool) -> None:
        """One block. `attested`: it is due for it. A quorum signs at once what is due."""
        attested_before = set(self.run.attestations)
        self._ts_ms += ATTEST_MS if attested else 1
        self.run.block(self._ts_ms, batches)
        self.service.delivered[FIRST] = [self.run.delivered(index) for index in range(len(self.run.executed[FIRST]))]
        height = self.run.state.height
        self.service.heights = (height, height, height, Height(max(self.run.attestations, default=0)), height)
        assert self.service.listener is not None
        self.service.listener.note_executed(height)
        for attested_height in set(self.run.attestations) - attested_before:
            self.service.proofs.append(self.run.proof(attested_height))
            self.service.listener.note_attested(Height(attested_height))


async def until(condition: Callable[[], object]) -> None:
    """Returns once it holds: for what a server does after its client has gone."""
    with trio.fail_after(ANSWER_SECONDS_MAX):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await trio.sleep(0.005)
