"""One measurement: a load on a running network, and what it cost.

Responsible for: warm-up, load, looks, and the summary of all three.
Refuses to do: know why it measures.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any

import trio

from sequencer.load.generator import Generator, OnAnswer
from sequencer.load.plan import LoadPlan, items_that_fit
from sequencer.load.record import LoadRecord
from sequencer.load.summary import summarize
from tests.bench.networks import Running
from tests.bench.usage import Look, Spent, Watcher, spent

KNEE_P99_MS = 1_000.0
LOST_SHARE_MAX = 0.01
WARM_UP_REQUESTS = 8  # of an idle network, before its latencies are taken


@dataclass(frozen=True)
class Load:
    """What to offer; see `LoadPlan`."""

    rate: float | None = None
    seconds: float = 30.0
    warm_up_s: float = 5.0
    clients: int = 16
    items: int = 256
    size: int = 512
    follow_every: int = 1
    namespaces: Sequence[int] = ()  # none: all

    def plan(self, network: Running) -> LoadPlan:
        """To every validator that runs."""
        fitting = asdict(replace(self, items=items_that_fit(self.items, self.size)))
        namespaces = fitting.pop("namespaces") or network.namespaces
        return LoadPlan(network.urls, namespaces, **fitting)


@dataclass
class Measured:
    """What was seen. `events`: what was done to the network, by second."""

    load: Load
    record: LoadRecord
    looks: list[Look]
    client: dict[str, Any]
    spent: Spent
    events: list[tuple[float, str]] = field(default_factory=list)

    @property
    def p99_ms(self) -> float | None:
        """To final."""
        found: float | None = self.client["latency_ms"]["final"]["p99"]
        return found

    @property
    def lost_share(self) -> float:
        """Of what was due: not sent, failed, refused or not seen to become final in time."""
        lost = sum(self.client["lost"][what] for what in ("unsent", "failed", "refused", "unresolved"))
        return float(lost / max(1, self.record.total["due"]))

    @property
    def is_below_the_knee(self) -> bool:
        """Everything went through, and 99 of 100 became final within a second."""
        return self.p99_ms is not None and self.p99_ms < KNEE_P99_MS and self.lost_share <= LOST_SHARE_MAX

    def summary(self) -> dict[str, Any]:
        """For `summary.json`."""
        return {"load": asdict(self.load), **self.client, "spent": self.spent.to_json(), "events": self.events}

    def raw(self) -> dict[str, Any]:
        """Everything."""
        return {"record": self.record.to_json(), "looks": [asdict(look) for look in self.looks], "events": self.events}


Story = Callable[[Watcher, "list[tuple[float, str]]"], Awaitable[None]]


async def measure(
    network: Running, load: Load, story: Story | None = None, on_answer: OnAnswer | None = None, seed: int | None = None
) -> Measured:
    """Offers the load; `story` happens meanwhile and notes what it does."""
    generator = Generator(load.plan(network), Random(seed), on_answer)
    watcher = Watcher(network.network.nodes)
    events: list[tuple[float, str]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watcher.run)
        async with trio.open_nursery() as work:
            if story is not None:
                work.start_soon(story, watcher, events)
            record = await generator.run()
        nursery.cancel_scope.cancel()
    return Measured(
        load,
        record,
        watcher.looks,
        summarize(generator.plan, record),
        spent(watcher.looks, load.warm_up_s, load.seconds),
        events,
    )


async def measure_idle(network: Running, count: int, size: int = 512) -> LoadRecord:
    """Latencies of an idle network: one transaction at a time, to each validator in turn."""
    plan = LoadPlan(network.urls, network.namespaces, seconds=3_600.0, items=1, size=size)
    await Generator(plan, Random()).one_by_one(WARM_UP_REQUESTS)
    return await Generator(plan, Random()).one_by_one(count)


async def idle_usage(network: Running, seconds: float) -> Spent:
    """What validators use with nothing to do."""
    watcher = Watcher(network.network.nodes)
    await watcher.look()
    await trio.sleep(seconds)
    await watcher.look()
    return spent(watcher.looks, 0.0, watcher.now_s())
