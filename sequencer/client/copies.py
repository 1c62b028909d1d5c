"""One transaction through several validators at once, so that it depends on none of them alone.

Responsible for: sending the copies and gathering what came back.
Refuses to do: choose nodes. The network does not remove repeats: a rollup sees each copy, and its nonces or its list
of hashes let the first one count.

Invariants:
1. Every copy ends as a receipt or as a failure; two receipts are of two lanes.
2. As long as one validator has signed a receipt nothing is raised.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import trio

from consensus.numbers import NamespaceId
from consensus.vocabulary.receipt import Receipt
from sequencer.client.errors import ClientError, RequestRefused


@dataclass(frozen=True, slots=True)
class Copies:
    """The receipts by lane, and why other nodes gave none."""

    receipts: tuple[Receipt, ...]
    failures: tuple[ClientError, ...]


class Sender(Protocol):
    """A client of one node."""

    async def send(self, namespace: NamespaceId, data: bytes) -> Receipt:
        """Sends one transaction."""
        ...


async def send_copies(senders: Sequence[Sender], namespace: NamespaceId, data: bytes) -> Copies:
    """Sends one transaction through each of these at the same time; returns when all have answered or failed.

    A validator that knows it already answers with its first receipt. Raises the first `ClientError` if all failed.
    """
    receipts: dict[int, Receipt] = {}
    failures: list[ClientError] = []

    async def send(sender: Sender) -> None:
        try:
            receipt = await sender.send(namespace, data)
        except RequestRefused as refused:
            if refused.first_receipt is None:
                failures.append(refused)
                return
            receipt = refused.first_receipt
        except ClientError as error:
            failures.append(error)
            return
        receipts[receipt.lane] = receipt

    async with trio.open_nursery() as nursery:
        for sender in senders:
            nursery.start_soon(send, sender)
    if not receipts:
        raise failures[0]
    return Copies(tuple(receipts[lane] for lane in sorted(receipts)), tuple(failures))
