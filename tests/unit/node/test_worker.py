"""A thread for one kind of work."""

import threading

import pytest
import trio
import trio.testing

from sequencer.node.worker import Worker


async def test_a_job_runs_in_the_thread_and_gives_its_result() -> None:
    with Worker("sums") as worker:
        assert await worker.run(lambda a, b: (a + b, threading.current_thread().name), 1, 2) == (3, "sums")


async def test_what_a_job_raises_is_raised_where_it_was_asked_for_and_the_next_one_runs() -> None:
    with Worker("faults") as worker:
        with pytest.raises(ValueError, match="x"):
            await worker.run(int, "x")
        assert await worker.run(int, "7") == 7


async def test_jobs_run_one_at_a_time_in_the_order_they_were_asked_for() -> None:
    release, order, running = threading.Event(), [], set()

    def job(number: int) -> None:
        running.add(number)
        assert running == {number}
        release.wait()
        order.append(number)
        running.remove(number)

    with Worker("turns") as worker:
        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(worker.run, job, number)
                await trio.testing.wait_all_tasks_blocked()
            release.set()
    assert order == [0, 1, 2]


async def test_a_job_that_began_is_not_abandoned() -> None:
    began, release, ended = threading.Event(), threading.Event(), threading.Event()

    def job() -> None:
        began.set()
        release.wait()
        ended.set()

    with Worker("whole") as worker:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.run, job)
            await trio.to_thread.run_sync(began.wait)
            nursery.cancel_scope.cancel()
            release.set()
        assert ended.is_set()


async def test_a_cancelled_task_begins_no_job() -> None:
    done: list[int] = []
    with Worker("cancelled") as worker, trio.CancelScope() as scope:
        scope.cancel()
        await worker.run(done.append, 1)
    assert done == []


async def test_outside_its_context_it_refuses() -> None:
    worker = Worker("outside")
    with pytest.raises(RuntimeError, match="outside is not running"):
        await worker.run(int)
    with worker:
        assert await worker.run(int) == 0
    with pytest.raises(RuntimeError, match="not running"):
        await worker.run(int)
