"""`make bench ARGS="--catch-up 60"`: how fast a validator that was away for so many seconds catches up under load.

Four validators as processes; the last is stopped, the load on the others goes on, it is started again while the load
goes on. Prints blocks and MB executed per second until it is within a few blocks of the head, next to what this
machine's disk and loopback link can do; keeps raw data under .bench/.
"""

import argparse
import itertools
import json
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
import trio

from sequencer.load.plan import Payloads
from tests.bench.machine import MachineSpeed, measure_machine
from tests.bench.usage import usage_of
from tests.e2e.network import Network, Node

DEFAULT_AWAY_S = 60.0
DEFAULT_RATE = 1_000.0  # transactions per second, unless --rate says another
RESULTS = Path(".bench")
NEAR_BLOCKS = 20
POLL_S = 0.25
PATIENCE_S = 600
_HEADERS = {"content-type": "application/octet-stream"}


@dataclass
class Load:
    """Transactions at a steady rate to some validators."""

    rate: float
    items: int
    size: int
    payloads: Payloads = field(default_factory=lambda: Payloads(Random()))
    sent: int = 0
    refused: int = 0

    async def run(self, nodes: list[Node]) -> None:
        """For ever, one request every `items / rate` seconds, to one after the other."""
        due = trio.current_time()
        async with httpx.AsyncClient(timeout=60) as client, trio.open_nursery() as nursery:
            for node, namespace in zip(itertools.cycle(nodes), itertools.cycle((1001, 1002)), strict=False):
                due += self.items / self.rate
                await trio.sleep_until(due)
                nursery.start_soon(self._send, client, f"{node.url}/v1/namespaces/{namespace}/transactions")

    async def _send(self, client: httpx.AsyncClient, url: str) -> None:
        body, _, _ = self.payloads.body(self.items, self.size)
        answer = await client.post(url, content=body, headers=_HEADERS)
        if answer.status_code == 200:
            self.sent += self.items
        else:
            self.refused += self.items


@dataclass
class Look:
    """The returning validator at one moment, since its process was started; heights are absolute."""

    at_s: float
    head: int  # executed by another validator
    phase: str | None
    final: int
    executed: int
    executed_mb: float
    cpu_s: float
    resident_mib: float
    received_mb: float
    fetched: float  # batches that came by digest
    pushed_in_vain: float  # batches that came and were dropped


@dataclass
class Run:
    """What was seen."""

    machine: MachineSpeed
    left_at: int = 0
    missed: int = 0
    caught_up_s: float = 0.0
    looks: list[Look] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Rates are from the first look at which something was executed."""
        last = self.looks[-1]
        first = next((look for look in self.looks if look.executed > self.left_at), last)
        working_s = max(1e-3, last.at_s - first.at_s)
        return {
            "missed_blocks": self.missed,
            "caught_up_s": self.caught_up_s,
            "first_block_s": first.at_s,
            "blocks_per_s": (last.executed - first.executed) / working_s,
            "mb_per_s": (last.executed_mb - first.executed_mb) / working_s,
            "mb": last.executed_mb,
            "head_blocks_per_s": (last.head - self.looks[0].head) / max(1e-3, last.at_s - self.looks[0].at_s),
            "resident_mib_max": max(look.resident_mib for look in self.looks),
            "received_mb": last.received_mb,
            "fetched": last.fetched,
            "in_vain": last.pushed_in_vain,
            "cpu_percent": 100 * last.cpu_s / last.at_s,
            **asdict(self.machine),
        }


async def counters(node: Node) -> Callable[[str], float]:
    """The sum of all figures whose line begins so."""
    async with httpx.AsyncClient(timeout=30) as client:
        lines = (await client.get(f"{node.metrics_url}/metrics")).text.splitlines()
    return lambda start: sum(float(line.split()[-1]) for line in lines if line.startswith(start))


async def look(node: Node, other: Node, since_s: float) -> Look:
    """Asks both."""
    async with other.client() as client:
        head = (await client.sync_status()).executed_height
    async with node.client() as client:
        own = await client.sync_status()
    count = await counters(node)
    usage = usage_of(node.process.pid)
    return Look(
        trio.current_time() - since_s,
        head,
        own.catching_up.phase if own.catching_up is not None else None,
        own.final_height,
        own.executed_height,
        count("sequencer_execution_bytes_total") / 1e6,
        usage.cpu_s,
        usage.resident_bytes / 2**20,
        count('sequencer_p2p_bytes_total{direction="received"}') / 1e6,
        count("sequencer_lanes_fetches_total{"),
        count("sequencer_lanes_faults_total{"),
    )


async def measure(network: Network, options: argparse.Namespace, run: Run, profile: Path | None) -> None:
    """The whole story."""
    nodes = network.start()
    away, others = nodes[-1], nodes[:-1]
    await network.until_ready()
    load = Load(options.rate or DEFAULT_RATE, options.items, options.size)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(load.run, others)
        await trio.sleep(options.warm_up)
        async with away.client() as client:
            run.left_at = (await client.sync_status()).executed_height
        await away.stop()
        print(f"validator {away.index} is away for {options.catch_up:g} s", file=sys.stderr)
        await trio.sleep(options.catch_up)
        async with others[0].client() as client:
            run.missed = (await client.sync_status()).executed_height - run.left_at
        if profile is not None:
            away.command = (sys.executable, "-m", "tests.bench.sampled", str(profile))
        began_s = trio.current_time()
        away.start()
        with trio.fail_after(PATIENCE_S):
            while not run.looks or run.looks[-1].executed < run.looks[-1].head - NEAR_BLOCKS:
                await trio.sleep(POLL_S)
                try:
                    run.looks.append(await look(away, others[0], began_s))
                except Exception as error:
                    if run.looks or not away.is_running:
                        raise RuntimeError(away.said()[-4_000:]) from error
        run.caught_up_s = trio.current_time() - began_s
        print(f"sent {load.sent} transactions, {load.refused} refused", file=sys.stderr)
        nursery.cancel_scope.cancel()
    await network.stop()


def show(summary: dict[str, Any]) -> None:
    """Prints what matters."""
    blocks, rate = summary["missed_blocks"], summary["blocks_per_s"]
    print(f"\n  away for {blocks} blocks; within {NEAR_BLOCKS} of the head after {summary['caught_up_s']:.1f} s")
    print(f"  of these until the first block was executed: {summary['first_block_s']:.1f} s")
    print(f"  executed {rate:,.0f} blocks/s, {summary['mb_per_s']:.2f} MB/s ({summary['mb']:.1f} MB)")
    head_rate = summary["head_blocks_per_s"]
    print(f"  the chain went on at {head_rate:.1f} blocks/s: {rate / max(1e-3, head_rate):.1f} x")
    for name in ("disk_synced", "link"):
        print(f"  {name} {summary[name]:,.0f} MB/s: {100 * summary['mb_per_s'] / summary[name]:.2f} % of it")
    print(
        f"  received {summary['received_mb']:.1f} MB; {summary['fetched']:.0f} requests for batches, "
        f"{summary['in_vain']:.0f} batches dropped"
    )
    print(f"  CPU {summary['cpu_percent']:.0f} %, at most {summary['resident_mib_max']:.0f} MiB resident")


def main(options: argparse.Namespace) -> None:
    """Runs it once."""
    folder_of_run = RESULTS / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ-catching-up")
    folder_of_run.mkdir(parents=True)
    profile = (folder_of_run / "profile.json").resolve() if options.profile else None
    with tempfile.TemporaryDirectory(prefix="sequencer-bench-") as folder:
        run = Run(measure_machine(Path(folder)))
        network = Network(Path(folder) / "net", options.validators)
        try:
            trio.run(measure, network, options, run, profile)
        finally:
            for node in network.nodes:
                if node.is_running:
                    node.kill()
            (folder_of_run / "node.log").write_text(network.nodes[-1].said())
    summary = run.summary()
    show(summary)
    summary |= {"options": {name: str(value) for name, value in vars(options).items()}, "system": platform.platform()}
    (folder_of_run / "catching_up.json").write_text(json.dumps(summary, indent=2))
    (folder_of_run / "raw.json").write_text(json.dumps([asdict(seen) for seen in run.looks]))
    print(f"\nraw data: {folder_of_run}")
