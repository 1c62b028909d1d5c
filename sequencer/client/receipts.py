"""Receipts as a node hands them out: in outcomes, in refusals of what is known, in statuses.

Responsible for: each names the transaction that was asked about and, where the chain is known, its lane's author has
signed it. A status answers the question that was asked.
Refuses to do: ask whether a promise was kept (`verify.py: verify_position`).

Invariant: no receipt of a node reaches the client's user unchecked, whichever way it came.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from consensus.genesis import Genesis
from consensus.numbers import Hash, NamespaceId
from consensus.vocabulary.receipt import Receipt
from sequencer.client.errors import MalformedAnswer, RequestRefused
from sequencer.client.fields import to_hex
from sequencer.client.status import LanePlace, TransactionStatus
from sequencer.client.submission import SubmitOutcome, account_for
from sequencer.client.verify import verify_receipt


class ReceiptChecks:
    """Raise `MalformedAnswer` if an answer is about something else, `UnprovedAnswer` if a receipt is not signed."""

    def __init__(self, chain: Callable[[], Awaitable[Genesis]] | None) -> None:
        """`chain`: None if the client was not told which chain is meant; then signatures are not looked at."""
        self._chain = chain

    async def outcome(self, namespace: NamespaceId, items: Sequence[bytes], outcome: SubmitOutcome) -> SubmitOutcome:
        """The outcome with the items' hashes."""
        accounted = account_for(namespace, items, outcome)
        for receipt in accounted.receipts:
            await self._require_signed(receipt)
        for entry in accounted.refused:
            await self._require(entry.first_receipt, accounted.hashes[entry.item])
        return accounted

    async def refusal(self, refused: RequestRefused, hash: Hash) -> None:
        """Of the transaction that was sent."""
        await self._require(refused.first_receipt, hash)

    async def status(self, found: TransactionStatus, asked: Collection[Hash]) -> TransactionStatus:
        """The status, which is that of a transaction asked about."""
        if found.hash not in asked:
            raise MalformedAnswer("the status is that of another transaction")
        await self._require(found.receipt, found.hash)
        return found

    async def _require(self, receipt: Receipt | None, hash: Hash) -> None:
        if receipt is None:
            return
        if not _names(receipt, hash):
            raise MalformedAnswer("the receipt is that of another transaction")
        await self._require_signed(receipt)

    async def _require_signed(self, receipt: Receipt) -> None:
        if self._chain is not None:
            verify_receipt(await self._chain(), receipt)


def question(hash: Hash, receipt: Receipt | None) -> dict[str, Any]:
    """The parameters of a question after a transaction. Its receipt lets a node answer which does not know the hash.

    Without one the place is left out: older nodes understand that, too. Raises `ValueError` if it does not name
    the hash: the node would answer where another transaction stands.
    """
    params: dict[str, Any] = {"hash": to_hex(hash)}
    if receipt is not None:
        if not _names(receipt, hash):
            raise ValueError("the receipt is that of another transaction")
        params["place"] = LanePlace.of(receipt).to_json()
    return params


def _names(receipt: Receipt, hash: Hash) -> bool:
    return any(item.hash == hash for item in receipt.items)
