"""`python -m tests.bench.fair_share`: what a flood in one namespace does to the transactions of another.

Four validators as processes; the calm namespace sends one transaction at a time to each in turn, at a fixed pace, and
its times count from when a transaction was due. First it is alone, then a second namespace floods all four validators,
then it is alone again, to tell the flood from the machine's own moods. All of one run, on the same chain.

`--quota`: what the genesis lets the flooding namespace send to each validator, in transactions a second; it offers
`--factor` times as much. 0: no quota; what is offered then is `--factor` times half of `--capacity`.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import trio

from consensus.namespace_terms import NamespaceTerms
from sequencer.load.generator import Generator
from sequencer.load.plan import LoadPlan
from sequencer.load.record import RUNGS
from tests.bench import records
from tests.bench.measuring import Load, Measured, measure
from tests.bench.networks import FIRST_NAMESPACE, Running, Shape, running
from tests.bench.tables import Table, latency_table

VALIDATORS = 4
CALM, FLOOD = FIRST_NAMESPACE, FIRST_NAMESPACE + 1
SETTLING_S = 3.0
_FOLLOW_NONE = 1_000_000_000


async def flood(plan: dict[str, Any]) -> dict[str, int]:
    """Offers it, whatever the answers say; the transactions by what became of them."""
    record = await Generator(LoadPlan(**plan), Random()).run()
    taken = {what: record.total[what] for what in ("received", "unsent", "failed")}
    return {**taken, **{f"refused as {reason}": count for reason, count in record.refused.items()}}


@asynccontextmanager
async def flooding(network: Running, asked: argparse.Namespace, rate: float) -> AsyncIterator[dict[str, int]]:
    """A flood from a process of its own, at a low priority: who floods a network does not run on its machines."""
    answers: dict[str, int] = {}
    plan = {"urls": network.urls, "namespaces": [FLOOD], "seconds": asked.seconds + 2 * SETTLING_S, "rate": rate}
    plan |= {"items": asked.items, "size": asked.size, "follow_every": _FOLLOW_NONE}
    plan |= {"requests_max": asked.connections * VALIDATORS}
    command = [sys.executable, "-m", "tests.bench.fair_share", "--flood", json.dumps(plan)]
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            done = await trio.run_process(command, capture_stdout=True, preexec_fn=lambda: os.nice(10))
            answers.update(json.loads(done.stdout))

        nursery.start_soon(run)
        await trio.sleep(SETTLING_S)
        yield answers


async def measure_parts(asked: argparse.Namespace, rate: float) -> tuple[dict[str, Measured], dict[str, int]]:
    """The calm namespace's three parts, and what became of the flood."""
    terms = {FLOOD: NamespaceTerms(tx_per_s=asked.quota)} if asked.quota else {}
    calm = Load(asked.rate, asked.seconds, warm_up_s=0.0, items=1, size=asked.size, namespaces=(CALM,))
    async with running(Shape(VALIDATORS, terms=terms)) as network:
        await measure(network, Load(asked.rate, SETTLING_S, warm_up_s=0.0, items=1, namespaces=(CALM,)))
        parts: dict[str, Measured] = {}

        async def measure_part(name: str) -> None:
            print(f"{name}: {asked.seconds:.0f} s", file=sys.stderr)
            parts[name] = await measure(network, calm)

        await measure_part("alone")
        async with flooding(network, asked, rate) as answers:
            await measure_part("flooded")
        await measure_part("alone again")
    return parts, answers


def show(result: records.Result, parts: dict[str, Measured]) -> None:
    """The percentiles of each part, and the ratios."""
    for part, measured in parts.items():
        cpu = ", ".join(f"{node.cpu_percent:.0f}" for node in measured.spent.nodes)
        result.show(latency_table(f"{part}: CPU of the nodes {cpu}%", measured.client["latency_ms"]))
        result.raw[part.replace(" ", "-")] = measured.raw()
    rows = []
    for rung in RUNGS:
        row = []
        for mark in ("p50", "p99"):
            alone, flooded, again = (parts[part].client["latency_ms"][rung][mark] for part in parts)
            is_known = alone and flooded and again
            row.append(2 * flooded / (alone + again) if is_known else None)
            result.figures[f"{rung} {mark} ratio"] = row[-1]
        rows.append([rung, *row])
    result.show(Table("flooded ÷ alone", ("", "p50", "p99"), rows, "alone: the mean of both parts"))


def main() -> None:
    """Parses the options and runs."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fair_share", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the three parts")
    parser.add_argument("--rate", type=float, default=10.0, help="calm transactions a second, over all validators")
    parser.add_argument("--size", type=int, default=512, help="bytes per transaction")
    parser.add_argument("--items", type=int, default=1024, help="transactions in a request of the flood")
    parser.add_argument("--connections", type=int, default=8, help="of the flood, to each validator")
    parser.add_argument("--quota", type=int, default=500, help="transactions a second of the flood at each validator")
    parser.add_argument("--capacity", type=int, default=20_000, help="what the network orders; used if --quota is 0")
    parser.add_argument("--factor", type=float, default=10.0, help="how much more is offered than its share")
    parser.add_argument("--flood", help=argparse.SUPPRESS)  # the process that floods: this plan
    asked = parser.parse_args()
    if asked.flood:
        print(json.dumps(trio.run(flood, json.loads(asked.flood))))
        return
    share = asked.quota * VALIDATORS if asked.quota else asked.capacity / 2
    result = records.Result("fair-share", {name: value for name, value in vars(asked).items() if name != "flood"})
    conditions = records.machine(Path(tempfile.gettempdir()))
    parts, answers = trio.run(measure_parts, asked, asked.factor * share)
    show(result, parts)
    print(f"\nflood: share {share:,.0f} tx/s over all validators, {asked.factor * share:,.0f} tx/s offered: {answers}")
    result.raw["flood"] = dict(answers)
    folder = records.new_folder(records.RESULTS, result.kind)
    records.save(folder, result, conditions)
    print(f"\nraw data: {folder}")


if __name__ == "__main__":
    main()
