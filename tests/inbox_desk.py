"""An Inbox on a test's anvil, and the hands that deploy it, sign for it and call it.

`Desk` asks over plain HTTP and needs no event loop, so that a property test can call it; the binding under test runs
through `with_inbox`.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import trio

from consensus.numbers import GENESIS_EPOCH, ZERO_HASH, BlockId, Epoch, Hash, Height, ValidatorIndex
from consensus.signing import sha256
from consensus.vocabulary.l1_batch import BatchCertificate, DataKind, L1Batch, make_batch_certificate
from sequencer.l1.errors import ExecutionReverted
from sequencer.l1.inbox import Inbox, InboxHead, deploy_data
from sequencer.l1.json_rpc import L1Client
from sequencer.l1.shapes import L1Receipt, read_receipt, to_hex
from sequencer.l1.transactions import SignedTransaction, sign_commit, sign_deployment
from sequencer.l1dev.running import L1_CHAIN_ID
from tests.anvil import RICH_ADDRESS, RICH_SECRET, TestAnvil
from tests.committee import Committee

T = TypeVar("T")

GAS_MAX = 16_000_000  # an L1 takes 2^24 for one transaction
FEE_WEI = 10**11
ASKS_MAX = 10_000


def on_l1(stakes: Iterable[int], l1_chain_id: int = L1_CHAIN_ID) -> Committee:
    """A committee whose genesis names this L1, or the development L1."""
    committee = Committee(tuple(stakes))
    committee.chain = replace(committee.chain, l1_chain_id=l1_chain_id)
    return committee


def digest_of(label: str) -> bytes:
    return hashlib.sha256(label.encode()).digest()


@dataclass(frozen=True)
class Sent:
    """A mined transaction, and what it was."""

    receipt: L1Receipt
    transaction: SignedTransaction


class Desk:
    """One Inbox. `head` is what this desk believes; `certify` makes the batch that follows it."""

    def __init__(self, anvil: TestAnvil, committee: Committee) -> None:
        self.anvil = anvil
        self.committee = committee
        self.chain = committee.chain
        self.l1_chain_id = anvil.options.chain_id
        self.deployed = self.send(None, deploy_data(self.chain))
        assert self.deployed.receipt.status == 1
        assert self.deployed.receipt.created is not None
        self.address = self.deployed.receipt.created
        self.head = InboxHead(1, 1, self.chain.chain_id, self.deployed.receipt.block_number)

    def batch(self, data: bytes = b"", data_kind: DataKind = DataKind.HELD, heights: int = 3) -> L1Batch:
        """The batch that follows, of so many heights."""
        first, label = self.head.next_height, f"{self.head.next_index}"
        return L1Batch(
            l1_chain_id=self.l1_chain_id,
            inbox=self.address,
            index=self.head.next_index,
            first=Height(first),
            last=Height(first + heights - 1),
            previous=Hash(self.head.head_hash),
            data_kind=data_kind,
            data_hash=sha256(data),
            block_id=BlockId(digest_of(f"block {label}")),
            namespaces_root=Hash(digest_of(f"root {label}")),
            state_root=ZERO_HASH,
            aux_root=ZERO_HASH,
            forced_cursor=0,
        )

    def certify(
        self, batch: L1Batch, signers: Iterable[int] | None = None, *, epoch: Epoch = GENESIS_EPOCH
    ) -> BatchCertificate:
        """Signed by these, or by all."""
        listed = range(self.committee.count) if signers is None else signers
        digest = batch.signing_digest(self.chain.domain, epoch)
        shares = {ValidatorIndex(signer): self.committee.bls_keys[signer].sign(digest) for signer in listed}
        return make_batch_certificate(batch, shares, self.committee.count)

    def send(self, to: bytes | None, data: bytes, gas: int = GAS_MAX) -> Sent:
        """A transaction of anvil's first account, mined; it may be reverted."""
        nonce = int(self.anvil.ask("eth_getTransactionCount", to_hex(RICH_ADDRESS), "latest"), 16)
        terms: dict[str, Any] = {"chain_id": self.l1_chain_id, "nonce": nonce, "data": data, "gas": gas}
        terms |= {"max_fee_wei": FEE_WEI, "priority_fee_wei": 1}
        signed = sign_deployment(RICH_SECRET, **terms) if to is None else sign_commit(RICH_SECRET, to=to, **terms)
        self.anvil.ask("eth_sendRawTransaction", to_hex(signed.raw))
        return Sent(self._receipt(signed.hash), signed)

    def _receipt(self, transaction: bytes) -> L1Receipt:
        """Anvil mines at once, and yet a little after it has answered."""
        for _ in range(ASKS_MAX):
            found = self.anvil.ask("eth_getTransactionReceipt", to_hex(transaction))
            if found is not None:
                return read_receipt(found)
        raise AssertionError("anvil has mined nothing")

    def commit(self, certificate: BatchCertificate, data: bytes = b"") -> Sent:
        """Sends it; if it is taken, the head moves on."""
        sent = self.send(self.address, Inbox.encode_commit(certificate, data))
        if sent.receipt.status == 1:
            batch = certificate.batch
            self.head = InboxHead(
                batch.index + 1, batch.last + 1, batch.hash(self.chain.domain), sent.receipt.block_number
            )
        return sent

    def refusal(self, data: bytes, to: bytes | None = None) -> str | None:
        """Why the contract refuses a call with this calldata now; none if it takes it."""

        async def ask(inbox: Inbox) -> str | None:
            try:
                await inbox.client.call(to or self.address, data, sender=RICH_ADDRESS)
            except ExecutionReverted as reverted:
                return reverted.reason
            return None

        return self.with_inbox(ask)

    def with_inbox(self, act: Callable[[Inbox], Awaitable[T]]) -> T:
        """Runs the binding under test against this Inbox."""

        async def run() -> T:
            async with L1Client(self.anvil.url, timeout_s=60) as client:
                return await act(Inbox(client, self.address))

        return trio.run(run)
