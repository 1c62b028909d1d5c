"""The client library: sends transactions, asks nodes, and follows a namespace with proof.

Responsible for: one typed method per RPC method, the fast door, waiting, and keeping the genesis.
Refuses to do: import anything of the node, or trust it more than it must: with a genesis (or the chain id, from which a
fetched genesis is checked) receipts, proofs and followed blocks are verified.

Invariants:
1. Every error is a `ClientError`.
2. A submission's outcome accounts for every item, or it is a `MalformedAnswer`.
3. Without a genesis or chain id nothing is claimed to be proved.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from itertools import pairwise
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import msgspec
import trio

from consensus.evidence.check import Offence
from consensus.genesis import Genesis
from consensus.numbers import GENESIS_EPOCH, Epoch, Hash, Height, NamespaceId, NamespaceIndex
from consensus.validators import Validator
from consensus.vocabulary.attestation import AttestationCertificate
from consensus.vocabulary.batch import KIND_OPEN, frame_items, transaction_id
from consensus.vocabulary.receipt import Receipt
from sequencer.client.answers import read_fast_door, read_json_rpc, read_readiness
from sequencer.client.chain_view import CheckpointView, chain_from_json, checkpoint_from_json, validators_from_json
from sequencer.client.copies import Copies, send_copies
from sequencer.client.errors import (
    MalformedAnswer,
    NoSubscriptions,
    RequestRefused,
    StatusNotReached,
    UnprovedAnswer,
)
from sequencer.client.evidence_views import EvidenceView, evidence_from_json
from sequencer.client.fields import Fields, list_of, namespace_to_json, optional, to_hex
from sequencer.client.following import FollowedBlock, NamespaceFollower
from sequencer.client.l1_views import BatchName, L1BatchView, l1_batch_from_json
from sequencer.client.namespace_views import NamespaceView, namespace_view_from_json
from sequencer.client.parts import NamespaceBlockPart, part_from_json
from sequencer.client.pushed_blocks import PushedBlocks
from sequencer.client.receipts import ReceiptChecks, question
from sequencer.client.status import Status, TransactionStatus, status_from_json
from sequencer.client.submission import SubmitOutcome, outcome_from_json
from sequencer.client.subscribing import SubscribedItems
from sequencer.client.subscription_items import HEAD_STATUSES, Kind
from sequencer.client.transport import Transport, open_transport
from sequencer.client.verify import verify_covering, verify_proof_of
from sequencer.client.views import (
    BlockName,
    BlockView,
    PeerView,
    SyncStatus,
    block_from_json,
    peer_from_json,
    sync_status_from_json,
)
from sequencer.client.wire import NamespaceProof, attestation_from_json, proof_from_json, receipt_from_json

T = TypeVar("T")

_BINARY = "application/octet-stream"
_FIRST_INDEX = NamespaceIndex(0)
_WAIT_ROUND_S = 30.0  # a longer wait is asked for in rounds, since nodes bound it


class SequencerClient:
    """`async with SequencerClient("http://127.0.0.1:8645") as client: …`, on trio."""

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        timeout_s: float = 10.0,
        genesis: Genesis | None = None,
        chain_id: bytes | None = None,
    ) -> None:
        """`urls`: nodes of one chain, asked in this order. `timeout_s`: for each node's answer, waiting not included.

        `genesis`, or the 32-byte `chain_id`, says which chain is meant and makes the client verify.
        """
        addresses = [urls] if isinstance(urls, str) else list(urls)
        if not addresses:
            raise ValueError("a client needs the address of a node")
        self._opening: AbstractAsyncContextManager[Transport] = open_transport(addresses, timeout_s)
        self._transport: Transport | None = None
        self._timeout_s = timeout_s
        self._genesis = genesis
        self._chain_id = genesis.chain_id if genesis is not None else chain_id
        self._receipts = ReceiptChecks(self.chain if self.verifies else None)
        self._request_number = 0

    async def __aenter__(self) -> Self:
        """Opens the client."""
        self._transport = await self._opening.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes its connections."""
        self._transport = None
        await self._opening.__aexit__(kind, error, traceback)

    @property
    def transport(self) -> Transport:
        """The open transport."""
        if self._transport is None:
            raise RuntimeError("use the client inside `async with`")
        return self._transport

    @property
    def verifies(self) -> bool:
        """Whether it was told which chain is meant."""
        return self._chain_id is not None

    # sending

    async def send(self, namespace: NamespaceId, data: bytes) -> Receipt:
        """Sends one transaction; returns its receipt once its batch is sealed and synced. Raises `RequestRefused`."""
        params = {"namespace": namespace_to_json(namespace), "data": to_hex(data)}
        try:
            result = await self.call("seq_sendTransaction", params, repeatable=False)
        except RequestRefused as refused:
            await self._receipts.refusal(refused, transaction_id(namespace, KIND_OPEN, data))
            raise
        receipt = receipt_from_json(Fields(result, "sent")["receipt"])
        await self._receipts.outcome(namespace, [data], SubmitOutcome((), (receipt,), ()))
        return receipt

    async def send_transactions(self, namespace: NamespaceId, items: Sequence[bytes]) -> SubmitOutcome:
        """Sends transactions in order through JSON-RPC. `send_many` does the same faster."""
        params = {"namespace": namespace_to_json(namespace), "data": [to_hex(item) for item in items]}
        outcome = outcome_from_json(await self.call("seq_sendTransactions", params, repeatable=False))
        return await self._receipts.outcome(namespace, items, outcome)

    async def send_many(self, namespace: NamespaceId, items: Sequence[bytes]) -> SubmitOutcome:
        """Sends at most 4,096 transactions, 4 MiB together, in order through the fast door.

        Each is in a receipt or in `refused`. Raises `RequestRefused` if the request was refused whole.
        """
        hashes = [transaction_id(namespace, KIND_OPEN, item) for item in items]
        outcome = await self.transport.ask(
            f"/v1/namespaces/{namespace_to_json(namespace)}/transactions",
            lambda answer: read_fast_door(answer, hashes),
            body=frame_items(list(items)),
            headers={"content-type": _BINARY, "accept": _BINARY},
            repeatable=False,
        )
        return await self._receipts.outcome(namespace, items, outcome)

    async def send_copies(self, namespace: NamespaceId, data: bytes, copies: int) -> Copies:
        """Sends one transaction through the first `copies` of the client's nodes at once (`copies.py`).

        Raises `ClientError` if no node has taken it, and `ValueError` if the client has fewer nodes.
        """
        urls = self.transport.urls[:copies]
        if not 1 <= copies == len(urls):
            raise ValueError(f"{copies} copies need as many nodes, and this client has {self.transport.node_count}")
        async with AsyncExitStack() as stack:
            nodes = [
                await stack.enter_async_context(
                    SequencerClient(url, timeout_s=self._timeout_s, genesis=self._genesis, chain_id=self._chain_id)
                )
                for url in urls
            ]
            return await send_copies(nodes, namespace, data)

    # transactions

    async def status(self, hash: Hash, receipt: Receipt | None = None) -> TransactionStatus:
        """Where a transaction stands, as the node says. With its receipt also another node than its author knows."""
        found = await self._call("seq_getTransactionStatus", status_from_json, **question(hash, receipt))
        return await self._receipts.status(found, [hash])

    async def wait(
        self, hash: Hash, status: Status = Status.FINAL, timeout_s: float = 30.0, receipt: Receipt | None = None
    ) -> TransactionStatus:
        """Returns when the transaction has reached `status`. Raises `StatusNotReached` if it ends or time is over.

        With its receipt any node can be asked, also while the author is away.
        """
        deadline = trio.current_time() + timeout_s
        while True:
            left_s = max(0.0, deadline - trio.current_time())
            round_s = min(left_s, _WAIT_ROUND_S)
            params = {**question(hash, receipt), "status": status.value, "timeout_ms": int(round_s * 1000)}
            answer = await self.call("seq_waitForTransaction", params, extra_s=round_s)
            found = await self._receipts.status(status_from_json(answer), [hash])
            if found.has_reached(status):
                return found
            if found.has_ended or left_s <= round_s:
                raise StatusNotReached(found.status.value, status.value, found.reason)

    # blocks

    async def block(self, which: Height | BlockName) -> BlockView | None:
        """The block of a height, or the newest of a status; None if there is none yet."""
        return await self._call("seq_getBlock", optional(block_from_json), height=which)

    async def namespaces(self) -> list[NamespaceView]:
        """All registered namespaces."""
        found: list[NamespaceView] = []
        while True:
            from_id = NamespaceId(found[-1].id + 1 if found else 0)
            page = await self._call(
                "seq_listNamespaces", list_of(namespace_view_from_json), from_id=namespace_to_json(from_id)
            )
            known = [*found[-1:], *page]
            if any(a.id >= b.id for a, b in pairwise(known)):
                raise MalformedAnswer("namespaces are listed by rising id")
            found.extend(page)
            if not page:
                return found

    async def namespace_blocks(
        self, namespace: NamespaceId, from_index: NamespaceIndex, count: int = 100, first_run: int = 0
    ) -> list[NamespaceBlockPart]:
        """A page of blocks, unverified; `follow_namespace` reads pages, joins parts and verifies."""
        return await self._call(
            "seq_getNamespaceBlocks",
            list_of(part_from_json),
            namespace=namespace_to_json(namespace),
            from_index=from_index,
            count=count,
            first_run=first_run,
        )

    async def namespace_proof(
        self, namespace: NamespaceId, which: Height | Literal["attested"] = "attested"
    ) -> NamespaceProof | None:
        """The proof of the namespace's newest block up to the attested height that covers `which`, verified."""
        proof = await self.fetch_proof(namespace, which)
        if proof is not None and self.verifies:
            verify_proof_of(await self.chain(), proof, namespace, which)
        return proof

    async def fetch_proof(
        self, namespace: NamespaceId, which: Height | Literal["attested"] = "attested"
    ) -> NamespaceProof | None:
        """The same, unverified."""
        chain = await self.chain()
        params = {"namespace": namespace_to_json(namespace), "height": which}
        found = await self.call("seq_getNamespaceProof", params)
        return None if found is None else proof_from_json(found, chain)

    async def attestation(self, which: Height | Literal["attested"] = "attested") -> AttestationCertificate | None:
        """The certificate of the attested height that covers `which`, verified."""
        chain = await self.chain()
        found = await self.call("seq_getAttestation", {"height": which})
        if found is None:
            return None
        certificate = attestation_from_json(found, chain)
        if self.verifies:
            verify_covering(chain, certificate, which)
        return certificate

    async def follow_namespace(
        self, namespace: NamespaceId, from_index: NamespaceIndex = _FIRST_INDEX, prev_hash: Hash | None = None
    ) -> AsyncGenerator[FollowedBlock, None]:
        """Every block of the namespace from `from_index` on, in order and without a gap, for ever.

        Verified if the client knows its chain: then a block comes once it is attested, else once it is final. To
        resume, pass the index after the last block, and its hash. A node that proves nothing is left for the next one;
        raises `UnprovedAnswer` or `MalformedAnswer` when all have failed in a row, `NodeUnreachable` when none answers.
        By subscription, which is opened again where it was lost; of nodes that serve none the blocks are asked for.
        Leave the loop through `contextlib.aclosing`.
        """
        chain = await self.chain() if self.verifies else None
        pushed = PushedBlocks(self.transport, chain, namespace, from_index, prev_hash)
        follower: PushedBlocks | NamespaceFollower = pushed
        failures = 0
        try:
            while True:
                try:
                    blocks = await follower.next_blocks()
                except NoSubscriptions:
                    follower = NamespaceFollower(self, chain, namespace, pushed.next_index, pushed.prev_hash)
                    continue
                except (UnprovedAnswer, MalformedAnswer):
                    failures += 1
                    if failures >= self.transport.node_count:
                        raise
                    self.transport.distrust_first()
                    continue
                failures = 0
                for block in blocks:
                    yield block
        finally:
            await pushed.aclose()

    async def follow_heads(self, statuses: Sequence[Status] = HEAD_STATUSES) -> AsyncGenerator[BlockView, None]:
        """New blocks as the node says: each once it is `ordered`, the moment a fresh QC exists, and once it is `final`.

        What came while the connection was lost is left out. Raises `NoSubscriptions`. Leave it through `aclosing`.
        """
        wanted = {"statuses": [status.value for status in statuses]}
        async with SubscribedItems(self.transport, Kind.HEADS, lambda: wanted) as items:
            while True:
                yield block_from_json(await items.next())

    async def follow_transactions(
        self, hashes: Sequence[Hash], until: Status = Status.FINAL
    ) -> AsyncGenerator[TransactionStatus, None]:
        """Each transaction's status as the node says, now and at each change, until all have reached `until` or ended.

        Rungs that are passed quickly may be left out. Raises `NoSubscriptions`. Leave it through `aclosing`.
        """
        asked, left = dict.fromkeys(hashes), set(hashes)
        told: dict[Hash, TransactionStatus] = {}
        wanted = {"hashes": [to_hex(hash) for hash in asked]}
        async with SubscribedItems(self.transport, Kind.TRANSACTIONS, lambda: wanted) as items:
            while left:
                status = status_from_json(await items.next())
                await self._receipts.status(status, asked)
                if told.get(status.hash) == status:
                    continue
                told[status.hash] = status
                if status.has_reached(until) or status.has_ended:
                    left.discard(status.hash)
                yield status

    # the chain and the node

    async def chain(self) -> Genesis:
        """The genesis: the one given, or fetched once and checked against the chain id if that was given."""
        if self._genesis is None:
            self._genesis = chain_from_json(await self.call("seq_getChain"), self._chain_id)
        return self._genesis

    async def l1_batch(self, which: int | BatchName) -> L1BatchView | None:
        """An L1 batch by number, or the newest of a status, as the node says; None if it is not on the L1."""
        return await self._call("seq_getBatch", optional(l1_batch_from_json), index=which)

    async def l1_batches(self, from_index: int = 1, count: int = 100) -> list[L1BatchView]:
        """A page of L1 batches, as the node says."""
        return await self._call("seq_listBatches", list_of(l1_batch_from_json), from_index=from_index, count=count)

    async def evidence(self, after: bytes = b"", count: int = 100) -> list[EvidenceView]:
        """A page of proofs of validators' faults; judge each with `consensus.evidence.check.check_proof`."""
        answer = list_of(evidence_from_json)
        return await self._call("seq_getEvidence", answer, after=to_hex(after), count=count)

    async def checkpoint(self) -> CheckpointView | None:
        """The node's newest checkpoint; judge it with `Checkpoint.check`. None before the first."""
        return await self._call("seq_getCheckpoint", optional(checkpoint_from_json))

    async def evidence_of(self, offence: Offence) -> EvidenceView | None:
        """The proof of one offence, or None if the node keeps none; judge it with `check_proof`."""
        answer = list_of(evidence_from_json)
        found = await self._call("seq_getEvidence", answer, id=to_hex(offence.encode()))
        if [evidence.offence for evidence in found] not in ([], [offence]):
            raise MalformedAnswer("the answer is about another offence")
        return found[0] if found else None

    async def validators(self, epoch: Epoch = GENESIS_EPOCH) -> tuple[Validator, ...] | None:
        """The validators of an epoch by index; None if there is no such epoch yet."""
        return await self._call("seq_getValidators", optional(validators_from_json), epoch=epoch)

    async def peers(self) -> list[PeerView]:
        """The node's links."""
        return await self._call("seq_listPeers", list_of(peer_from_json))

    async def sync_status(self) -> SyncStatus:
        """How far the node is."""
        return await self._call("seq_syncStatus", sync_status_from_json)

    async def readiness(self) -> list[str]:
        """Why the node is not ready; empty if it is."""
        return await self.transport.ask("/readyz", read_readiness)

    async def call(
        self, method: str, params: dict[str, Any] | None = None, *, repeatable: bool = True, extra_s: float = 0.0
    ) -> Any:
        """The result of one JSON-RPC call as plain JSON values. Raises `RequestRefused`."""
        self._request_number += 1
        number = self._request_number
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}
        return await self.transport.ask(
            "/",
            lambda answer: read_json_rpc(answer, number),
            body=msgspec.json.encode(request),
            headers={"content-type": "application/json"},
            repeatable=repeatable,
            extra_s=extra_s,
        )

    async def _call(self, method: str, read: Callable[[Any], T], **params: Any) -> T:
        return read(await self.call(method, params))
