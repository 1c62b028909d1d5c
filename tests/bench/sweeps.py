"""Tables over one variable: rate, size, namespaces, validators; and the search for the knee.

Responsible for: which points are measured, each on a network of its own unless the network stays the same.
Refuses to do: decide what a good figure is; the knee is the highest rate that goes through with final p99 below 1 s.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sequencer.load.record import RUNGS
from tests.bench.measuring import KNEE_P99_MS, Load, Measured, measure
from tests.bench.networks import Running, Shape, running
from tests.bench.plots import Panel, Plot
from tests.bench.records import Result
from tests.bench.tables import LOAD_COLUMNS, Table, load_cells

VALUES: dict[str, tuple[int, ...]] = {
    "rate": (500, 1_000, 2_000, 5_000, 10_000, 15_000, 20_000, 30_000),
    "size": (128, 512, 2_048, 8_192, 32_768, 65_536),
    "namespaces": (1, 10, 100, 1_000),
    "validators": (4, 7, 10),
}
RESOLUTION = 1.1  # the knee is known to within this factor
RATE_MAX = 200_000.0


def point(variable: str, value: float, shape: Shape, load: Load) -> tuple[Shape, Load]:
    """The network and the load of one row."""
    match variable:
        case "rate":
            return shape, replace(load, rate=float(value))
        case "size":
            return shape, replace(load, size=int(value))
        case "namespaces":
            return replace(shape, namespaces=int(value)), load
        case "validators":
            return replace(shape, validators=int(value)), load
    raise ValueError(variable)


async def sweep(
    result: Result, variable: str, values: Sequence[float], shape: Shape, load: Load, directory: Path | None
) -> None:
    """One row per value."""
    rows: list[list[Any]] = []
    found: list[tuple[float, Measured]] = []
    for value in values:
        own_shape, own_load = point(variable, value, shape, load)
        print(f"{variable} {value:,g}", file=sys.stderr)
        async with running(own_shape, directory) as network:
            measured = await measure(network, own_load)
        rows.append([f"{value:,g}", *load_cells(measured)])
        found.append((value, measured))
        result.raw[f"{variable}-{value:g}"] = measured.raw()
        result.figures[f"{variable} {value:g}: final tx/s"] = measured.spent.final_tx_per_s
        result.figures[f"{variable} {value:g}: final p99 ms"] = measured.p99_ms
    note = "latencies in ms, from when a request was due"
    result.show(Table(f"by {variable}", (variable, *LOAD_COLUMNS), rows, note))
    result.plots.append(load_plot(variable, found))


def load_plot(variable: str, found: Sequence[tuple[float, Measured]]) -> Plot:
    """Latency and throughput against the variable."""

    def latency(rung: str, share: str) -> list[tuple[float, float | None]]:
        return [(value, measured.client["latency_ms"][rung][share]) for value, measured in found]

    series = {f"{rung} {share}": latency(rung, share) for rung in RUNGS for share in ("p50", "p99")}
    through = {"final": [(value, measured.spent.final_tx_per_s) for value, measured in found]}
    label = {"rate": "offered tx/s", "size": "bytes per transaction"}.get(variable, variable)
    panels = [Panel("ms", series, is_logarithmic=True), Panel("tx/s", through)]
    return Plot(f"by-{variable}", f"Latency and throughput by {variable}", label, panels)


async def find_knee(
    network: Running, load: Load, first_rate: float, on_measured: Callable[[float, Measured], None]
) -> float:
    """Doubles until it breaks, then halves the interval (by ratio); 0 if even a sixteenth of the first is too much."""
    good, bad = 0.0, 0.0
    rate = first_rate
    while rate <= RATE_MAX and (not good or not bad or bad / good > RESOLUTION):
        measured = await measure(network, replace(load, rate=rate))
        on_measured(rate, measured)
        if measured.is_below_the_knee:
            good = rate
        else:
            bad = rate
        if not good and rate < first_rate / 8:
            break
        rate = good * 2 if not bad else bad / 2 if not good else (good * bad) ** 0.5
    return good


async def knee(
    result: Result, shape: Shape, load: Load, first_rate: float, directory: Path | None, name: str = "knee"
) -> float:
    """Searches on one network, and shows every rate that was tried."""
    found: list[tuple[float, Measured]] = []

    def note(rate: float, measured: Measured) -> None:
        print(f"{rate:,.0f} tx/s: {'goes through' if measured.is_below_the_knee else 'too much'}", file=sys.stderr)
        found.append((rate, measured))

    async with running(shape, directory) as network:
        best = await find_knee(network, load, first_rate, note)
    found.sort(key=lambda entry: entry[0])
    rows = [[f"{rate:,.0f}", measured.is_below_the_knee, *load_cells(measured)] for rate, measured in found]
    note_text = f"the knee is at {best:,.0f} tx/s: everything goes through, final p99 below {KNEE_P99_MS:,.0f} ms"
    result.show(Table(name, ("rate", "good", *LOAD_COLUMNS), rows, note_text))
    result.figures[f"{name}: tx/s"] = best
    result.plots.append(load_plot("rate", found))
    result.raw[name] = {f"{rate:.0f}": measured.raw() for rate, measured in found}
    return best
