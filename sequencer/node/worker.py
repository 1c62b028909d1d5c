"""A thread of its own for one kind of work that a vote, a batch or a block waits for.

Trio's threads serve any work: each job looks for a thread, names it, and comes back through the queue of foreign calls.
That costs 0.34 ms where this costs 0.13, several times on the way of every transaction (ADR 22).

Responsible for: one job after another, off the event loop; what a job raises is raised where it was asked for.
Refuses to do: queue. Who finds it busy waits, in order.

Invariants:
1. A job that began is never abandoned: cancellation is seen before it, or at the next checkpoint after it.
2. Jobs run only between entering and leaving the context; on leaving, none is running.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

import trio

Result = TypeVar("Result")
_Job = tuple[Callable[..., Any], tuple[object, ...], Future[Any]]


class Worker:
    """A context manager: its thread lives as long as the context."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._turn = trio.Lock()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._done_read = self._done_write = -1

    def __enter__(self) -> "Worker":
        self._done_read, self._done_write = os.pipe()
        self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        thread, self._thread = self._thread, None
        self._jobs.put(None)
        if thread is not None:
            thread.join()
        os.close(self._done_read)
        os.close(self._done_write)

    async def run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """What `work(*arguments)` returns, or raises, in the thread. Raises RuntimeError outside the context."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self._turn.acquire_nowait()  # `acquire` would give the others a turn each time
        except trio.WouldBlock:
            await self._turn.acquire()
        try:
            if self._thread is None:
                raise RuntimeError(f"the thread {self._name} is not running")
            future: Future[Result] = Future()
            self._jobs.put((work, arguments, future))
            with trio.CancelScope(shield=True):
                await trio.lowlevel.wait_readable(self._done_read)
            os.read(self._done_read, 1)
        finally:
            self._turn.release()
        return future.result()

    def _work(self) -> None:
        while self._do(self._jobs.get()):
            os.write(self._done_write, b"\0")

    def _do(self, job: _Job | None) -> bool:
        """In a function of its own, which forgets the job and what it was given."""
        if job is None:
            return False
        work, arguments, future = job
        try:
            future.set_result(work(*arguments))
        except BaseException as error:  # noqa: BLE001 - it is raised where the job was asked for
            future.set_exception(error)
        return True
