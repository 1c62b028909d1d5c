"""How often two transactions change places: `python -m tests.bench.fair_order`.

Pairs are submitted through different validators Δ apart, A first. An inversion is B before A in the chain. Measured on
the simulator's whole nodes (virtual time: the machine does not matter, and one seed gives one table), and with
`--processes` on a network of real ones. Raw data is kept under .bench/.

Beside it stands what a design would allow in which the leader of a view picks the order of its block. The model is kind
to it: views follow each other as fast as the links let them (two delays and 1 ms, 5 ms at least), every leader proposes
at once all it holds, and it holds what the simulated validators held, when they held it.
1. An honest leader orders by its own arrivals.
2. A dishonest one puts B first whenever it holds B by the time it proposes the block that A is in.
3. One that also waits before it proposes, up to the view timeout (1 s), can put B first in its turn at every Δ here.

Our columns: all validators honest; and the author of B Byzantine and at work as `BackdatingAuthor`, `ClockLiar` and
`ReportChooser` at once: it dates its batches back, lies about the time, and quotes as leader what suits it.
"""

import argparse
import json
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import trio

from consensus.numbers import Digest, Hash, NamespaceId
from consensus.replica.effects import CommittedBlock
from consensus.replica.state import ReplicaTiming
from consensus.vocabulary.receipt import Receipt
from tests.bench.fair_order_processes import measure_processes
from tests.simulation.adversary import Adversary
from tests.simulation.attackers.attacker import Attackers
from tests.simulation.attackers.leaders import ReportChooser
from tests.simulation.attackers.reports import BackdatingAuthor, ClockLiar
from tests.simulation.whole.cluster import WholeCluster
from tests.simulation.whole.cryptography import quick_signatures

RESULTS = Path(".bench")
GAPS_MS = (0, 1, 2, 5, 10, 20, 50, 100)
DELAYS_MS = (0, 10, 50)
SKEW_MS = 2  # clocks differ by up to so much
WORLDS = 4  # clusters, each with its own clocks, that share a row's pairs
LIMIT_MS = 60_000.0


@dataclass(frozen=True, slots=True)
class Row:
    """One Δ at one delay: how many of the pairs were, or could have been, inverted."""

    delay_ms: int
    gap_ms: int
    pairs: int
    inverted: int
    inverted_by_attack: int
    honest_leader: int
    picking_leader: int


class PairCluster(WholeCluster):
    """Keeps in which batch each transaction is, where that is ordered, and when each validator had it."""

    def __init__(self, seed: int, delay_ms: int) -> None:
        self.batch_of: dict[Hash, Digest] = {}
        self.place: dict[Digest, int] = {}
        self.held_at: dict[Digest, dict[int, float]] = defaultdict(dict)
        super().__init__((1, 1, 1, 1), seed, ReplicaTiming())
        self.latency_ms = (delay_ms + 0.2, 1.1 * delay_ms + 0.5)
        for node in self.nodes:
            node.clock_offset_ms = self.random.randrange(SKEW_MS + 1)

    def note_receipt(self, receipt: Receipt) -> None:
        """Of Byzantine authors, too."""
        self.batch_of.update({item.hash: receipt.batch for item in receipt.items})
        super().note_receipt(receipt)

    def note_held(self, index: int, digest: Digest, arrival_ms: int | None = None) -> None:
        """By virtual time: what the validators' clocks say is part of what is measured."""
        self.held_at[digest].setdefault(index, self.time_ms)
        super().note_held(index, digest, arrival_ms)

    def note_committed(self, index: int, block: CommittedBlock) -> None:
        """Numbers the batches in their order."""
        is_new = block.tip.header.height > len(self.blocks)
        super().note_committed(index, block)
        if is_new:
            for batch in block.batches:
                self.place[batch.digest] = len(self.place)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both batches of a pair in a cluster that has ordered them."""

    first: Digest
    second: Digest
    is_inverted: bool


def run_pairs(cluster: PairCluster, count: int, gap_ms: int, liar: int | None) -> list[Pair]:
    """Submits pairs one after the other, B through the liar if there is one."""
    rng, found = random.Random(cluster.random.random()), []
    namespace = cluster.chain.namespaces[0].id
    cluster.start()
    cluster.run(500)
    for number in range(count):
        first, second = rng.sample(range(4), 2)
        if liar is not None:
            first, second = rng.choice([index for index in range(4) if index != liar]), liar
        hashes: list[Hash] = []
        cluster.run(rng.uniform(20, 60))
        _submit_later(cluster, first, namespace, b"A %d" % number, 0.0, hashes)
        _submit_later(cluster, second, namespace, b"B %d" % number, float(gap_ms), hashes)

        def is_done(hashes: list[Hash] = hashes) -> bool:
            batches = [cluster.batch_of.get(tx_hash) for tx_hash in hashes]
            return len(batches) == 2 and all(
                batch is not None and batch in cluster.place and len(cluster.held_at[batch]) == 4 for batch in batches
            )

        cluster.run_until(is_done, LIMIT_MS)
        one, other = (cluster.batch_of[tx_hash] for tx_hash in hashes)
        found.append(Pair(one, other, cluster.place[other] < cluster.place[one]))
    return found


def _submit_later(
    cluster: PairCluster, author: int, namespace: NamespaceId, body: bytes, delay_ms: float, hashes: list[Hash]
) -> None:
    def submit() -> None:
        tx_hash = cluster.nodes[author].submit(namespace, body)
        assert tx_hash is not None
        hashes.append(tx_hash)

    cluster.after(delay_ms, submit)


def leader_picks(cluster: PairCluster, pair: Pair, delay_ms: int, rng: random.Random) -> tuple[bool, bool]:
    """Whether an honest leader of the other design would have inverted the pair, and whether a dishonest one could."""
    interval_ms = max(5.0, 2 * delay_ms + 1.0)
    phase_ms, turn = rng.uniform(0, interval_ms), rng.randrange(4)
    held = [cluster.held_at[digest] for digest in (pair.first, pair.second)]
    begin_ms = min(min(times.values()) for times in held) - phase_ms

    def proposed(times: dict[int, float]) -> int:
        """The first view whose leader holds it when it proposes."""
        view = 0
        while times[(turn + view) % 4] > begin_ms + view * interval_ms:
            view += 1
        return view

    views = [proposed(times) for times in held]
    leader = (turn + views[0]) % 4
    is_same = views[0] == views[1]
    is_inverted = views[1] < views[0] or (is_same and held[1][leader] < held[0][leader])
    return is_inverted, views[1] <= views[0]


def measure(delay_ms: int, gap_ms: int, pairs: int, seed: int) -> Row:
    """One row."""
    honest = attacked = by_leader = picked = 0
    rng = random.Random(f"leaders {seed} {delay_ms} {gap_ms}")
    share = pairs // WORLDS
    for world in range(WORLDS):
        number = seed * 1_000_000 + delay_ms * 10_000 + gap_ms * 10 + world
        with quick_signatures(ecdsa=True), closing(PairCluster(number, delay_ms)) as cluster:
            for pair in run_pairs(cluster, share, gap_ms, None):
                honest += pair.is_inverted
                would, could = leader_picks(cluster, pair, delay_ms, rng)
                by_leader += would
                picked += could
        with quick_signatures(ecdsa=True), closing(PairCluster(number, delay_ms)) as cluster:
            liar = world % 4
            adversary = Adversary(cluster, liar)
            kinds = (BackdatingAuthor, ClockLiar, ReportChooser)
            Attackers({liar: [kind(adversary, liar, cluster.random) for kind in kinds]})
            attacked += sum(pair.is_inverted for pair in run_pairs(cluster, share, gap_ms, liar))
    return Row(delay_ms, gap_ms, share * WORLDS, honest, attacked, by_leader, picked)


HEAD = (
    "| one way | Δ | all honest | B's author attacks | leader picks, honest | dishonest | dishonest and waits |\n"
    "|---|---|---|---|---|---|---|"
)


def line_of(row: Row) -> str:
    """One line of the table."""
    shares = (row.inverted, row.inverted_by_attack, row.honest_leader, row.picking_leader)
    cells = " | ".join(f"{100 * value / row.pairs:.0f} %" for value in shares)
    return f"| {row.delay_ms} ms | {row.gap_ms} ms | {cells} | 100 % |"


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fair_order", description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=200, help="of each row")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=0, metavar="PAIRS", help="of each Δ on real processes, too")
    parser.add_argument("--no-simulation", action="store_true", help="only --processes")
    options = parser.parse_args(arguments)
    rows: list[Row] = []
    if not options.no_simulation:
        say(
            f"{options.pairs} pairs each, four validators, clocks up to {SKEW_MS} ms apart, seed {options.seed}\n{HEAD}"
        )
        for delay_ms in DELAYS_MS:
            for gap_ms in GAPS_MS:
                rows.append(measure(delay_ms, gap_ms, options.pairs, options.seed))
                say(line_of(rows[-1]))
    real = []
    if options.processes:
        with tempfile.TemporaryDirectory() as directory:
            real = trio.run(measure_processes, Path(directory) / "network", GAPS_MS, options.processes)
        say("\nreal processes on this machine\n| Δ | really apart, median | inverted |\n|---|---|---|")
        for entry in real:
            say(f"| {entry.gap_ms} ms | {entry.apart_ms:.1f} ms | {100 * entry.inverted / entry.pairs:.0f} % |")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"fair-order-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    found = {
        "seed": options.seed,
        "rows": [asdict(row) for row in rows],
        "processes": [asdict(entry) for entry in real],
    }
    path.write_text(json.dumps(found, indent=1) + "\n")
    say(f"\nraw data: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
