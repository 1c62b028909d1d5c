"""Receipts under kills: `python -m tests.e2e.receipt_campaign`, or `make receipts`.

A campaign is legs. A leg is a network of four validators of its own, clients that send requests of 1 to 256
transactions through both doors, and a schedule of SIGKILLs that its seed determines: of the author of a receipt at the
moment when a client has it, of the next view's leader, of both, of all. Then everything that was ever receipted is
judged twice, by `chain_audit.py` and by `receipt_judge.py`, which shares no code with the product.

Responsible for: schedules, legs, and a record to go on from after an interruption.
Refuses to do: count a leg that was not judged to its end.
"""

import argparse
import itertools
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import trio

from consensus.numbers import View
from consensus.vocabulary.batch import Batch
from consensus.vocabulary.receipt import Receipt
from sequencer.client.errors import ClientError
from sequencer.client.submission import SubmitOutcome
from storage.batches import BatchLog
from storage.database import Database
from storage.home import batches_directory
from tests.e2e.chain_audit import audit, settle
from tests.e2e.load import Ledger, Load
from tests.e2e.network import Network, Node, note
from tests.e2e.receipt_judge import Verdict, judge

SETTINGS = {
    "consensus.view_timeout_ms": 600,
    "consensus.idle_interval_ms": 50,
    "storage.segment_bytes": 4 * 1024 * 1024,
}
KINDS = ("author", "author", "author", "leader", "leader", "leader", "both", "all")
JUST_BEFORE_S = 0.1
LEG_RECEIPTS = 12_500
TURNS = 12  # of a leg, at least
PAUSE_S = 0.5  # of a client between its requests: most of the time goes into starts
RECORD = Path(".receipts.json")
PAGE_BLOCKS = 100


@dataclass(frozen=True, slots=True)
class Strike:
    """One turn: after so many more receipts, whom it kills, how soon after the receipt, and for how long it is away."""

    after: int
    kind: str  # author, leader, both, all
    victim: int  # the author whose next receipt is waited for; the leader is whoever leads then
    delay_s: float
    away_s: float
    waits: bool  # for all to be ready again before the next turn


def draw_schedule(seed: int) -> "itertools.chain[Strike]":
    """Strikes without end, from the seed alone."""
    random = Random(seed)

    def draw() -> Strike:
        return Strike(
            random.randrange(50, 600),
            random.choice(KINDS),
            random.randrange(4),
            random.choice((0.0, 0.0, 0.0, 0.001, 0.005, 0.02)),
            random.choice((0.0, 0.0, 0.5, 1.5)),
            random.random() < 0.3,
        )

    return itertools.chain.from_iterable([draw()] for _ in itertools.count())


@dataclass
class Journal(Ledger):
    """A ledger that keeps when each receipt came, and wakes who waits for one of a validator."""

    receipts: list[tuple[float, Receipt]] = field(default_factory=list)
    requests: int = 0
    _waiting: dict[int, trio.Event] = field(default_factory=dict)

    def note_outcome(self, outcome: SubmitOutcome) -> None:
        """See `Ledger`."""
        super().note_outcome(outcome)
        self.requests += 1
        for receipt in outcome.receipts:
            self.receipts.append((trio.current_time(), receipt))
            waiting = self._waiting.pop(receipt.lane, None)
            if waiting is not None:
                waiting.set()

    async def until_next_of(self, lane: int) -> None:
        """Returns when a client has the next receipt of this validator."""
        await self._waiting.setdefault(lane, trio.Event()).wait()


class Leg:
    """One network from its start to the judgement."""

    def __init__(self, network: Network, seed: int, receipts: int, turns: int = TURNS) -> None:
        self._network = network
        self._nodes = network.nodes
        self._seed = seed
        self._wanted = receipts
        self._turns_wanted = turns
        self.journal = Journal(network.chain)
        self.kills: list[tuple[float, int]] = []
        self.turns: Counter[str] = Counter()

    async def run(self) -> dict[str, Any]:
        """What the leg came to. Fails with an `AssertionError` if a receipt is broken."""
        network, journal = self._network, self.journal
        began = trio.current_time()
        network.start()
        await network.until_ready()
        random = Random(f"sizes {self._seed}")

        def draw_size() -> int:
            return random.choice((1, 1, 2, 7, 30, 100, 256, random.randrange(1, 257)))

        async with trio.open_nursery() as nursery:
            load = Load(journal, nursery)
            for node in self._nodes:
                for namespace in (1001, 1002):
                    load.add(node, namespace, items=draw_size, pause_s=PAUSE_S, json_every=3)
            for strike in draw_schedule(self._seed):
                if len(journal.promises) >= self._wanted and self.turns.total() >= self._turns_wanted:
                    break
                await load.until_promised(strike.after)
                await self._strike(strike)
            await network.until_ready()
            for node in self._nodes:
                await load.until_promised(20, by=node.index)
            await load.stop()
        loaded_s = trio.current_time() - began
        await settle(self._nodes, journal, f"leg {self._seed}")
        await audit(self._nodes, journal)
        served = await fetch_chain(self._nodes[self._seed % 4])
        await network.stop()
        verdict = self._judge(served)
        return self._sum_up(verdict, loaded_s, trio.current_time() - began)

    async def _strike(self, strike: Strike) -> None:
        victims: list[Node] = []
        if strike.kind in {"author", "both", "all"}:
            victims.append(self._nodes[strike.victim])
            await self.journal.until_next_of(strike.victim)
        if strike.kind in {"leader", "both"}:
            victims.append(self._nodes[await self._next_leader()])
        if strike.kind == "all":
            victims += self._nodes
        if strike.delay_s:
            await trio.sleep(strike.delay_s)
        chosen = list(dict.fromkeys(victims))
        for victim in chosen:
            victim.process.kill()
            self.kills.append((trio.current_time(), victim.index))
        for victim in chosen:
            victim.kill()
        self.turns[strike.kind] += 1
        note(
            f"  seed {self._seed}: {strike.kind:6} killed {[victim.index for victim in chosen]}, "
            f"{len(self.journal.promises)} transactions with a receipt"
        )
        await trio.sleep(strike.away_s)
        for victim in chosen:
            victim.start()
        if strike.waits:
            await self._network.until_ready()

    async def _next_leader(self) -> int:
        """Of the view after the one that a node that answers is in."""
        for node in itertools.cycle(self._nodes):
            try:
                async with node.client() as client:
                    view = (await client.sync_status()).view
            except ClientError:
                await trio.sleep(0.05)
            else:
                return int(self._network.chain.validator_set.leader(View(view + 1)))
        raise AssertionError("a cycle ends")

    def _judge(self, served: Mapping[int, Any]) -> Verdict:
        receipts = [receipt for _, receipt in self.journal.receipts]
        headers = read_headers(self._nodes[(self._seed + 1) % 4], {bytes(receipt.batch) for receipt in receipts})
        genesis = self._network.chain.encode()
        verdict = judge(genesis, [receipt.encode() for receipt in receipts], served, headers)
        assert not verdict.broken, f"{len(verdict.broken)} broken: {verdict.broken[:5]} …"
        assert verdict.transactions == len(self.journal.promises)
        return verdict

    def _sum_up(self, verdict: Verdict, loaded_s: float, duration_s: float) -> dict[str, Any]:
        given_last = 0
        for at, lane in self.kills:
            given_last += sum(
                len(receipt.items)
                for came, receipt in self.journal.receipts
                if receipt.lane == lane and 0 <= at - came <= JUST_BEFORE_S
            )
        return {
            "seed": self._seed,
            "transactions": verdict.transactions,
            "receipts": verdict.signatures,
            "requests": self.journal.requests,
            "broken": len(verdict.broken),
            "kills": len(self.kills),
            "turns": dict(self.turns),
            "just_before_kill": given_last,
            "sent": len(self.journal.sent),
            "unanswered": dict(self.journal.failures),
            "seconds_loaded": round(loaded_s),
            "seconds": round(duration_s),
        }


async def fetch_chain(node: Node) -> dict[int, Any]:
    """Per namespace its blocks and the proof of the last, as JSON."""
    found: dict[int, Any] = {}
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:

        async def call(method: str, **params: Any) -> Any:
            answer = await http.post(node.url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            return answer.json()["result"]

        for namespace in (1001, 1002):
            proof = await call("seq_getNamespaceProof", namespace=namespace, height="attested")
            blocks: list[Any] = []
            while len(blocks) <= proof["leaf"]["index"]:
                page = await call(
                    "seq_getNamespaceBlocks", namespace=namespace, from_index=len(blocks), count=PAGE_BLOCKS
                )
                last = page[-1]
                while len(last["sections"][0]["runs"]) < last["run_count"]:
                    first_run = len(last["sections"][0]["runs"])
                    (more,) = await call(
                        "seq_getNamespaceBlocks",
                        namespace=namespace, from_index=last["index"], count=1, first_run=first_run,
                    )  # fmt: skip
                    for key in ("runs", "transactions"):
                        last["sections"][0][key] += more["sections"][0][key]
                blocks += page
            found[namespace] = {"blocks": blocks[: proof["leaf"]["index"] + 1], "proof": proof}
    return found


def read_headers(node: Node, digests: set[bytes]) -> dict[bytes, bytes]:
    """The encoded headers of these batches from the disk of a node that has ended."""
    found = {}
    with Database.open(node.home, node.chain.chain_id) as database:
        log = BatchLog.open(batches_directory(node.home), database, node.chain.chain_id)
        try:
            for digest in digests:
                encoded = log.read(digest)
                if encoded is not None:
                    batch = Batch.decode(encoded, node.chain.parameters.batch_bytes_max)
                    found[digest] = batch.header.encoded
        finally:
            log.close()
    return found


def run_leg(seed: int, receipts: int) -> dict[str, Any]:
    """One leg in a directory of its own, which stays if it fails."""
    directory = Path(tempfile.mkdtemp(prefix=f"receipts-{seed}-"))
    network = Network(directory / "network", settings=SETTINGS)
    try:
        found = trio.run(Leg(network, seed, receipts).run)
    except BaseException:
        network.end()
        say(f"seed {seed} failed; what it left is in {directory}")
        raise
    shutil.rmtree(directory)
    return found


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def summary(legs: Sequence[Mapping[str, Any]]) -> str:
    """One line of all legs."""
    total = Counter[str]()
    for leg in legs:
        total.update({key: value for key, value in leg.items() if isinstance(value, int)})
    return (
        f"{len(legs)} legs, {total['transactions']} transactions with receipts ({total['receipts']} receipts, "
        f"{total['requests']} requests), {total['kills']} kills, {total['just_before_kill']} of them given within "
        f"{JUST_BEFORE_S:g} s before their author died, {total['broken']} broken; {total['seconds']} s"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.receipt_campaign", description=__doc__.split("\n")[0])
    parser.add_argument("--receipts", type=int, default=100_000, help="transactions with a receipt, in all")
    parser.add_argument("--leg", type=int, default=LEG_RECEIPTS, help="of which in one network")
    parser.add_argument("--seed", type=int, default=1, help="of the first leg; the next ones count up")
    parser.add_argument("--record", type=Path, default=RECORD, help="judged legs; those in it are not run again")
    options = parser.parse_args(arguments)
    legs: list[dict[str, Any]] = json.loads(options.record.read_text()) if options.record.exists() else []
    done = {leg["seed"] for leg in legs}
    for seed in itertools.count(options.seed):
        left = options.receipts - sum(leg["transactions"] for leg in legs)
        if left <= 0:
            break
        if seed in done:
            continue
        say(f"seed {seed}: {left} to go")
        legs.append(run_leg(seed, min(left, options.leg)))
        options.record.write_text(json.dumps(legs, indent=1) + "\n")
        say(f"{json.dumps(legs[-1])}\n{summary(legs)}")
    say(summary(legs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
