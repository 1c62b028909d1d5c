"""`make bench`: real validators as processes on this machine, and a load from outside; see `options.py`.

fsync and Noise are on: there is no other way to run.
"""

import argparse
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import trio

from sequencer.client.client import SequencerClient
from tests.bench import catching_up, crash, distance, marks, options, plots, records, report, sweeps, trouble
from tests.bench.measuring import Measured, measure, measure_idle
from tests.bench.networks import CannotMeasure, Running, running
from tests.bench.records import Result
from tests.bench.tables import LOAD_COLUMNS, Table, latency_table, load_cells, lost_words, usage_table

DEFAULT_RATE = 2_000.0  # of sweeps over something else, and of a crash
FIRST_RATE = 8_000.0  # of the search for the knee
_LIARS_JOIN_S = 5.0
_CLOSE_LINKS_S = 5.0


async def run(result: Result, asked: argparse.Namespace) -> None:
    """An idle network, then the load."""
    async with running(options.shape(asked), asked.directory) as network:
        if asked.crashed:
            for node in network.network.nodes[-asked.crashed :]:
                node.kill()
            await trio.sleep(_CLOSE_LINKS_S)  # until the views of those that are away are short
        if asked.byzantine:
            await trio.sleep(_LIARS_JOIN_S)
        print(f"unloaded: {asked.unloaded} transactions, one at a time", file=sys.stderr)
        idle = await measure_idle(network, asked.unloaded, asked.size)
        result.show(latency_table("unloaded, one transaction at a time", idle.percentiles_ms()))
        result.raw["unloaded"] = idle.to_json()
        print(f"loaded: {asked.seconds:g} s, the first {asked.warm_up:g} s not counted", file=sys.stderr)
        measured = await measure(network, options.load(asked))
        if asked.byzantine:
            print(f"\nconvicted of {await convictions(network)}")
    for rung, found in idle.percentiles_ms().items():
        result.figures[f"unloaded {rung} p50 ms"] = found["p50"]
    show_load(result, measured)


def show_load(result: Result, measured: Measured) -> None:
    """The tables of one measurement."""
    result.show(latency_table("loaded, from when a request was due", measured.client["latency_ms"]))
    result.show(Table("throughput", LOAD_COLUMNS, [load_cells(measured)], lost_words(measured)))
    result.show(usage_table(measured))
    result.raw["loaded"] = measured.raw()
    result.plots.append(crash.timeline(measured))
    result.figures["final tx/s"] = measured.spent.final_tx_per_s
    for rung, found in measured.client["latency_ms"].items():
        result.figures[f"loaded {rung} p50 ms"] = found["p50"]
        result.figures[f"loaded {rung} p99 ms"] = found["p99"]
    result.figures["CPU ms per 1,000"] = measured.spent.cpu_ms_per_1000


async def convictions(network: Running) -> dict[str, int]:
    """How many offences the first validator keeps proofs of, by rule: liars that do not lie measure nothing."""
    async with SequencerClient(network.urls[0]) as client:
        return dict(Counter(f"E{found.offence.rule}" for found in await client.evidence()))


async def measure_what_is_asked(result: Result, asked: argparse.Namespace) -> None:
    """By the first word."""
    shape, directory = options.shape(asked), asked.directory
    match asked.word:
        case "run":
            await run(result, asked)
        case "sweep":
            load = options.load(asked, DEFAULT_RATE)
            values = asked.values or sweeps.VALUES[asked.name]
            await sweeps.sweep(result, asked.name, values, shape, load, directory)
        case "knee":
            await sweeps.knee(result, shape, options.load(asked), asked.rate or FIRST_RATE, directory)
        case "price":
            await distance.price(result, shape, asked.counts, asked.delays_ms, asked.unloaded, directory)
        case "crash":
            load = options.load(asked, DEFAULT_RATE)
            await crash.crash(result, shape, load, asked.victims, directory, pause=asked.pause)
        case "marks":
            await marks.measure_marks(result, options.load(asked), directory, is_quick=asked.quick)
        case "trouble":
            await trouble.make_trouble(result, asked.name or "all", directory, is_quick=asked.quick)


def main(arguments: list[str]) -> int:
    """Returns the exit code: 1 if a property did not hold."""
    asked = options.read(arguments)
    if asked.word == "catch-up":
        asked.catch_up = asked.catch_up or catching_up.DEFAULT_AWAY_S
        catching_up.main(asked)
        return 0
    kind = "-".join(filter(None, (asked.word, asked.name)))
    result = Result(kind, options.compared(asked))
    conditions = records.machine(asked.directory or Path(tempfile.gettempdir()))
    earlier = records.find_earlier(records.RESULTS, kind, result.options)
    folder = records.new_folder(records.RESULTS, kind)
    try:
        trio.run(partial(measure_what_is_asked, result, asked))
    except CannotMeasure as error:
        print(f"cannot be measured here: {error}", file=sys.stderr)
        return 2
    if earlier is not None and result.figures:
        result.show(records.comparison(result.figures, earlier))
    pictures = [(plot.title, png) for plot in result.plots if (png := draw_to(folder, plot)) is not None]
    (folder / "report.html").write_text(report.page(result, conditions, pictures))
    records.save(folder, result, conditions)
    for failure in result.failures:
        print(f"FAILED {failure}")
    print(f"\nraw data, plots and report.html: {folder}")
    return int(bool(result.failures))


def draw_to(folder: Path, plot: plots.Plot) -> bytes | None:
    """The PNG, saved; None if there can be none here."""
    png = plots.draw(plot)
    if png is not None:
        (folder / f"{plot.name}.png").write_bytes(png)
    return png


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
