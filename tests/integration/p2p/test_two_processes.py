"""Links between processes: one that stops, one that dies, and what it takes to fill one."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import trio

from tests.integration.p2p.nodes import BATCH, ECHO, VOTE, RecordingNode, is_linked, make_host, start, until

ROOT = Path(__file__).resolve().parents[3]


class Process:
    """A validator with index 1 in another process."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._unread = b""

    async def line(self) -> str:
        assert self._process.stdout is not None
        with trio.fail_after(60):
            while b"\n" not in self._unread:
                data = await self._process.stdout.receive_some()
                assert data, "the process has ended"
                self._unread += data
        line, self._unread = self._unread.split(b"\n", 1)
        return line.decode()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def end(self) -> bytes:
        """Kill it, stopped or not; returns what it wrote to stderr."""
        assert self._process.stderr is not None
        self._process.kill()
        await self._process.wait()
        said = b""
        async for data in self._process.stderr:
            said += data
        assert self._process.stdout is not None
        await self._process.stdout.aclose()
        await self._process.stderr.aclose()
        return said


@asynccontextmanager
async def other_process(port: int = 0) -> AsyncIterator[tuple[Process, int]]:
    command = [sys.executable, "-W", "error", "-m", "tests.integration.p2p.peer_process", str(port)]
    process = Process(
        await trio.lowlevel.open_process(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    )
    ended = False
    try:
        yield process, int(await process.line())
        ended = True
        assert await process.end() == b"", "a daemon's stderr stays clean"
    finally:
        if not ended:
            with trio.CancelScope(shield=True):
                sys.stderr.buffer.write(await process.end())


async def test_a_link_between_processes() -> None:
    async with other_process() as (_, port), trio.open_nursery() as nursery:
        node = RecordingNode()
        host = make_host(0, {1: ("127.0.0.1", port)}, node)
        await start(nursery, host)
        await until(lambda: is_linked(host, 1))
        assert node.opened == [(1, b"from the other process")]
        assert await host.request(1, ECHO, b"well?", timeout_ms=60_000, response_bytes_max=5) == b"well?"
        nursery.cancel_scope.cancel()


async def test_every_byte_of_many_batches_arrives() -> None:
    async with other_process() as (process, port), trio.open_nursery() as nursery:
        node = RecordingNode()
        host = make_host(0, {1: ("127.0.0.1", port)}, node)
        await start(nursery, host)
        await until(lambda: is_linked(host, 1))
        batch = bytes(1024 * 1024)
        for _ in range(40):
            await until(lambda: host.send(1, BATCH, batch))
        assert host.send(1, VOTE, b"are", urgent=True)
        assert (await process.line()).startswith("are ")
        count = 0
        while count < 40 * len(batch):
            assert host.send(1, VOTE, b"all", urgent=True)
            count = int((await process.line()).removeprefix("all "))
        assert count == 40 * len(batch)
        assert node.closed == []
        nursery.cancel_scope.cancel()


async def test_a_stopped_peer_is_noticed_by_its_silence_and_linked_again_when_it_goes_on() -> None:
    async with other_process() as (process, port), trio.open_nursery() as nursery:
        node = RecordingNode()
        host = make_host(0, {1: ("127.0.0.1", port)}, node)
        await start(nursery, host)
        await until(lambda: is_linked(host, 1))
        process.signal(signal.SIGSTOP)
        await until(lambda: node.closed == [(1, "silence")])
        assert not host.send(1, VOTE, b"nobody", urgent=True)
        process.signal(signal.SIGCONT)
        await until(lambda: is_linked(host, 1))
        assert host.send(1, VOTE, b"welcome", urgent=True)
        assert await process.line() == "welcome 0"
        nursery.cancel_scope.cancel()


async def test_a_stopped_peer_is_noticed_although_our_writer_is_stuck_in_the_middle_of_a_batch() -> None:
    async with other_process() as (process, port), trio.open_nursery() as nursery:
        node = RecordingNode()
        host = make_host(0, {1: ("127.0.0.1", port)}, node)
        await start(nursery, host)
        await until(lambda: is_linked(host, 1))
        process.signal(signal.SIGSTOP)
        while host.send(1, BATCH, bytes(1024 * 1024)):
            await trio.lowlevel.checkpoint()
        await until(lambda: node.closed == [(1, "silence")])
        process.signal(signal.SIGCONT)
        await until(lambda: is_linked(host, 1))
        nursery.cancel_scope.cancel()


async def test_a_killed_peer_is_noticed_at_once_and_linked_again_when_it_restarts() -> None:
    async with trio.open_nursery() as nursery:
        node = RecordingNode()
        async with other_process() as (_, port):
            host = make_host(0, {1: ("127.0.0.1", port)}, node)
            await start(nursery, host)
            await until(lambda: is_linked(host, 1))
        await until(lambda: node.closed == [(1, "connection_lost")])
        async with other_process(port):
            await until(lambda: is_linked(host, 1))
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seed", range(2))
async def test_a_strangers_bytes_are_not_worth_a_line_on_stderr(seed: int) -> None:
    async with other_process() as (_, port), trio.open_nursery() as nursery:
        for opening in (b"", b"\x13/multistream/1.0.0\n\x07/noise\n\x00\x20" + bytes(range(32))):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stranger:
                await stranger.send_all(opening + Random(seed).randbytes(1_000))
        host = make_host(0, {1: ("127.0.0.1", port)}, RecordingNode())
        await start(nursery, host)
        await until(lambda: is_linked(host, 1))
        nursery.cancel_scope.cancel()
