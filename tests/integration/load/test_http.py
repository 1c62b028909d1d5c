"""The load's HTTP client against servers that answer as they like, on loopback."""

from functools import partial

import pytest
import trio

from sequencer.load.errors import PlanFault, Unanswered
from sequencer.load.http import NodeConnections

KEPT = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"
LAST = b"HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@pytest.fixture
def opened():
    """The connections that the servers had."""
    return []


@pytest.fixture
async def serve(nursery, opened):
    """Takes the answers of every connection, after which it is closed; returns the server's address."""

    async def answer_all(answers, stream):
        opened.append(stream)
        for answer in answers:
            if not await stream.receive_some(65_536):
                return
            await stream.send_all(answer)
        await stream.aclose()

    async def start(*answers):
        listeners = await nursery.start(partial(trio.serve_tcp, partial(answer_all, answers), 0, host="127.0.0.1"))
        return f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"

    yield start
    nursery.cancel_scope.cancel()


async def test_a_connection_is_kept_for_the_next_request(serve, opened):
    async with NodeConnections(await serve(KEPT, CHUNKED, KEPT)) as node:
        for _ in range(3):
            assert (await node.ask("GET", "/", body=b"x")).body == b"ok"
    assert len(opened) == 1


async def test_a_connection_that_the_node_ends_is_not_used_again(serve, opened):
    async with NodeConnections(await serve(LAST)) as node:
        for _ in range(2):
            assert (await node.ask("GET", "/")).status == 503
    assert len(opened) == 2


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", b"nonsense\r\n\r\n", b""])
async def test_what_is_no_answer_is_said_to_be_none(serve, answer):
    async with NodeConnections(await serve(answer)) as node:
        with pytest.raises(Unanswered) as caught:
            await node.ask("GET", "/")
    assert caught.value.kind in {"garbage", "reset"}


async def test_silence_is_a_timeout(serve):
    async with NodeConnections(await serve(b"HTTP/1.1 200 OK\r\n", KEPT)) as node:
        with pytest.raises(Unanswered) as caught:
            await node.ask("GET", "/", timeout_s=0.05)
    assert caught.value.kind == "timeout"


async def test_nobody_listens(serve):
    url = await serve()
    async with NodeConnections(url.rpartition(":")[0] + ":1") as node:
        with pytest.raises(Unanswered) as caught:
            await node.ask("GET", "/")
    assert caught.value.kind in {"refused", "reset"}


def test_an_address_that_is_none():
    with pytest.raises(PlanFault):
        NodeConnections("127.0.0.1:80")
