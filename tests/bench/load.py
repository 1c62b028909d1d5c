"""Load through the fast door, and times by the client's clock.

`received`: until the receipts came. `ordered` and `final`: from the same start until `seq_waitForTransaction` said so.
"""

import itertools
import os
import struct
import time
from dataclasses import dataclass, field

import httpx
import trio

from consensus.numbers import NamespaceId
from consensus.vocabulary.batch import KIND_OPEN, transaction_id
from tests.bench.network import Network

RUNGS = ("received", "ordered", "final")
WAIT_MS = 30_000
UNANSWERED_MAX = 512  # requests and followers of an open loop
_HEADERS = {"content-type": "application/octet-stream", "accept": "application/octet-stream"}


@dataclass
class Samples:
    """Times in ms by rung, with the second of the run at which each request began."""

    ms: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {rung: [] for rung in RUNGS})
    sent: int = 0
    refused: int = 0
    unsent: int = 0  # due while too many were unanswered

    def note(self, rung: str, began_s: float, ms: float) -> None:
        self.ms[rung].append((began_s, ms))

    def since(self, warm_up_s: float) -> dict[str, list[float]]:
        """The times of requests that began after the warm-up, sorted."""
        return {rung: sorted(ms for began_s, ms in pairs if began_s >= warm_up_s) for rung, pairs in self.ms.items()}


def percentile(ordered: list[float], share: float) -> float:
    """Of sorted values; NaN for none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


_TAIL = os.urandom(1 << 16)
_UNIQUE = struct.Struct(">QQ")
_numbers = itertools.count(time.time_ns())
_RUN = int.from_bytes(os.urandom(8), "big")


def make_body(count: int, size: int) -> tuple[bytes, bytes]:
    """A fast-door body of `count` unique transactions of `size` bytes, and the last of them."""
    prefix, unique = struct.pack(">I", size), _UNIQUE.size
    if size < unique:  # too short to number: drawn
        items = [os.urandom(size) for _ in range(count)]
    else:
        tail = _TAIL[: size - unique]
        items = [_UNIQUE.pack(_RUN, number) + tail for number in itertools.islice(_numbers, count)]
    return b"".join([prefix + item for item in items]), items[-1]


class Sender:
    """Requests to one validator."""

    def __init__(self, network: Network, place: int, samples: Samples, start_s: float, track_every: int) -> None:
        self._url = network.urls[place % len(network.urls)]
        self._namespace = network.namespaces[place % len(network.namespaces)]
        self._samples = samples
        self._start_s = start_s
        self._track_every = track_every
        self._count = 0

    async def send(
        self,
        client: httpx.AsyncClient,
        count: int,
        size: int,
        nursery: trio.Nursery | None,
        due_at: float | None = None,
    ) -> None:
        """One request; every `track_every`-th is followed up to final, in `nursery` or right here.

        Its times count from `due_at` if that is given: what a late generator or a full server makes wait has waited.
        """
        body, last = make_body(count, size)
        began = trio.current_time() if due_at is None else due_at
        answer = await client.post(
            f"{self._url}/v1/namespaces/{self._namespace}/transactions", content=body, headers=_HEADERS
        )
        took_ms = (trio.current_time() - began) * 1_000
        if answer.status_code != 200:  # full: the client is told to wait
            self._samples.refused += count
            await trio.sleep(int(answer.headers.get("retry-after", "1")) / 10)
            return
        self._samples.sent += count
        self._samples.note("received", began - self._start_s, took_ms)
        self._count += 1
        if self._count % self._track_every:
            return
        tx_hash = "0x" + transaction_id(NamespaceId(self._namespace), KIND_OPEN, last).hex()
        if nursery is None:
            await self._follow(client, tx_hash, began)
        else:
            nursery.start_soon(self._follow, client, tx_hash, began)

    async def _follow(self, client: httpx.AsyncClient, tx_hash: str, began: float) -> None:
        for rung in ("ordered", "final"):
            params = {"hash": tx_hash, "status": rung, "timeout_ms": WAIT_MS}
            call = {"jsonrpc": "2.0", "id": 1, "method": "seq_waitForTransaction", "params": params}
            answer = (await client.post(self._url, json=call)).json()
            if "error" in answer or answer["result"]["status"] in ("unknown", "received"):
                return
            self._samples.note(rung, began - self._start_s, (trio.current_time() - began) * 1_000)


async def unloaded(network: Network, count: int, size: int) -> Samples:
    """One transaction at a time, each followed to final."""
    samples = Samples()
    async with httpx.AsyncClient(timeout=60) as client:
        senders = [Sender(network, place, samples, trio.current_time(), 1) for place in range(len(network.urls))]
        for number in range(count):
            await senders[number % len(senders)].send(client, 1, size, None)
            await trio.sleep(0.05)
    return samples


async def loaded(network: Network, duration_s: float, clients: int, items: int, size: int) -> Samples:
    """Closed loop: `clients` per validator, each sending its next request when the last is answered."""
    samples = Samples()
    start_s = trio.current_time()

    async def run(place: int, nursery: trio.Nursery) -> None:
        sender = Sender(network, place, samples, start_s, 8)
        async with httpx.AsyncClient(timeout=60) as client, trio.open_nursery() as followers:
            while trio.current_time() < start_s + duration_s:
                await sender.send(client, items, size, followers)

    async with trio.open_nursery() as nursery:
        for place in range(clients * len(network.urls)):
            nursery.start_soon(run, place, nursery)
    return samples


async def offered(network: Network, duration_s: float, rate: float, items: int, size: int) -> Samples:
    """Open loop: `rate` transactions per second in requests of `items`, sent when due whatever became of the others."""
    samples = Samples()
    start_s = trio.current_time()
    limits = httpx.Limits(max_connections=UNANSWERED_MAX, max_keepalive_connections=UNANSWERED_MAX)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client, trio.open_nursery() as nursery:
        senders = [Sender(network, place, samples, start_s, 4) for place in range(len(network.urls))]
        for number in range(int(duration_s * rate / items)):
            due_at = start_s + number * items / rate
            await trio.sleep_until(due_at)
            if len(nursery.child_tasks) > UNANSWERED_MAX:
                samples.unsent += items
                continue
            nursery.start_soon(senders[number % len(senders)].send, client, items, size, nursery, due_at)
    return samples


async def final_count(network: Network) -> int:
    """Transactions in blocks, as the first validator counts them."""
    metrics = network.validators[0]["metrics"]
    url = metrics if metrics.endswith("/metrics") else f"{metrics}/metrics"
    async with httpx.AsyncClient(timeout=30) as client:
        text = (await client.get(url)).text
    for line in text.splitlines():
        if line.startswith("sequencer_execution_transactions_total"):
            return int(float(line.split()[-1]))
    return 0
