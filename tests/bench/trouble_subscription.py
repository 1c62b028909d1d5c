"""A client that subscribes over WebSocket and never reads: it must be told and closed, and cost nothing more.

Responsible for: the handshake, the subscriptions, and not reading. Says so where a node has no WebSocket.
Refuses to do: speak more of RFC 6455 than one masked text frame.
"""

import json
import secrets
import socket

import trio

from tests.bench.judging import Judgement

_RECEIVE_BUFFER_BYTES = 4_096  # as little as the kernel allows: what is not read stays with the node soon
_PATIENCE_S = 120.0
_POLL_S = 1.0
_ANSWER_S = 20.0
_RESULT = b'"result":"'  # of the answer to a call: the subscription's id
_SWITCHING = b" 101 "


async def never_read(host: str, port: int, namespace: int, judgement: Judgement) -> None:
    """Subscribes to heads and to a namespace from its beginning, reads the answers, waits until it is closed."""
    plain = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    await plain.connect((host, port))
    async with trio.SocketStream(plain) as stream:
        await stream.send_all(_handshake(host, port))
        answer = await stream.receive_some(1_024)
        if _SWITCHING not in answer.split(b"\r\n", 1)[0]:
            judgement.note("skipped: this node has no WebSocket", holds=True, seen=answer.split(b"\r\n", 1)[0].decode())
            return
        topics = (["heads", {}], ["namespace", {"namespace": namespace, "from_index": 0}])
        for number, params in enumerate(topics):
            call = {"jsonrpc": "2.0", "id": number, "method": "seq_subscribe", "params": params}
            await stream.send_all(text_frame(json.dumps(call).encode()))
        taken = await _read_results(stream, len(topics))
        judgement.note("subscriptions are taken", holds=taken == len(topics), seen=taken)
        began = trio.current_time()
        with trio.move_on_after(_PATIENCE_S):
            await _until_closed(stream)
            seen = f"after {trio.current_time() - began:.0f} s"
            judgement.note("a subscriber that never reads is closed", holds=True, seen=seen)
            return
        judgement.note("a subscriber that never reads is closed", holds=False, seen=f"open after {_PATIENCE_S:g} s")


async def _read_results(stream: trio.SocketStream, count: int) -> int:
    """How many of so many calls were answered with a result; from here on nothing is read."""
    said = b""
    with trio.move_on_after(_ANSWER_S):
        while said.count(_RESULT) < count and (chunk := await stream.receive_some(1_024)):
            said += chunk
    return min(count, said.count(_RESULT))


async def _until_closed(stream: trio.SocketStream) -> None:
    """A ping that cannot be sent any more says that the other end has gone: nothing is read to learn it."""
    try:
        while True:
            await trio.sleep(_POLL_S)
            await stream.send_all(text_frame(b"{}"))
    except trio.BrokenResourceError:
        return


def _handshake(host: str, port: int) -> bytes:
    lines = (
        "GET /ws HTTP/1.1",
        f"Host: {host}:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "",
        "",
    )
    return "\r\n".join(lines).encode()


def text_frame(payload: bytes) -> bytes:
    """One frame, masked as a client's must be."""
    mask = secrets.token_bytes(4)
    length = len(payload)
    head = bytes([0x81, 0x80 | length]) if length < 126 else bytes([0x81, 0xFE]) + length.to_bytes(2, "big")
    return head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
