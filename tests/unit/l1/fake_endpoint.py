"""An L1 endpoint in memory: answers what a test says, and remembers what it was asked."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import trio

URL = "http://provider.example/v1/a-secret-key"


class Body(httpx.AsyncByteStream):
    """An answer's bytes in pieces; counts how many were taken."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.taken = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if self.taken == len(self.pieces):
            raise StopAsyncIteration
        self.taken += 1
        return self.pieces[self.taken - 1]


@dataclass
class FakeEndpoint(httpx.AsyncBaseTransport):
    """`answer(method, parameters)` gives the result; what it raises is raised by the connection."""

    answer: Callable[[str, list[Any]], Any] | None = None
    body: Callable[[int], bytes] | None = None  # instead: the answer's bytes, by the request's id
    status: int = 200
    pieces: int = 1
    asked: list[tuple[str, list[Any]]] = field(default_factory=list)
    sent: list[Body] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        question = json.loads(await request.aread())
        assert set(question) == {"jsonrpc", "id", "method", "params"}
        self.asked.append((question["method"], question["params"]))
        if self.body is not None:
            data = self.body(question["id"])
        else:
            assert self.answer is not None
            result = self.answer(question["method"], question["params"])
            shape = result if isinstance(result, Refusal) else {"result": result}
            fields = {"error": shape.fields} if isinstance(shape, Refusal) else shape
            data = json.dumps({"jsonrpc": "2.0", "id": question["id"], **fields}).encode()
        step = -(-len(data) // self.pieces) or 1
        self.sent.append(Body([data[start : start + step] for start in range(0, len(data), step)]))
        return httpx.Response(self.status, stream=self.sent[-1])


@dataclass(frozen=True)
class Refusal:
    """A JSON-RPC error."""

    fields: dict[str, Any]


def refusal(code: int, message: str, data: str | None = None) -> Refusal:
    return Refusal({"code": code, "message": message} | ({} if data is None else {"data": data}))
