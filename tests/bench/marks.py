"""Every row of the project's marks, measured and set beside them.

The marks are for 2 cores with all validators and the generator on the same machine, 512-byte transactions, fsync on and
links encrypted. Elsewhere, or with other work on the machine, the figures say something else.

Responsible for: the marks, and measuring what each needs, several from one run where that is the same thing.
Refuses to do: fail: a mark that is missed is a figure and not a broken property.
"""

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import trio

from sequencer.client.errors import ClientError
from sequencer.load.histogram import Histogram
from sequencer.load.record import summary_ms
from tests.bench.measuring import Load, Measured, idle_usage, measure, measure_idle
from tests.bench.networks import CannotMeasure, Running, Shape, running
from tests.bench.records import Result
from tests.bench.sweeps import knee
from tests.bench.tables import Table
from tests.bench.usage import Look, Watcher

_QUERY_EVERY_S = 0.1
_QUERIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("seq_getTransactionStatus", {"hash": "0x" + "00" * 32}),
    ("seq_getBlock", {"height": "final"}),
    ("seq_syncStatus", {}),  # an odd number of them: every validator gets every one
)
_CLOSE_LINKS_S = 5.0


@dataclass(frozen=True)
class Mark:
    """What is promised at least, and what is aimed at; of most of them less is better."""

    name: str
    least: float
    aim: float
    more_is_better: bool = False

    def verdict(self, measured: float | None) -> str:
        """One word."""
        if measured is None:
            return "not measured"
        sign = 1 if self.more_is_better else -1
        if sign * measured >= sign * self.aim:
            return "aim reached"
        return "reached" if sign * measured >= sign * self.least else "missed"


MARKS = {
    "throughput": Mark("final throughput, all alive, p99 < 1 s (tx/s)", 50_000, 80_000, more_is_better=True),
    "busy_p50": Mark("final p50 at 20,000 tx/s (ms)", 80, 40),
    "busy_p99": Mark("final p99 at 20,000 tx/s (ms)", 250, 120),
    "idle_ordered": Mark("unloaded submit → ordered p50 (ms)", 10, 7),
    "idle_final": Mark("unloaded submit → final p50 (ms)", 15, 10),
    "dead_p50": Mark("one of four dead, 20,000 tx/s: final p50 (ms)", 100, 60),
    "dead_p99": Mark("one of four dead, 20,000 tx/s: final p99 (ms)", 500, 300),
    "dead_share": Mark("one of four dead, saturated (% of the throughput)", 80, 95, more_is_better=True),
    "idle_received": Mark("unloaded receipt p50 (ms)", 5, 3),
    "cpu": Mark("CPU of all nodes per 1,000 transactions at 20,000 tx/s (ms)", 50, 30),
    "idle_cpu": Mark("CPU of an idle validator (% of a core)", 5, 2),
    "wan": Mark("50 ms one way: final p50 (ms)", 5 * 50 + 20, 5 * 50 + 5),
    "memory": Mark("memory of a validator at full load (MiB)", 400 * 1e6 / 2**20, 250 * 1e6 / 2**20),
    "memory_growth": Mark("its growth over the second half (MiB per minute; flat)", 2, 0.5),
    "queries": Mark("status and block queries at full load p99 (ms)", 50, 20),
}


@dataclass(frozen=True)
class Effort:
    """How long each part takes."""

    load: Load
    rate: float = 20_000.0
    first_rate: float = 16_000.0
    unloaded: int = 200
    idle_s: float = 60.0
    full_s: float = 600.0


async def measure_marks(result: Result, load: Load, directory: Path | None, *, is_quick: bool) -> None:
    """Prints the table; `is_quick` shows that it works, its figures say little."""
    load = replace(load, items=1_024, size=512, rate=None)
    effort = Effort(load)
    if is_quick:
        effort = Effort(replace(load, seconds=6.0, warm_up_s=2.0), 2_000.0, 2_000.0, 10, 3.0, 10.0)
    found: dict[str, float | None] = {}
    found |= await _alive(result, effort, directory)
    full_rate = await knee(result, Shape(), effort.load, effort.first_rate, directory, "knee, all alive")
    found["throughput"] = full_rate
    found |= await _one_dead(result, effort, directory)
    found |= await _full_load(result, effort, full_rate or effort.rate, directory)
    found |= await _far_apart(result, effort, directory)
    note = f"QUICK: {effort.rate:,.0f} tx/s stand for 20,000, and every part is short" if is_quick else ""
    show(result, found, note)


def show(result: Result, found: dict[str, float | None], note: str) -> None:
    """Measured beside the marks."""
    rows: list[Sequence[Any]] = []
    for key, mark in MARKS.items():
        measured = found.get(key)
        rows.append([mark.name, measured, mark.least, mark.aim, mark.verdict(measured)])
        result.figures[mark.name] = measured
    result.show(Table("the marks", ("what", "measured", "at least", "aim", ""), rows, note))


async def _alive(result: Result, effort: Effort, directory: Path | None) -> dict[str, float | None]:
    print("an idle network, then 20,000 tx/s", file=sys.stderr)
    async with running(Shape(), directory) as network:
        usage = await idle_usage(network, effort.idle_s)
        idle = (await measure_idle(network, effort.unloaded)).percentiles_ms()
        busy = await measure(network, replace(effort.load, rate=effort.rate))
    result.raw["busy"] = busy.raw()
    latency = busy.client["latency_ms"]["final"]
    return {
        "idle_cpu": max((node.cpu_percent for node in usage.nodes), default=None),
        **{f"idle_{rung}": idle[rung]["p50"] for rung in ("received", "ordered", "final")},
        "busy_p50": latency["p50"],
        "busy_p99": latency["p99"],
        "cpu": busy.spent.cpu_ms_per_1000,
    }


async def _one_dead(result: Result, effort: Effort, directory: Path | None) -> dict[str, float | None]:
    print("one of four dead", file=sys.stderr)
    async with running(Shape(), directory) as network:
        whole = await measure(network, effort.load)
        network.network.nodes[-1].kill()
        await trio.sleep(_CLOSE_LINKS_S)
        busy = await measure(network, replace(effort.load, rate=effort.rate))
        saturated = await measure(network, effort.load)
    result.raw["one-dead"] = {"busy": busy.raw(), "saturated": saturated.raw(), "whole": whole.raw()}
    latency = busy.client["latency_ms"]["final"]
    through = whole.spent.final_tx_per_s
    return {
        "dead_p50": latency["p50"],
        "dead_p99": latency["p99"],
        "dead_share": 100 * saturated.spent.final_tx_per_s / through if through else None,
    }


async def _full_load(result: Result, effort: Effort, rate: float, directory: Path | None) -> dict[str, float | None]:
    print(f"full load ({rate:,.0f} tx/s) for {effort.full_s:g} s, with queries", file=sys.stderr)
    times = Histogram()
    async with running(Shape(), directory) as network:

        async def story(_watcher: Watcher, _events: list[tuple[float, str]]) -> None:
            with trio.move_on_after(effort.full_s):
                await query(network, times)

        measured = await measure(network, replace(effort.load, rate=rate, seconds=effort.full_s), story)
    result.raw["full-load"] = {**measured.raw(), "queries": times.to_json()}
    return {
        "memory": max((node.resident_mib_max for node in measured.spent.nodes), default=None),
        "memory_growth": growth_mib_per_min(measured),
        "queries": summary_ms(times)["p99"],
    }


async def query(network: Running, times: Histogram) -> None:
    """Status and newest block, of each validator in turn, for ever; every answer's time counts."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(node.client()) for node in network.nodes]
        for client, (method, params) in zip(cycle(clients), cycle(_QUERIES), strict=False):
            began = trio.current_time()
            with suppress(ClientError):  # what is refused or too late took its time, too
                await client.call(method, params)
            times.record(round((trio.current_time() - began) * 1e6))
            await trio.sleep(_QUERY_EVERY_S)


async def _far_apart(result: Result, effort: Effort, directory: Path | None) -> dict[str, float | None]:
    print("50 ms one way", file=sys.stderr)
    try:
        async with running(Shape(delay_ms=50.0), directory) as network:
            record = await measure_idle(network, effort.unloaded)
    except CannotMeasure as error:
        print(f"not measured: {error}", file=sys.stderr)
        return {}
    result.raw["far-apart"] = record.to_json()
    return {"wan": record.percentiles_ms()["final"]["p50"]}


def growth_mib_per_min(measured: Measured) -> float | None:
    """Of the validator that grew most: the line through its looks of the second half (least squares)."""
    by_node: dict[int, list[Look]] = {}
    for look in measured.looks:
        if measured.load.seconds / 2 <= look.at_s <= measured.load.seconds:
            by_node.setdefault(look.validator, []).append(look)
    return max((slope(found) for found in by_node.values() if len(found) > 2), default=None)


def slope(looks: Sequence[Look]) -> float:
    """MiB per minute."""
    times = [look.at_s / 60 for look in looks]
    sizes = [look.resident_bytes / 2**20 for look in looks]
    time_mean, size_mean = sum(times) / len(times), sum(sizes) / len(sizes)
    square = sum((time - time_mean) ** 2 for time in times)
    product = sum((time - time_mean) * (size - size_mean) for time, size in zip(times, sizes, strict=True))
    return product / square if square else 0.0
