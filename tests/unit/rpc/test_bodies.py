"""How much of all bodies together one client may hold."""

from contextlib import AsyncExitStack

import pytest
from starlette.requests import Request

from sequencer.rpc.bodies import BodyReader
from sequencer.rpc.errors import RequestRefused
from sequencer.rpc.options import BODIES_BYTES_MAX_FACTOR

BODY_BYTES_MAX = 1_000
TYPES = ("application/octet-stream",)


def request_of(client: str, chunks: list[bytes]) -> Request:
    left = list(chunks)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    scope = {"type": "http", "client": (client, 1), "headers": [(b"content-type", b"application/octet-stream")]}
    return Request(scope, receive)


async def test_one_client_does_not_take_the_room_of_another() -> None:
    bodies = BodyReader(BODY_BYTES_MAX)
    body = [bytes(500), bytes(500)]
    async with AsyncExitStack() as held:
        for _ in range(BODIES_BYTES_MAX_FACTOR // 2):
            await held.enter_async_context(bodies.held(request_of("192.0.2.1", body), TYPES))
        with pytest.raises(RequestRefused, match="overloaded"):
            await held.enter_async_context(bodies.held(request_of("192.0.2.1", [b"a"]), TYPES))
        for _ in range(BODIES_BYTES_MAX_FACTOR // 4):
            assert await held.enter_async_context(bodies.held(request_of("192.0.2.2", body), TYPES)) == bytes(1_000)
    async with bodies.held(request_of("192.0.2.1", body), TYPES) as found:
        assert found == bytes(1_000)


async def test_what_is_refused_holds_nothing() -> None:
    bodies = BodyReader(BODY_BYTES_MAX)
    for _ in range(3 * BODIES_BYTES_MAX_FACTOR):
        for chunks in ([bytes(1_001)], [bytes(1_000), b"a"], [bytes(999), b"", b"ab"]):
            with pytest.raises(RequestRefused, match="oversized"):
                async with bodies.held(request_of("192.0.2.1", chunks), TYPES):
                    pass
    async with bodies.held(request_of("192.0.2.1", [bytes(1_000)]), TYPES):
        pass
