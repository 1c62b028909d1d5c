"""What must be on disk, and what may leave only after it: puts and deliveries in one order.

Responsible for: group commit. Everything put in while a synced write runs becomes the next one.
Refuses to do: know what is written or sent.

Invariants:
1. A delivery runs only after every put before it is synced. Deliveries run in the order in which they were posted.
2. With nothing waiting, a delivery runs at once.
3. A failed write ends the node: nothing posted after it is ever delivered.
"""

from collections.abc import Callable

import trio

from sequencer.node.failpoints import Failpoints
from sequencer.node.worker import Worker
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics
from storage.database import Database
from storage.keyspace import Puts


class Outbox:
    """One writer of one database. The synced writes of a database take turns; batches are synced elsewhere."""

    def __init__(self, database: Database, metrics: Metrics, failpoints: Failpoints) -> None:
        self._database = database
        self._metrics = metrics
        self._failpoints = failpoints
        self._items: list[Puts | Callable[[], None]] = []
        self._is_draining = False
        self._waiting_since_s = 0.0
        self._arrived = trio.Event()
        self._worker = Worker("safety record")

    def put(self, puts: Puts) -> None:
        """These must be synced before anything posted later leaves."""
        if not self._arrived.is_set():
            self._waiting_since_s = trio.current_time()
        self._items.append(puts)
        self._arrived.set()

    def post(self, deliver: Callable[[], None]) -> None:
        """Runs `deliver` once everything put before is synced."""
        if self._is_draining or self._items:
            self._items.append(deliver)
        else:
            deliver()

    async def run(self) -> None:
        """Writes for ever. Raises `StorageFault`."""
        with self._worker:
            while True:
                await self._arrived.wait()
                self._arrived = trio.Event()
                self._is_draining = True
                await self._drain()
                self._is_draining = False

    async def _drain(self) -> None:
        while self._items:
            since_s, self._waiting_since_s = self._waiting_since_s, trio.current_time()
            items, self._items = self._items, []
            await self._write([pair for item in items if isinstance(item, list) for pair in item])
            self._metrics.observe(table.CONSENSUS_PERSIST, trio.current_time() - since_s)
            for item in items:
                if not isinstance(item, list):
                    item()

    async def _write(self, puts: Puts) -> None:
        if not puts:
            return
        self._failpoints.reach("consensus_before_save")
        started = trio.current_time()
        await self._worker.run(self._write_synced, puts)
        self._metrics.observe(table.STORAGE_SYNC, trio.current_time() - started, "chain")
        self._failpoints.reach("consensus_after_save")

    def _write_synced(self, puts: Puts) -> None:
        self._database.write(puts, sync=True)
