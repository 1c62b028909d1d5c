"""Nodes that hang up while a request is on its way: one client error, and nothing left behind."""

import gc
import socket
import struct

import pytest
import trio

from consensus.numbers import NamespaceId
from sequencer.client.client import SequencerClient
from sequencer.client.errors import OutcomeUnknown

RESET = struct.pack("ii", 1, 0)  # linger for 0 s: close with a reset


async def test_a_reset_in_the_middle_of_a_body_is_an_unknown_outcome(nursery):
    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.receive_some(1_000)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await stream.aclose()

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, hang_up, [listener])
    port = listener.socket.getsockname()[1]
    async with SequencerClient(f"http://127.0.0.1:{port}") as client:
        for _ in range(3):
            with pytest.raises(OutcomeUnknown):
                await client.send_many(NamespaceId(1001), [bytes(60_000)] * 60)
    gc.collect()  # an unfinished generator would warn, and warnings are errors
    await trio.lowlevel.checkpoint()
    nursery.cancel_scope.cancel()
