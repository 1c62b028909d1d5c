"""`python -m tests.bench.committee`: what a view costs as the committee grows, counted in the simulator.

Every message of honest replicas is counted as its encoded bytes, every ECDSA operation as one; the time that they imply
comes from what signing and checking cost on this machine, measured in the same run, and from the link's cost given.
Signatures are real. Batches are digests: their own bytes travel beside this and depend on the load alone.
"""

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass

from consensus import signing
from consensus.replica.events import Event
from consensus.replica.state import ReplicaTiming
from tests.simulation.cluster import Cluster, Sent
from tests.simulation.keys import RepeatingKey, node_key
from tests.simulation.node import Node

COUNTS = (4, 16, 31, 64, 100)
LINK_CPU_MS_PER_MB = 2.9  # docs/adr/0018: one end
TIMING = ReplicaTiming(
    view_timeout_ms=60_000, view_timeout_max_ms=60_000, idle_interval_ms=20, min_block_interval_loaded_ms=5
)


@dataclass(frozen=True)
class Costs:
    """Per block. Bytes are sent ones; operations are signatures made and checked."""

    count: int
    leader_bytes: float
    other_bytes: float
    leader_checks: float
    other_checks: float
    signs: float
    bytes_by_kind: dict[str, float]


class Counters:
    """Counts by node and by view's leader."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.bytes_sent: Counter[tuple[int, int]] = Counter()  # (view, node)
        self.kinds: Counter[str] = Counter()
        self.checks: Counter[tuple[int, int]] = Counter()
        self.signs = 0
        self._stepping: int | None = None
        cluster.on_transmit = self._sent
        self._step, self._check, self._sign = Node.step, signing.is_signature, RepeatingKey.sign

    def __enter__(self) -> "Counters":
        step, check, sign = self._step, self._check, self._sign

        def counted_step(node: Node, event: Event) -> None:
            before, self._stepping = self._stepping, node.index
            step(node, event)
            self._stepping = before

        def counted_check(public_key: bytes, digest: bytes, signature: bytes) -> bool:
            if self._stepping is not None:
                self.checks[self._view(), self._stepping] += 1
            return check(public_key, digest, signature)

        def counted_sign(key: RepeatingKey, digest: bytes) -> bytes:
            self.signs += 1
            return sign(key, digest)

        Node.step = counted_step  # type: ignore[method-assign, assignment]
        signing.is_signature = counted_check
        RepeatingKey.sign = counted_sign  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *_: object) -> None:
        Node.step, signing.is_signature = self._step, self._check  # type: ignore[method-assign]
        RepeatingKey.sign = self._sign  # type: ignore[method-assign]

    def _view(self) -> int:
        return max(node.core.state.view for node in self._cluster.nodes)

    def _sent(self, sent: Sent) -> None:
        self.bytes_sent[self._view(), sent.sender] += len(sent.message.encoded)
        self.kinds[type(sent.message).__name__] += len(sent.message.encoded)


def measure(count: int, views: int) -> Costs:
    """A committee with equal stakes, each validator sealing a batch in every view, after four views to warm up."""
    cluster = Cluster((1,) * count, timing=TIMING)
    cluster.latency_ms = (0.5, 1.0)
    cluster.start()

    def view() -> int:
        return max(node.core.state.view for node in cluster.nodes)

    def run_view() -> None:
        for author in range(count):
            cluster.batch(author)
        before = view()
        cluster.run_until(lambda: view() > before)

    for _ in range(4):
        run_view()
    with Counters(cluster) as counters:
        first = view()
        for _ in range(views):
            run_view()
        last = view()
    leaders = {number: cluster.leader(number) for number in range(first, last)}
    blocks = len(leaders)

    def split(table: Counter[tuple[int, int]]) -> tuple[float, float]:
        leading = sum(table[number, leader] for number, leader in leaders.items())
        total = sum(amount for (number, _), amount in table.items() if number in leaders)
        return leading / blocks, (total - leading) / blocks / max(1, count - 1)

    leader_bytes, other_bytes = split(counters.bytes_sent)
    leader_checks, other_checks = split(counters.checks)
    kinds = {kind: amount / blocks for kind, amount in sorted(counters.kinds.items())}
    return Costs(count, leader_bytes, other_bytes, leader_checks, other_checks, counters.signs / blocks / count, kinds)


def crypto_costs_us() -> tuple[float, float]:
    """What making and checking one signature costs here, in µs."""
    key, digests = node_key(0), [bytes([number % 256, number // 256]) + bytes(30) for number in range(500)]
    sign = RepeatingKey.__mro__[1].sign  # type: ignore[attr-defined]
    began = time.perf_counter()
    signatures = [sign(key, digest) for digest in digests]
    signed = time.perf_counter()
    for digest, signature in zip(digests, signatures, strict=True):
        assert signing.is_signature(key.public_key, digest, signature)
    checked = time.perf_counter()
    return (signed - began) * 1e6 / len(digests), (checked - signed) * 1e6 / len(digests)


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.committee", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="*", default=COUNTS)
    parser.add_argument("--views", type=int, default=8)
    options = parser.parse_args()
    sign_us, check_us = crypto_costs_us()
    print(f"signing {sign_us:.0f} µs, checking {check_us:.0f} µs; links {LINK_CPU_MS_PER_MB} ms of CPU per MB\n")
    print("| n | leader sends | others send | leader checks | others check | signs each | crypto | links | view |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for count in options.counts:
        print(f"n = {count} …", file=sys.stderr, flush=True)
        costs = measure(count, options.views)
        crypto_ms = costs.leader_checks * check_us / 1_000 + costs.other_checks * check_us / 1_000
        links_ms = costs.leader_bytes / 1e6 * LINK_CPU_MS_PER_MB
        print(
            f"| {count} | {costs.leader_bytes / 1e3:,.1f} kB | {costs.other_bytes / 1e3:,.1f} kB | "
            f"{costs.leader_checks:,.0f} | {costs.other_checks:,.0f} | {costs.signs:.1f} | {crypto_ms:.1f} ms | "
            f"{links_ms:.1f} ms | {crypto_ms + links_ms:.1f} ms |"
        )
        kinds = ", ".join(f"{kind} {amount / 1e3:,.1f}" for kind, amount in costs.bytes_by_kind.items())
        print(f"n = {count}: kB by kind over all nodes: {kinds}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
