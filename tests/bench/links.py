"""`python -m tests.bench.links`: one link between two processes: bytes, small frames, round trips, and their CPU.

Prints the rate of large frames with the CPU of each end, round trips of a small frame on an idle link (percentiles),
and the rate of small frames. The numbers are those of the real host: Noise, multiplexer, queues, callbacks.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path

import trio

from p2p.bounds import LinkBounds
from p2p.host import ValidatorHost
from tests.integration.p2p.nodes import NOWHERE, RecordingNode, is_linked, make_host, start, status, until

ROOT = Path(__file__).resolve().parents[2]
SMALL, LARGE, ECHOED, REPORT = range(1, 5)
QUEUED_BYTES_MAX = 4 * 1024 * 1024
BOUNDS = LinkBounds(frames={SMALL: 1_000, LARGE: 2 * 1024 * 1024, ECHOED: 1_000, REPORT: 1_000}, requests={})


class Receiver(RecordingNode):
    """Counts; echoes; says on request what it has counted."""

    host: ValidatorHost
    count = 0
    large_bytes = 0

    async def frame_received(self, peer: int, kind: int, body: bytes) -> None:
        self.count += 1
        if kind == LARGE:
            self.large_bytes += len(body)
        elif kind == ECHOED:
            self.host.send(peer, ECHOED, body, urgent=True)
        elif kind == REPORT:
            report = {"frames": self.count, "bytes": self.large_bytes, "cpu_s": sum(os.times()[:2])}
            self.host.send(peer, REPORT, json.dumps(report).encode(), urgent=True)


class Sender(RecordingNode):
    """Hands on what comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.to_me, self.answers = trio.open_memory_channel[bytes](16)

    async def frame_received(self, peer: int, kind: int, body: bytes) -> None:
        await self.to_me.send(body)


async def receive() -> None:
    """The other process."""
    node = Receiver()
    node.host = make_host(1, {0: NOWHERE}, node, bounds=BOUNDS)
    async with trio.open_nursery() as nursery:
        _, port = await start(nursery, node.host)
        print(port, flush=True)


class Link:
    """The measuring end of it."""

    def __init__(self, host: ValidatorHost, node: Sender) -> None:
        self.host, self.node = host, node

    async def report(self) -> dict[str, float]:
        """What the other process has counted; all that was sent before as urgent has arrived there."""
        await until(lambda: self.host.send(1, REPORT, b"", urgent=True))
        answer: dict[str, float] = json.loads(await self.node.answers.receive())
        return answer

    async def flood(self, kind: int, body: bytes, seconds: float, *, urgent: bool) -> tuple[float, float, float, float]:
        """(frames received, seconds, CPU seconds of the sender, of the receiver)."""
        before, cpu_s, began = await self.report(), sum(os.times()[:2]), trio.current_time()
        sent = 0
        while trio.current_time() - began < seconds:
            for _ in range(64):
                if status(self.host, 1).queue_bytes > QUEUED_BYTES_MAX:
                    await trio.sleep(0.001)
                    break
                sent += self.host.send(1, kind, body, urgent=urgent)
            await trio.lowlevel.checkpoint()
        after = await self.report()
        while after["frames"] - before["frames"] < sent:
            await trio.sleep(0.005)
            after = await self.report()
            before["frames"] += 1
        took_s = trio.current_time() - began
        return sent, took_s, sum(os.times()[:2]) - cpu_s, after["cpu_s"] - before["cpu_s"]

    async def round_trips_ms(self, count: int) -> list[float]:
        """Of a frame of 200 bytes on an idle link."""
        found = []
        for _ in range(count):
            began = trio.current_time()
            self.host.send(1, ECHOED, bytes(200), urgent=True)
            await self.node.answers.receive()
            found.append(1_000 * (trio.current_time() - began))
        return found


async def measure(options: argparse.Namespace, port: int) -> None:
    node = Sender()
    host = make_host(0, {1: ("127.0.0.1", port)}, node, bounds=BOUNDS)
    async with trio.open_nursery() as nursery:
        await start(nursery, host)
        await until(lambda: is_linked(host, 1))
        link = Link(host, node)
        trips = sorted((await link.round_trips_ms(options.round_trips))[10:])
        print(f"round trip of 200 B: p50 {statistics.median(trips):.2f} ms, p99 {trips[int(0.99 * len(trips))]:.2f} ms")
        for size in (64 * 1024, 512 * 1024, 1024 * 1024):
            flood = partial(link.flood, LARGE, bytes(size), options.seconds, urgent=False)
            frames, took_s, sender_s, receiver_s = await flood()
            sent_mb = frames * size / 1e6
            print(
                f"frames of {size // 1024:>4} KiB: {sent_mb / took_s:6.0f} MB/s, CPU per MB "
                f"{1e3 * sender_s / sent_mb:.2f} + {1e3 * receiver_s / sent_mb:.2f} ms"
            )
        frames, took_s, sender_s, receiver_s = await link.flood(SMALL, bytes(200), options.seconds, urgent=True)
        print(
            f"frames of 200 B: {frames / took_s:,.0f} per second, CPU per frame "
            f"{1e6 * sender_s / frames:.1f} + {1e6 * receiver_s / frames:.1f} µs"
        )
        nursery.cancel_scope.cancel()


def main() -> None:
    """Parses the options, starts the other process and measures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.links", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each flood")
    parser.add_argument("--round-trips", type=int, default=500)
    parser.add_argument("--receiver", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.receiver:
        trio.run(receive)
        return
    command = [sys.executable, "-m", "tests.bench.links", "--receiver"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            trio.run(measure, options, int(process.stdout.readline()))
        finally:
            process.kill()


if __name__ == "__main__":
    main()
