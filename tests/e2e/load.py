"""Clients that send unique transactions without pause, and the record of what the validators promised them.

Responsible for: knowing every payload that was ever sent, every receipt that came back, and what was refused.
Refuses to do: send a payload twice: a transaction that is twice in the chain is then the network's doing.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import trio

from consensus.genesis import Genesis
from consensus.numbers import Hash, NamespaceId
from consensus.vocabulary.batch import KIND_OPEN, transaction_id
from consensus.vocabulary.receipt import Receipt
from sequencer.client.client import SequencerClient
from sequencer.client.errors import ClientError
from sequencer.client.submission import SubmitOutcome
from tests.e2e.network import Node

RETRY_S = 0.2


@dataclass(frozen=True, slots=True)
class Promise:
    """One transaction that a validator has signed a receipt for: it is item `place` of it."""

    receipt: Receipt
    place: int

    @property
    def hash(self) -> Hash:
        """The transaction's."""
        return self.receipt.items[self.place].hash


@dataclass
class Ledger:
    """Everything that was sent and what became of it, as the clients were told."""

    chain: Genesis
    sent: dict[Hash, NamespaceId] = field(default_factory=dict)
    promises: dict[Hash, Promise] = field(default_factory=dict)
    refused: dict[Hash, str] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)

    def note_sent(self, namespace: NamespaceId, items: Sequence[bytes]) -> None:
        """These are about to be sent."""
        for item in items:
            tx_hash = transaction_id(namespace, KIND_OPEN, item)
            assert tx_hash not in self.sent, "the payloads of a test are unique"
            self.sent[tx_hash] = namespace

    def note_outcome(self, outcome: SubmitOutcome) -> None:
        """What came back; the client has verified the receipts."""
        for receipt in outcome.receipts:
            for place, item in enumerate(receipt.items):
                self.promises[item.hash] = Promise(receipt, place)
        for entry in outcome.refused:
            self.refused[outcome.hashes[entry.item]] = entry.reason

    def promised_by(self, lane: int) -> int:
        """How many receipts' items one validator has signed."""
        return sum(promise.receipt.lane == lane for promise in self.promises.values())


def payloads(sender: str, size: int) -> Iterator[bytes]:
    """Unique payloads of about `size` bytes, none a prefix of a neighbour's."""
    for number in itertools.count():
        head = f"{sender}/{number}/".encode()
        yield head + bytes((number + place) % 251 for place in range(max(0, size - len(head))))


class Load:
    """Senders that run until `stop`."""

    def __init__(self, ledger: Ledger, nursery: trio.Nursery) -> None:
        self.ledger = ledger
        self._nursery = nursery
        self._scope = trio.CancelScope()
        self._stopped = False
        self._running = 0
        self._idle = trio.Event()
        self._numbers = itertools.count()

    def add(
        self,
        node: Node,
        namespace: int,
        *,
        items: int | Callable[[], int] = 20,
        pause_s: float = 0.1,
        json_every: int = 8,
    ) -> None:
        """One more client of `node`: every `json_every`th request goes through JSON-RPC, the others the fast door.

        `items` of a request: a number, or drawn for each.
        """
        self._running += 1
        self._idle = trio.Event()
        draw = items if callable(items) else lambda: items
        self._nursery.start_soon(self._send, node, NamespaceId(namespace), draw, pause_s, json_every)

    async def stop(self) -> None:
        """No new requests; returns when those under way are answered or have failed."""
        self._stopped = True
        if self._running:
            await self._idle.wait()

    async def until_promised(self, count: int, *, by: int | None = None) -> None:
        """Waits until `count` more transactions have a receipt (of one validator)."""

        def promised() -> int:
            return len(self.ledger.promises) if by is None else self.ledger.promised_by(by)

        wanted = promised() + count
        while promised() < wanted:  # noqa: ASYNC110 - the test's own timeout ends it
            await trio.sleep(0.05)

    async def _send(
        self, node: Node, namespace: NamespaceId, draw: Callable[[], int], pause_s: float, json_every: int
    ) -> None:
        source = payloads(f"client-{next(self._numbers)}", 120)
        async with node.client() as client:
            for number in itertools.count(1):
                if self._stopped:
                    break
                request = list(itertools.islice(source, draw()))
                self.ledger.note_sent(namespace, request)
                try:
                    self.ledger.note_outcome(await _submit(client, namespace, request, number % json_every == 0))
                except ClientError as error:
                    self.ledger.failures[type(error).__name__] += 1
                    await trio.sleep(RETRY_S)
                else:
                    await trio.sleep(pause_s)
        self._running -= 1
        if not self._running:
            self._idle.set()


async def _submit(
    client: SequencerClient, namespace: NamespaceId, items: list[bytes], through_json: bool
) -> SubmitOutcome:
    return await (client.send_transactions if through_json else client.send_many)(namespace, items)
