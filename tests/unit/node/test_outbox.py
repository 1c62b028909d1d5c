"""What is posted leaves only after what was put before it is synced, in order."""

import threading

import pytest
import trio
import trio.lowlevel
import trio.testing

from sequencer.node.failpoints import Failpoints
from sequencer.node.outbox import Outbox
from sequencer.telemetry.metrics import Metrics

PATIENCE_S = 5  # a failed test ends when the thread that writes does


class SlowDisk:
    """A database whose synced writes end when they are let go; nobody can wait for them for ever."""

    def __init__(self):
        self.written = []
        self.go = threading.Semaphore(0)

    def write(self, puts, deletes=(), *, sync):
        assert sync
        assert self.go.acquire(timeout=PATIENCE_S)
        self.written.append(list(puts))


@pytest.fixture
def disk():
    return SlowDisk()


@pytest.fixture
def outbox(disk):
    return Outbox(disk, Metrics("test"), Failpoints())


async def test_with_nothing_to_save_a_delivery_runs_at_once(outbox):
    sent = []
    outbox.post(lambda: sent.append("a"))
    assert sent == ["a"]


async def test_nothing_leaves_before_its_save_is_synced(outbox, disk, nursery):
    sent = []
    outbox.put([(b"k", b"1")])
    outbox.post(lambda: sent.append("a"))
    nursery.start_soon(outbox.run)
    await trio.testing.wait_all_tasks_blocked()
    assert sent == []
    disk.go.release()
    while not sent:
        await trio.lowlevel.checkpoint()
    assert sent == ["a"]
    assert disk.written == [[(b"k", b"1")]]


async def test_what_arrives_during_a_write_becomes_one_next_write_and_keeps_its_order(outbox, disk, nursery):
    sent = []
    outbox.put([(b"k", b"1")])
    outbox.post(lambda: sent.append("a"))
    nursery.start_soon(outbox.run)
    await trio.testing.wait_all_tasks_blocked()
    outbox.post(lambda: sent.append("b"))
    outbox.put([(b"k", b"2")])
    outbox.post(lambda: sent.append("c"))
    outbox.put([(b"l", b"3")])
    outbox.post(lambda: sent.append("d"))
    disk.go.release()
    disk.go.release()
    while len(sent) < 4:
        await trio.lowlevel.checkpoint()
    assert sent == ["a", "b", "c", "d"]
    assert disk.written == [[(b"k", b"1")], [(b"k", b"2"), (b"l", b"3")]]


async def test_a_delivery_that_posts_another_does_not_let_it_overtake(outbox, disk, nursery):
    sent = []

    def first():
        sent.append("first")
        outbox.post(lambda: sent.append("third"))

    outbox.put([(b"k", b"1")])
    outbox.post(first)
    outbox.post(lambda: sent.append("second"))
    nursery.start_soon(outbox.run)
    disk.go.release()
    while len(sent) < 3:
        await trio.lowlevel.checkpoint()
    assert sent == ["first", "second", "third"]
