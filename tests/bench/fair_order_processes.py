"""Pairs of transactions through different validators of a real network: how often they change places.

Responsible for: submitting at the right moments and asking where both stand.
Refuses to do: correct for the machine: how far apart the requests really left is told beside the result.
"""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import trio

from consensus.numbers import Hash, NamespaceId
from sequencer.client.client import SequencerClient
from sequencer.client.status import Status
from tests.e2e.network import Network

ROLLUP = NamespaceId(1001)


@dataclass(frozen=True, slots=True)
class RealRow:
    """One Δ: what was asked for, how far apart the requests left, and how many pairs were inverted."""

    gap_ms: int
    apart_ms: float
    pairs: int
    inverted: int


async def measure_processes(directory: Path, gaps_ms: Sequence[int], pairs: int) -> list[RealRow]:
    """Four validators, idle but for the pairs."""
    network = Network(directory)
    random = Random(1)
    numbers = itertools.count()
    network.start()
    try:
        await network.until_ready()
        rows = []
        for gap_ms in gaps_ms:
            apart, inverted = [], 0
            for _ in range(pairs):
                first, second = random.sample(network.nodes, 2)
                async with first.client() as one, second.client() as other:
                    await one.sync_status(), await other.sync_status()  # connections are open
                    await trio.sleep(random.uniform(0.02, 0.08))
                    sent, hashes = await _send_pair(one, other, gap_ms / 1_000, next(numbers))
                    places = [await _place(one, tx_hash) for tx_hash in hashes]
                apart.append(1_000 * (sent[1] - sent[0]))
                inverted += places[1] < places[0]
            rows.append(RealRow(gap_ms, statistics.median(apart), pairs, inverted))
        await network.stop()
    finally:
        network.end()
    return rows


async def _send_pair(
    one: SequencerClient, other: SequencerClient, gap_s: float, number: int
) -> tuple[list[float], list[Hash]]:
    """When each request left, and the hashes, A first."""
    sent, hashes = [0.0, 0.0], [Hash(bytes(32))] * 2
    begin = trio.current_time() + 0.005

    async def send(place: int, client: SequencerClient, at: float, body: bytes) -> None:
        await trio.sleep_until(at)
        sent[place] = trio.current_time()
        hashes[place] = (await client.send(ROLLUP, body)).items[0].hash

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, 0, one, begin, b"A %d" % number)
        nursery.start_soon(send, 1, other, begin + gap_s, b"B %d" % number)
    return sent, hashes


async def _place(client: SequencerClient, tx_hash: Hash) -> tuple[int, int]:
    """Its place in the chain; a development node indexes what all authors sent."""
    while True:
        found = await client.wait(tx_hash, Status.FINAL)
        if found.namespace_index is not None and found.position is not None:
            return found.namespace_index, found.position
        await trio.sleep(0.01)
