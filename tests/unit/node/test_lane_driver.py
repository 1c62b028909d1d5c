"""The lane driver fetches what is missing no faster than its disk takes it."""

import threading
from typing import Any

import trio
import trio.testing

from consensus.numbers import ValidatorIndex
from consensus.replica.effects import NeedBatches, NeededBatch
from sequencer.lanes import events
from sequencer.lanes.bounds import LaneBounds
from sequencer.lanes.lanes import Lanes
from sequencer.lanes.recovered import nothing_recovered
from sequencer.node import lane_driver
from sequencer.node.batch_source import BatchSource
from sequencer.node.failpoints import Failpoints
from sequencer.node.lane_driver import LaneDriver
from sequencer.telemetry.metrics import Metrics
from storage.batch_index import StoredBatch
from tests.unit.lanes.lane_desk import CHAIN, COUNT, chain_of

ME, AUTHOR = ValidatorIndex(0), ValidatorIndex(1)
BATCHES = chain_of(AUTHOR, 60)


class StalledLog:
    """A disk that takes nothing until it may."""

    def __init__(self) -> None:
        self.may_write = threading.Event()
        self.count = 0

    def append_many(self, records: Any, arrival_ms: Any) -> list[StoredBatch]:
        assert self.may_write.wait(10)
        self.count += len(records)
        return [StoredBatch(1, record.seq, record.digest, arrival_ms(), 0, 0, 1) for record in records]


class Host:
    """Answers at once."""

    def __init__(self) -> None:
        self.answers = 0
        self.batches = {batch.digest: batch.encoded for batch in BATCHES}

    async def request(self, peer: int, kind: int, body: bytes, **_bounds: Any) -> bytes:
        self.answers += 1
        await trio.lowlevel.checkpoint()
        return self.batches[body]  # type: ignore[index]


async def test_nothing_is_fetched_while_much_waits_for_the_disk(monkeypatch):
    monkeypatch.setattr(lane_driver, "UNWRITTEN_BYTES_MAX", 5 * len(BATCHES[0].encoded))
    log, host, held = StalledLog(), Host(), list[Any]()
    bounds = LaneBounds()
    driver = LaneDriver(
        chain=CHAIN,
        index=ME,
        lanes=Lanes(CHAIN, ME, bounds, nothing_recovered(COUNT)),
        log=log,  # type: ignore[arg-type]
        database=None,  # type: ignore[arg-type]
        source=BatchSource(CHAIN, log),  # type: ignore[arg-type]
        to_replica=held.append,
        own_committed=lambda: None,
        keep_fork=lambda effect: None,
        metrics=Metrics("test"),
        failpoints=Failpoints(),
    )
    driver.attach(host)  # type: ignore[arg-type]
    holders = tuple(ValidatorIndex(peer) for peer in range(1, COUNT))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await trio.testing.wait_all_tasks_blocked()
        for peer in holders:
            driver.handle(events.LinkOpened(peer, driver.heads()))
        needed = tuple(NeededBatch(AUTHOR, batch.header.seq, batch.digest, holders) for batch in BATCHES)
        driver.need(NeedBatches(needed))
        await trio.testing.wait_all_tasks_blocked(0.1)
        assert 5 < host.answers <= 6 + bounds.requests_max
        log.may_write.set()
        with trio.fail_after(10):
            while len({event.digest for event in held}) < len(BATCHES):  # one that came early is told of twice
                await trio.testing.wait_all_tasks_blocked(0.001)
        nursery.cancel_scope.cancel()
    assert log.count == len(BATCHES)
    assert driver._unwritten_bytes == 0
