"""What validators use, seen from outside: /proc and their metrics pages, once a second.

Responsible for: looking, and what the difference of two looks is per transaction.
Refuses to do: start anything, or ask a validator more than its metrics page.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import trio

from sequencer.load.errors import Unanswered
from sequencer.load.http import NodeConnections
from sequencer.telemetry import table
from tests.e2e.network import Node

LOOK_EVERY_S = 1.0
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """Of one process: CPU seconds since its start, resident bytes now, bytes handed to the disk since its start."""

    cpu_s: float
    resident_bytes: int
    written_bytes: int = 0


def usage_of(pid: int) -> Usage:
    """Reads /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    resident_pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    written = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())["write_bytes"]
    return Usage((int(fields[11]) + int(fields[12])) / _CLOCK_TICKS, resident_pages * _PAGE_BYTES, int(written))


@dataclass(frozen=True)
class Look:
    """One validator at one moment; counts are since its process was started. `transactions`: in executed blocks."""

    at_s: float
    validator: int
    cpu_s: float
    resident_bytes: int
    written_bytes: int
    transactions: float | None = None  # None: the page did not come
    sent_bytes: float = 0.0  # in frames to other validators, before encryption
    received_bytes: float = 0.0
    from_clients_bytes: float = 0.0
    height: float = 0.0


def read_page(text: str) -> dict[str, float]:
    """Samples of a metrics page by `name{labels}`."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


class Watcher:
    """Looks at validators from its creation on."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.looks: list[Look] = []
        self._nodes = nodes
        self._pages = {node.index: NodeConnections(node.metrics_url) for node in nodes}
        self._start = trio.current_time()

    async def run(self) -> None:
        """For ever, once a second."""
        due = trio.current_time()
        while True:
            await self.look()
            due = max(due + LOOK_EVERY_S, trio.current_time())
            await trio.sleep_until(due)

    def now_s(self) -> float:
        """Since it was created."""
        return trio.current_time() - self._start

    async def look(self) -> list[Look]:
        """At every validator that runs."""
        found: list[Look] = []

        async def look_at(node: Node) -> None:
            look = await self._look_at(node)
            if look is not None:
                found.append(look)

        async with trio.open_nursery() as nursery:
            for node in self._nodes:
                if node.is_running:
                    nursery.start_soon(look_at, node)
        found.sort(key=lambda look: look.validator)
        self.looks += found
        return found

    async def _look_at(self, node: Node) -> Look | None:
        try:
            usage = usage_of(node.process.pid)
        except OSError:  # it has just ended
            return None
        at_s = self.now_s()
        try:
            answer = await self._pages[node.index].ask("GET", "/metrics", timeout_s=5.0)
        except Unanswered:
            return Look(at_s, node.index, usage.cpu_s, usage.resident_bytes, usage.written_bytes)
        page = read_page(answer.body.decode())
        frames, bodies = table.P2P_BYTES.name, table.RPC_BODY_BYTES.name
        return Look(
            at_s,
            node.index,
            usage.cpu_s,
            usage.resident_bytes,
            usage.written_bytes,
            page.get(table.EXECUTION_TRANSACTIONS.name, 0.0),
            page.get(f'{frames}{{direction="sent"}}', 0.0),
            page.get(f'{frames}{{direction="received"}}', 0.0),
            page.get(f'{bodies}{{direction="received"}}', 0.0),
            page.get(table.EXECUTION_HEIGHT.name, 0.0),
        )


@dataclass
class Used:
    """By one validator between two looks. Bytes and microseconds are per transaction of the whole network."""

    validator: int
    cpu_percent: float
    cpu_us: float
    disk_bytes: float
    sent_bytes: float
    received_bytes: float
    resident_mib_max: float


@dataclass
class Spent:
    """By the network: what became final in the time, and what each validator used for it."""

    seconds: float
    transactions: float
    nodes: list[Used] = field(default_factory=list)

    @property
    def final_tx_per_s(self) -> float:
        """As the blocks of the validator that counted most have it."""
        return self.transactions / self.seconds if self.seconds else 0.0

    @property
    def cpu_ms_per_1000(self) -> float:
        """Of all validators."""
        return sum(node.cpu_us for node in self.nodes)

    def to_json(self) -> dict[str, Any]:
        """For the summary."""
        return {**asdict(self), "final_tx_per_s": self.final_tx_per_s, "cpu_ms_per_1000": self.cpu_ms_per_1000}


def spent(looks: Sequence[Look], from_s: float, to_s: float) -> Spent:
    """Between the first and the last look in this time at each validator that was not restarted in it."""
    by_node: dict[int, list[Look]] = {}
    for look in looks:
        if from_s <= look.at_s <= to_s and look.transactions is not None:
            by_node.setdefault(look.validator, []).append(look)
    whole = {
        index: found
        for index, found in by_node.items()
        if len(found) > 1 and all(a.cpu_s <= b.cpu_s for a, b in pairwise(found))
    }
    if not whole:
        return Spent(0.0, 0.0)
    most = max(whole.values(), key=_rate)
    first, last = most[0], most[-1]
    seconds, count = last.at_s - first.at_s, (last.transactions or 0) - (first.transactions or 0)
    return Spent(seconds, count, [_used(index, found, count / seconds) for index, found in sorted(whole.items())])


def _rate(found: list[Look]) -> float:
    return ((found[-1].transactions or 0) - (found[0].transactions or 0)) / (found[-1].at_s - found[0].at_s)


def _used(index: int, found: list[Look], tx_per_s: float) -> Used:
    first, last = found[0], found[-1]
    seconds = last.at_s - first.at_s
    count = max(1.0, tx_per_s * seconds)
    return Used(
        index,
        100 * (last.cpu_s - first.cpu_s) / seconds,
        1e6 * (last.cpu_s - first.cpu_s) / count,
        (last.written_bytes - first.written_bytes) / count,
        (last.sent_bytes - first.sent_bytes) / count,
        (last.received_bytes - first.received_bytes) / count,
        max(look.resident_bytes for look in found) / 2**20,
    )
