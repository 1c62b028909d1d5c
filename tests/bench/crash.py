"""Crash and recover: a validator is killed under load and started again, second by second.

Responsible for: the story, and throughput and latency of every second with the faults marked.
Refuses to do: judge how long it took.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import trio

from tests.bench.measuring import Load, Measured, measure
from tests.bench.networks import Shape, running
from tests.bench.plots import Panel, Plot
from tests.bench.records import Result
from tests.bench.tables import LOAD_COLUMNS, Table, latency_table, load_cells, lost_words
from tests.bench.usage import Look, Watcher


async def crash(
    result: Result, shape: Shape, load: Load, victims: int, directory: Path | None, *, pause: bool = False
) -> None:
    """The last `victims` validators go after a third of the time and come back after two thirds."""
    async with running(shape, directory) as network:
        affected = network.network.nodes[-victims:]

        async def story(watcher: Watcher, events: list[tuple[float, str]]) -> None:
            await trio.sleep(load.seconds / 3)
            for node in affected:
                node.pause() if pause else node.kill()
                events.append((watcher.now_s(), f"validator {node.index} {'stopped' if pause else 'killed'}"))
            await trio.sleep(load.seconds / 3)
            for node in affected:
                node.resume() if pause else node.start()
                events.append((watcher.now_s(), f"validator {node.index} back"))
            for node in affected:
                await node.until_ready()
                events.append((watcher.now_s(), f"validator {node.index} ready"))

        measured = await measure(network, load, story)
    show(result, measured)


def show(result: Result, measured: Measured) -> None:
    """The tables and the plot of a run in which something happened."""
    rows = seconds(measured)
    result.show(Table("over the whole run", LOAD_COLUMNS, [load_cells(measured)], lost_words(measured)))
    result.show(latency_table("latencies", measured.client["latency_ms"]))
    columns = ("second", "final tx/s", "received tx/s", "final p50", "final p99", "failed", "what happened")
    result.show(Table("second by second", columns, rows))
    result.raw["crash"] = measured.raw()
    result.figures["final tx/s"] = measured.spent.final_tx_per_s
    result.figures["final p99 ms"] = measured.p99_ms
    result.figures["longest silence s"] = float(longest_silence(rows))
    result.plots.append(timeline(measured))


def seconds(measured: Measured) -> list[list[Any]]:
    """One row per second of the sending: throughput as the blocks have it, latencies of what was due in it."""
    final = final_by_second(measured.looks)
    rows: list[list[Any]] = []
    for number in range(int(measured.load.seconds)):
        second = measured.record.seconds.get(number)
        counts = second.counts if second else {}
        histogram = second.latencies.get("final") if second else None
        times = histogram.percentiles((0.5, 0.99)) if histogram else [None, None]
        happened = ", ".join(words for at_s, words in measured.events if int(at_s) == number)
        rows.append(
            [
                str(number), final.get(number), float(counts.get("received", 0)),
                *(None if time is None else time / 1e3 for time in times), counts.get("failed", 0), happened,
            ]
        )  # fmt: skip
    return rows


def final_by_second(looks: list[Look]) -> dict[int, float]:
    """Transactions per second in blocks, as the validator counts that ran all the time (the first, where several)."""
    by_node: dict[int, list[Look]] = {}
    for look in looks:
        if look.transactions is not None:
            by_node.setdefault(look.validator, []).append(look)
    steady = max(by_node.values(), key=len, default=[])
    found: dict[int, float] = {}
    for before, after in pairwise(steady):
        rate = ((after.transactions or 0) - (before.transactions or 0)) / max(1e-3, after.at_s - before.at_s)
        for number in range(int(before.at_s), max(int(before.at_s) + 1, int(after.at_s))):
            found[number] = max(0.0, rate)
    return found


def longest_silence(rows: list[list[Any]]) -> int:
    """Seconds in a row in which nothing became final."""
    longest = current = 0
    for row in rows:
        current = current + 1 if not row[1] else 0
        longest = max(longest, current)
    return longest


def timeline(measured: Measured) -> Plot:
    """Throughput and latency over time, with what happened."""
    rows = seconds(measured)

    def column(place: int) -> list[tuple[float, float | None]]:
        return [(float(number), row[place]) for number, row in enumerate(rows)]

    through = {"final": column(1), "received": column(2)}
    latency = {"final p50": column(3), "final p99": column(4)}
    panels = [
        Panel("tx/s", through, marks=measured.events),
        Panel("ms", latency, is_logarithmic=True, marks=measured.events),
    ]
    return Plot("timeline", "Throughput and latency with faults", "seconds", panels)
