"""A client that opens far more connections than a node takes, and keeps them open without a word.

Responsible for: the connections, and what must become of them: those above the bound are told 503, the node closes the
others after a while, and none is left hanging.
"""

import resource

import trio

from tests.bench.judging import Judgement

_SPARE_FILES = 500
_OPEN_AT_ONCE = 200
_PATIENCE_S = 90.0  # above the node's 10 s for a first request
_REFUSAL = b"HTTP/1.1 503"


async def hold_connections(host: str, port: int, count: int, judgement: Judgement) -> None:
    """Opens them all, and waits until the node has ended every one."""
    count = min(count, _allow_files(count + _SPARE_FILES) - _SPARE_FILES)
    refused = closed = hanging = 0
    slots = trio.CapacityLimiter(_OPEN_AT_ONCE)

    async def hold() -> None:
        nonlocal refused, closed, hanging
        try:
            async with slots:
                stream = await trio.open_tcp_stream(host, port)
        except OSError:  # the kernel's own queue was full
            refused += 1
            return
        async with stream:
            try:
                with trio.fail_after(_PATIENCE_S):
                    said = await _read_to_end(stream)
            except trio.TooSlowError:
                hanging += 1
                return
            refused, closed = refused + said.startswith(_REFUSAL), closed + (not said.startswith(_REFUSAL))

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(hold)
    seen = f"{count:,} opened, {refused:,} refused, {closed:,} closed by the node, {hanging:,} left hanging"
    judgement.note(
        "silent connections are refused or closed", holds=hanging == 0 and refused + closed == count, seen=seen
    )


async def _read_to_end(stream: trio.SocketStream) -> bytes:
    said = b""
    try:
        while chunk := await stream.receive_some(4_096):
            said += chunk
    except trio.BrokenResourceError:  # closed the hard way
        pass
    return said


def _allow_files(wanted: int) -> int:
    """Raises our limit of open files as far as it goes; returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft
