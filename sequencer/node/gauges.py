"""Figures that others keep, read once a second into the metrics: queues, lanes, links and the disk.

Responsible for: gauges of what waits now, and counters of the links, which count for themselves.
Refuses to do: count events: whoever causes one counts it.

Invariants:
1. A counter is told what was added since the last reading, so it never falls.
2. The disk's size is read in a thread, and rarely.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import trio

from p2p.host import ValidatorHost
from sequencer.mempool.mempool import Mempool
from sequencer.node.clock import read_now
from sequencer.node.frames import FrameKind
from sequencer.node.lane_driver import LaneDriver
from sequencer.telemetry import metric_types, table
from sequencer.telemetry.metrics import Metrics

PERIOD_S = 1.0
DISK_PERIODS = 15
NAMESPACES_MAX = 256  # that have gauges of their own


class Gauges:
    """One node's readings."""

    def __init__(
        self,
        *,
        metrics: Metrics,
        mempool: Mempool,
        lanes: LaneDriver,
        host: ValidatorHost,
        stores: Mapping[str, Path],
    ) -> None:
        """`stores`: where each store of the table's `store` label lives."""
        self._metrics = metrics
        self._mempool = mempool
        self._namespaces = mempool.namespaces[:NAMESPACES_MAX]
        self._lanes = lanes
        self._host = host
        self._stores = stores
        self._told: dict[tuple[str, ...], int] = {}

    async def run(self) -> None:
        """Reads for ever."""
        period = 0
        while True:
            self.read()
            if period % DISK_PERIODS == 0:
                await self._read_disk()
            period += 1
            await trio.sleep(PERIOD_S)

    def read(self) -> None:
        """One reading of what is in memory."""
        self._metrics.set(table.MEMPOOL_QUEUED, self._mempool.waiting_count)
        self._metrics.set(table.MEMPOOL_QUEUED_BYTES, self._mempool.waiting_bytes)
        now = read_now()
        for namespace in self._namespaces:
            figures = self._mempool.figures(namespace, now)
            self._metrics.set(table.MEMPOOL_NAMESPACE_BYTES, figures.waiting_bytes, str(namespace))
            self._metrics.set(table.MEMPOOL_OLDEST, figures.oldest_age_ms / 1_000, str(namespace))
        for lane, byte_count in enumerate(self._lanes.lanes.uncommitted_bytes()):
            self._metrics.set(table.LANES_UNCOMMITTED_BYTES, byte_count, str(lane))
        self._read_links()

    def _read_links(self) -> None:
        counters, peers = self._host.counters, self._host.peers()
        for peer in peers:
            self._metrics.set(table.P2P_QUEUED_BYTES, peer.queue_bytes, str(peer.index))
            if peer.round_trip_ms is not None:
                self._metrics.set(table.P2P_ROUND_TRIP, peer.round_trip_ms / 1_000, str(peer.index))
        self._tell(table.P2P_BYTES, sum(peer.bytes_in for peer in peers), "received")
        self._tell(table.P2P_BYTES, sum(peer.bytes_out for peer in peers), "sent")
        for direction, frames in (("received", counters.frames_in), ("sent", counters.frames_out)):
            counts: Counter[str] = Counter()
            for kind, count in frames.items():
                counts[_kind_name(kind)] += count
            for name, count in counts.items():
                self._tell(table.P2P_FRAMES, count, direction, name)
        for reason, count in counters.faults.items():
            self._tell(table.P2P_FAULTS, count, reason)
        failed = sum(counters.dials_failed.values())
        self._tell(table.P2P_DIALS, failed, "failed")
        self._tell(table.P2P_DIALS, counters.dials - failed, "connected")

    def _tell(self, metric: metric_types.Counter, total: int, *labels: str) -> None:
        told = self._told.get((metric.name, *labels), 0)
        if total > told:
            self._metrics.add(metric, total - told, *labels)
            self._told[(metric.name, *labels)] = total

    async def _read_disk(self) -> None:
        for store, directory in self._stores.items():
            size = await trio.to_thread.run_sync(_size_of, directory)
            self._metrics.set(table.STORAGE_DISK_BYTES, size, store)


def _kind_name(kind: int) -> str:
    try:
        return FrameKind(kind).name.lower()
    except ValueError:
        return "link"  # hellos and heartbeats


def _size_of(directory: Path) -> int:
    """Bytes of the files in a directory; one that goes away meanwhile counts as none."""
    total = 0
    for path in directory.glob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total
