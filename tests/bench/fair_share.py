"""`python -m tests.bench.fair_share`: what a flood in one namespace does to the transactions of another.

A devnet of four validators as processes; the calm namespace sends one transaction at a time to each in turn, at a fixed
pace, and its times count from when a transaction was due. First it is alone, then a second namespace floods all four
validators, then it is alone again, to tell the flood from the machine's own moods. All of one run, on the same chain.

`--quota`: what the genesis lets the flooding namespace send to each validator, in transactions a second; it offers
`--factor` times as much. 0: no quota; what is offered then is `--factor` times half of `--capacity`.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import trio

from tests.bench.load import RUNGS, Samples, Sender, make_body, percentile
from tests.bench.network import Network, devnet, until_running
from tests.bench.records import RESULTS

CALM, FLOOD = 1001, 1002
SETTLING_S = 3.0
_HEADERS = {"content-type": "application/octet-stream", "accept": "application/octet-stream"}


class _Calm(Sender):
    """Sends to one validator, all of it in the calm namespace."""

    def __init__(self, network: Network, place: int, samples: Samples, start_s: float) -> None:
        super().__init__(network, place, samples, start_s, 1)
        self._namespace = CALM


async def calm(network: Network, options: argparse.Namespace) -> Samples:
    """One transaction every 1 / `rate` seconds, each followed to final."""
    samples, start_s = Samples(), trio.current_time()
    async with httpx.AsyncClient(timeout=60) as client, trio.open_nursery() as nursery:
        senders = [_Calm(network, place, samples, start_s) for place in range(len(network.urls))]
        for number in range(int(options.seconds * options.rate)):
            due_at = start_s + number / options.rate
            await trio.sleep_until(due_at)
            sender = senders[number % len(senders)]
            nursery.start_soon(sender.send, client, 1, options.size, nursery, due_at)
    return samples


async def flood(urls: list[str], options: argparse.Namespace) -> Counter[str]:
    """Offers its part of `offered` transactions a second to each, whatever the answers say; what became of them."""
    answers: Counter[str] = Counter()
    body, _ = make_body(options.items, options.size)
    run_mark = body[4 : 4 + 8]
    gap_s = options.items * len(urls) / options.offered

    async def send(client: httpx.AsyncClient, url: str, number: int) -> None:
        # Each request is unlike the others in every transaction: what is the same would be known, and cheap to refuse.
        fresh = body.replace(run_mark, number.to_bytes(8, "big"))
        try:
            answer = await client.post(f"{url}/v1/namespaces/{FLOOD}/transactions", content=fresh, headers=_HEADERS)
        except httpx.HTTPError as error:
            answers[type(error).__name__] += options.items
            return
        word = answer.json()["error"]["data"]["reason"] if answer.status_code != 200 else "taken"
        answers[word] += options.items

    async def run(url: str, place: int) -> None:
        limits = httpx.Limits(max_connections=options.connections, max_keepalive_connections=options.connections)
        async with httpx.AsyncClient(timeout=60, limits=limits) as client, trio.open_nursery() as nursery:
            next_at, number = trio.current_time(), (os.getpid() << 40) + (place << 32)
            while True:
                if len(nursery.child_tasks) < options.connections:
                    number += 1
                    nursery.start_soon(send, client, url, number)
                else:
                    answers["not offered: all connections wait"] += options.items
                next_at += gap_s
                await trio.sleep_until(next_at)

    with trio.move_on_after(options.flood_seconds):
        async with trio.open_nursery() as nursery:
            for place, url in enumerate(urls):
                nursery.start_soon(run, url, place)
    return answers


@asynccontextmanager
async def flooding(network: Network, options: argparse.Namespace) -> AsyncIterator[Counter[str]]:
    """A flood from a process of its own, at a low priority: who floods a network does not run on its machines."""
    answers: Counter[str] = Counter()
    seconds = options.seconds + 2 * SETTLING_S
    command = [sys.executable, "-m", "tests.bench.fair_share", "--flood", json.dumps(network.urls)]
    for name in ("items", "size", "connections", "offered"):
        command += [f"--{name}", str(getattr(options, name))]
    command += ["--flood-seconds", str(seconds)]
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            done = await trio.run_process(command, capture_stdout=True, preexec_fn=lambda: os.nice(10))
            answers.update(json.loads(done.stdout))

        nursery.start_soon(run)
        await trio.sleep(SETTLING_S)
        yield answers


async def measure(network: Network, options: argparse.Namespace) -> dict[str, Any]:
    """The three parts; each keeps its raw samples."""
    parts: dict[str, Any] = {}
    await calm(network, argparse.Namespace(**{**vars(options), "seconds": 3.0}))
    for part in ("alone", "flooded", "alone again"):
        print(f"{part}: {options.seconds:.0f} s", file=sys.stderr)
        async with AsyncExitStack() as stack:
            answers = await stack.enter_async_context(flooding(network, options)) if part == "flooded" else Counter()
            before, began = network.usages(), trio.current_time()
            samples = await calm(network, options)
            after, took_s = network.usages(), trio.current_time() - began
        cpu = [100 * (new.cpu_s - old.cpu_s) / took_s for old, new in zip(before, after, strict=True)]
        parts[part] = {"ms": samples.ms, "refused": samples.refused, "flood": dict(answers), "cpu_percent": cpu}
    return parts


def report(parts: dict[str, Any]) -> dict[str, Any]:
    """Prints and returns the percentiles and the ratios."""
    summary: dict[str, Any] = {}
    print(f"\n  {'calm':12}{'':10}{'n':>6}{'p50 ms':>9}{'p90 ms':>9}{'p99 ms':>9}")
    for part, found in parts.items():
        summary[part] = {}
        for rung in RUNGS:
            values = sorted(ms for _, ms in found["ms"][rung])
            row = {f"p{round(share * 100)}": percentile(values, share) for share in (0.5, 0.9, 0.99)}
            summary[part][rung] = {"n": len(values), **row}
            print(f"  {part:12}{rung:10}{len(values):>6}" + "".join(f"{value:>9.1f}" for value in row.values()))
        print(f"  {'':12}refused {found['refused']}; CPU of the nodes {[round(c) for c in found['cpu_percent']]}%")
    print(f"\n  flooded ÷ alone {'':3}{'p50':>9}{'p99':>9}   (alone: the mean of both parts)")
    for rung in RUNGS:
        ratios = {}
        for mark in ("p50", "p99"):
            alone = (summary["alone"][rung][mark] + summary["alone again"][rung][mark]) / 2
            ratios[mark] = summary["flooded"][rung][mark] / alone
        summary.setdefault("ratio", {})[rung] = ratios
        print(f"  {rung:18}{ratios['p50']:>9.2f}{ratios['p99']:>9.2f}")
    print(f"\n  the flood's transactions: {parts['flooded']['flood']}")
    return summary


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
    parser.add_argument("--flood", help=argparse.SUPPRESS)  # the process that floods: these URLs
    parser.add_argument("--flood-seconds", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--offered", type=float, default=0.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flood:
        print(json.dumps(trio.run(flood, json.loads(options.flood), options)))
        return
    validators = 4
    share = options.quota * validators if options.quota else options.capacity / 2
    options.offered = options.factor * share
    terms = ["--terms", f"{FLOOD}:tx_per_s={options.quota}"] if options.quota else []
    with tempfile.TemporaryDirectory(prefix="sequencer-bench-") as folder:
        home = Path(folder) / "devnet"
        with devnet(home, validators, terms) as process:

            async def run() -> dict[str, Any]:
                return await measure(await until_running(home, process), options)

            parts = trio.run(run)
    print(f"flood: share {share:,.0f} tx/s over all validators, {options.offered:,.0f} tx/s offered")
    summary = report(parts)
    summary["options"] = vars(options)
    summary["machine"] = {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()}
    folder_of_run = RESULTS / datetime.now(UTC).strftime("fair-share-%Y-%m-%dT%H-%M-%SZ")
    folder_of_run.mkdir(parents=True)
    (folder_of_run / "summary-fair-share.json").write_text(json.dumps(summary, indent=2))
    (folder_of_run / "raw.json").write_text(json.dumps(parts))
    print(f"\nraw data: {folder_of_run}")


if __name__ == "__main__":
    main()
