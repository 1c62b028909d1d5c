"""Receipts that were given under load, and whether the network kept every one of them.

Responsible for: putting answers aside while the load runs, at the cost of a write; checking them afterwards.
Refuses to do: check signatures: that is the client's work, and tests of its own do it.

Invariants:
1. The first and the last transaction of a receipt stand for it: a batch is in the chain whole or not at all.
2. What is kept is kept at the place that was promised: lane and seq of the status are those of the receipt.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import trio

from consensus.vocabulary.receipt import Receipt
from sequencer.client.status import Status, status_from_json
from sequencer.client.submission import decode_outcome
from sequencer.load.errors import Unanswered
from sequencer.load.http import Answer, NodeConnections

AUDITED_MAX = 20_000  # receipts; of more, every second, third …
PATIENCE_S = 180.0
_BATCH = 50
_POLL_S = 0.5
_HEAD = struct.Struct(">HI")


@dataclass
class Audit:
    """`broken`: what was promised and is not so, in words."""

    receipts: int = 0
    transactions: int = 0
    checked: int = 0
    broken: list[str] = field(default_factory=list)


class ReceiptFile:
    """Answers with receipts, one after the other, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("wb")
        self._urls: list[str] = []

    def keep(self, url: str, _namespace: int, _first: bytes, answer: Answer) -> None:
        """See `OnAnswer`."""
        if url not in self._urls:
            self._urls.append(url)
        self._file.write(_HEAD.pack(self._urls.index(url), len(answer.body)) + answer.body)

    def receipts(self) -> Iterator[tuple[str, Receipt]]:
        """All of them, with the node that gave them."""
        self._file.flush()
        with self._path.open("rb") as file:
            while head := file.read(_HEAD.size):
                place, length = _HEAD.unpack(head)
                for receipt in decode_outcome(file.read(length), ()).receipts:
                    yield self._urls[place], receipt

    async def audit(self) -> Audit:
        """Waits until everything that was promised is final, and says what is not, or is elsewhere."""
        found = Audit()
        wanted: dict[str, list[tuple[str, Receipt]]] = {}
        for url, receipt in self.receipts():
            found.receipts += 1
            found.transactions += len(receipt.items)
            for item in {receipt.items[0], receipt.items[-1]}:
                wanted.setdefault(url, []).append((f"0x{item.hash.hex()}", receipt))
        step = max(1, -(-found.receipts // AUDITED_MAX))
        async with trio.open_nursery() as nursery:
            for url, entries in wanted.items():
                nursery.start_soon(_audit_node, url, entries[::step], found)
        return found


async def _audit_node(url: str, entries: list[tuple[str, Receipt]], found: Audit) -> None:
    deadline = trio.current_time() + PATIENCE_S
    async with NodeConnections(url) as node:
        for start in range(0, len(entries), _BATCH):
            left = entries[start : start + _BATCH]
            while left:
                left, problems = await _ask(node, left)
                if left and trio.current_time() > deadline:
                    found.broken += [f"{tx_hash} never became final" for tx_hash, _ in left]
                    break
                found.broken += problems
                if left:
                    await trio.sleep(_POLL_S)
            found.checked += len(entries[start : start + _BATCH])


async def _ask(
    node: NodeConnections, entries: list[tuple[str, Receipt]]
) -> tuple[list[tuple[str, Receipt]], list[str]]:
    """Those that are not final yet, and what is wrong with those that are."""
    calls = [
        {"jsonrpc": "2.0", "id": place, "method": "seq_getTransactionStatus", "params": {"hash": tx_hash}}
        for place, (tx_hash, _) in enumerate(entries)
    ]
    try:
        answer = await node.ask("POST", "/", (("content-type", "application/json"),), json.dumps(calls).encode())
    except Unanswered:
        return entries, []
    left, problems = [], []
    for said in json.loads(answer.body):
        tx_hash, receipt = entry = entries[said["id"]]
        if "result" not in said:
            left.append(entry)
            continue
        status = status_from_json(said["result"])
        if not status.has_reached(Status.FINAL) and not status.has_ended:
            left.append(entry)
        elif status.has_ended:
            problems.append(f"{tx_hash} is {status.status.value} ({status.reason})")
        elif status.receipt is None or (status.receipt.lane, status.receipt.seq) != (receipt.lane, receipt.seq):
            problems.append(f"{tx_hash} is not where its receipt says")
    return left, problems
