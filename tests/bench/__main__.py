"""`make bench`: four validators as processes, 512-byte transactions through the fast door of all four.

Prints final throughput, percentiles of `received`, `ordered` and `final` by the client's clock, CPU and memory per
node; keeps raw data under .bench/; compares with the last recorded run. fsync and Noise are on: there is no other way
to run.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trio

from sequencer.client.client import SequencerClient
from tests.bench import catching_up
from tests.bench.load import RUNGS, UNANSWERED_MAX, Samples, final_count, loaded, offered, unloaded
from tests.bench.network import Network, Usage, devnet, until_running

RESULTS = Path(".bench")


def percentile(ordered: list[float], share: float) -> float:
    """Of sorted values; NaN for none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def latency_table(title: str, samples: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Prints and returns percentiles in ms."""
    print(f"\n{title}\n  {'':10}{'n':>8}{'p50 ms':>10}{'p90 ms':>10}{'p99 ms':>10}")
    found = {}
    for rung in RUNGS:
        values = samples[rung]
        row = {f"p{round(share * 100)}": percentile(values, share) for share in (0.5, 0.9, 0.99)}
        found[rung] = {"n": len(values), **row}
        print(f"  {rung:10}{len(values):>8}" + "".join(f"{value:>10.1f}" for value in row.values()))
    return found


def usage_table(before: list[Usage], after: list[Usage], seconds: float, count: int) -> list[dict[str, float]]:
    """Prints and returns what each node used."""
    print(f"\n  {'node':10}{'CPU %':>8}{'µs/tx':>10}{'MiB':>8}")
    rows = []
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        cpu_s = new.cpu_s - old.cpu_s
        row = {
            "cpu_percent": 100 * cpu_s / seconds,
            "cpu_us_per_tx": 1e6 * cpu_s / max(1, count),
            "resident_mib": new.resident_bytes / 2**20,
        }
        rows.append(row)
        print(f"  {index:<10}{row['cpu_percent']:>8.0f}{row['cpu_us_per_tx']:>10.1f}{row['resident_mib']:>8.0f}")
    return rows


async def measure(network: Network, options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Samples]]:
    """Runs both parts; returns the summary and the raw samples."""
    if options.crashed:
        print(f"killing {options.crashed} of {options.validators} validators", file=sys.stderr)
        network.crash(options.crashed)
        await trio.sleep(5)  # until their links are closed and their leaders' views are short
    print(f"unloaded: {options.unloaded} transactions, one at a time", file=sys.stderr)
    await unloaded(network, 8, options.size)
    idle = await unloaded(network, options.unloaded, options.size)
    summary: dict[str, Any] = {"unloaded": latency_table("unloaded, one transaction at a time", idle.since(0))}

    print(f"loaded: {options.seconds} s, the first {options.warm_up} s not counted", file=sys.stderr)
    marks: list[tuple[float, int, list[Usage]]] = []

    async def mark(after_s: float) -> None:
        await trio.sleep(after_s)
        marks.append((trio.current_time(), await final_count(network), network.usages()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(mark, options.warm_up)
        nursery.start_soon(mark, options.seconds)
        if options.rate is None:
            busy = await loaded(network, options.seconds, options.clients, options.items, options.size)
        else:
            busy = await offered(network, options.seconds, options.rate, options.items, options.size)
    (began, count_before, before), (ended, count_after, after) = marks
    count, seconds = count_after - count_before, ended - began
    offer = f"{options.clients} clients per validator" if options.rate is None else f"{options.rate:,.0f} tx/s offered"
    title = f"loaded: {offer}, {options.items} transactions of {options.size} B per request"
    summary["loaded"] = latency_table(title, busy.since(options.warm_up))
    summary["final_tx_per_s"] = count / seconds
    summary["refused"], summary["unsent"] = busy.refused, busy.unsent
    print(f"\n  final throughput: {count / seconds:,.0f} tx/s over {seconds:.0f} s; refused as full: {busy.refused}")
    if busy.unsent:
        print(f"  not sent, since {UNANSWERED_MAX} requests or followers were unanswered: {busy.unsent}")
    summary["nodes"] = usage_table(before, after, seconds, count)
    return summary, {"unloaded": idle, "loaded": busy}


async def convictions(network: Network) -> dict[str, int]:
    """How many offences the first validator keeps proofs of, by rule: liars that do not lie measure nothing."""
    async with SequencerClient(network.urls[0]) as client:
        return dict(Counter(f"E{found.offence.rule}" for found in await client.evidence()))


def compare(summary: dict[str, Any], last: Path | None) -> None:
    """Prints ratios to the last recorded run."""
    if last is None:
        print("\nno earlier run to compare with")
        return
    old = json.loads((last / "summary.json").read_text())
    print(f"\ncompared with {last.name} (new ÷ old; this machine may have been busier or quieter)")
    print(f"  final throughput {summary['final_tx_per_s'] / max(1.0, old['final_tx_per_s']):.2f}")
    for part in ("unloaded", "loaded"):
        for rung in RUNGS:
            new_ms, old_ms = summary[part][rung]["p50"], old[part][rung]["p50"]
            print(f"  {part} {rung} p50 {new_ms / old_ms:.2f}" if old_ms else f"  {part} {rung} p50 –")


def main() -> None:
    """Parses the options and runs."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--validators", type=int, default=4)
    parser.add_argument("--crashed", type=int, default=0, help="validators that are killed before anything is measured")
    parser.add_argument("--byzantine", type=int, default=0, help="validators that equivocate as leaders and vote twice")
    parser.add_argument("--seconds", type=float, default=30.0, help="of load, warm-up included")
    parser.add_argument("--warm-up", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=4, help="per validator")
    parser.add_argument("--items", type=int, default=64, help="transactions per request")
    parser.add_argument("--size", type=int, default=512, help="bytes per transaction")
    parser.add_argument("--unloaded", type=int, default=100, help="transactions of the unloaded part")
    parser.add_argument("--catch-up", type=float, metavar="SECONDS", help="measure this instead: see catching_up.py")
    parser.add_argument("--rate", type=float, help="transactions per second, sent when due (default: a closed loop)")
    parser.add_argument("--profile", action="store_true", help="sample the validator that catches up")
    options = parser.parse_args()
    if options.catch_up is not None:
        catching_up.main(options)
        return
    if options.warm_up >= options.seconds:
        parser.error("--warm-up is below --seconds")

    recorded = sorted(RESULTS.glob("*/summary.json"))
    with tempfile.TemporaryDirectory(prefix="sequencer-bench-") as folder:
        home = Path(folder) / "devnet"
        with devnet(home, options.validators) as process:

            async def run() -> tuple[dict[str, Any], dict[str, Samples]]:
                network = await until_running(home, process)
                if not options.byzantine:
                    return await measure(network, options)
                with network.lying(home, options.byzantine):
                    await trio.sleep(5)  # until they have joined again
                    measured = await measure(network, options)
                    measured[0]["convicted_of"] = await convictions(network)
                    print(f"\n  convicted of {measured[0]['convicted_of']}")
                    return measured

            summary, raw = trio.run(run)
    summary["options"] = vars(options)
    summary["machine"] = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    compare(summary, recorded[-1].parent if recorded else None)
    folder_of_run = RESULTS / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    folder_of_run.mkdir(parents=True)
    (folder_of_run / "summary.json").write_text(json.dumps(summary, indent=2))
    (folder_of_run / "raw.json").write_text(json.dumps({part: samples.ms for part, samples in raw.items()}))
    print(f"\nraw data: {folder_of_run}")


if __name__ == "__main__":
    main()
