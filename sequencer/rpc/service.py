"""The seam between the server and the node: what the server asks for, and nothing else.

Responsible for: the `Service` protocol. Its values are objects of the protocol core and the types that node and client
share (`sequencer/client`: `wire`, `parts`, `status`, `submission`, `views`); ids are bytes.
Refuses to do: encode. JSON and binary forms are made by the server.

Invariants:
1. A method may raise `RequestRefused`. A storage fault or a broken invariant that it raises stops the node.
2. An awaiting method may be cancelled at any await, when its client is gone. What was admitted stays admitted.
3. Methods that are not async answer from memory, or with a bounded number of reads.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from consensus.genesis import Genesis
from consensus.numbers import Epoch, Hash, Height, NamespaceId, NamespaceIndex
from consensus.validators import ValidatorSet
from consensus.vocabulary.attestation import AttestationCertificate
from consensus.vocabulary.batch import Items
from sequencer.client.chain_view import CheckpointView
from sequencer.client.evidence_views import EvidenceView
from sequencer.client.l1_views import BatchName, L1BatchView
from sequencer.client.namespace_views import NamespaceView
from sequencer.client.parts import NamespaceBlockPart
from sequencer.client.status import LanePlace, Status, TransactionStatus
from sequencer.client.submission import SubmitOutcome
from sequencer.client.views import BlockName, BlockView, HealthCheck, PeerView, SyncStatus
from sequencer.client.wire import NamespaceProof
from sequencer.rpc.news import Listener

__all__ = ["NamespaceBlockPart", "Service"]


class Service(Protocol):
    """A running node, as its clients see it."""

    @property
    def chain(self) -> Genesis:
        """The chain of this node."""
        ...

    def is_namespace(self, namespace: NamespaceId) -> bool:
        """Whether the namespace is registered."""
        ...

    def newest_index(self, namespace: NamespaceId) -> NamespaceIndex | None:
        """The number of a namespace's newest executed block, or None before its first."""
        ...

    def listen(self, listener: Listener) -> None:
        """Tells it from now on what happens. At most one listens."""
        ...

    async def submit(self, namespace: NamespaceId, items: Items, client: str) -> SubmitOutcome:
        """Admits open transactions, and returns once those admitted are sealed and synced.

        Judges each item (empty, oversized, full, known, expired …). All admissions happen before the first await, so
        that two calls made one after the other keep their order. `client` is whose quota applies. Raises
        `RequestRefused` (not_accepting, lane_forked, not_validator, unknown_namespace, quota, client_quota, full) if
        nothing at all is taken.
        """
        ...

    def status(self, hash: Hash, place: LanePlace | None) -> TransactionStatus:
        """What is known of a transaction; `unknown` if nothing.

        `place`: what the asker's receipt says; the answer for it, which is the asker's own affair, if the hash is
        not known.
        """
        ...

    async def wait(self, hash: Hash, status: Status, timeout_ms: int, place: LanePlace | None) -> TransactionStatus:
        """Returns as soon as `status` is reached or the transaction has ended, else as it is after `timeout_ms`."""
        ...

    async def block(self, which: Height | BlockName) -> BlockView | None:
        """The block of a height, or the newest of a status. Raises `RequestRefused` (pruned)."""
        ...

    async def namespace_blocks(
        self, namespace: NamespaceId, from_index: NamespaceIndex, count: int, first_run: int, bytes_max: int
    ) -> Sequence[NamespaceBlockPart]:
        """At most `count` executed blocks from `from_index` on, the first of them from its run `first_run` on.

        Stops before a run that would take the page beyond `bytes_max` of segment bytes, and may stop earlier where more
        would take much reading, but delivers at least one run if there is one. Only the last block of a page may be
        incomplete. Empty if there is no such block yet, or `first_run` is not below the first block's number of runs.
        """
        ...

    async def namespace_proof(
        self, namespace: NamespaceId, which: Height | Literal["attested"]
    ) -> NamespaceProof | None:
        """The namespace's newest block up to the attested height that covers `which`; "attested" is the newest one.

        The attested height that covers a height is the smallest one at or above it. None if there is none yet, if the
        namespace has no block up to there, or if this node no longer has what the path is made of.
        """
        ...

    def attestation(self, which: Height | Literal["attested"]) -> AttestationCertificate | None:
        """The certificate that covers `which`, as for `namespace_proof`."""
        ...

    def l1_batch(self, which: int | BatchName) -> L1BatchView | None:
        """A batch on the L1, or the newest of a status; None if there is none, or no L1."""
        ...

    def l1_batches(self, from_index: int, count: int) -> Sequence[L1BatchView]:
        """At most `count` batches on the L1 from `from_index` on."""
        ...

    async def held_payload(self, index: int) -> bytes | None:
        """The payload of a batch that is on the L1 as held; None if it is not, or not executed here."""
        ...

    async def evidence(self, after: bytes, count: int) -> Sequence[EvidenceView]:
        """At most `count` proofs of faults behind the offence `after` (11 bytes, or empty for the first)."""
        ...

    async def checkpoint(self) -> CheckpointView | None:
        """The newest checkpoint (`sequencer/execution/checkpoint.py`); None before the first."""
        ...

    async def evidence_of(self, offence: bytes) -> EvidenceView | None:
        """The proof of an offence (11 bytes), or None."""
        ...

    def validators(self, epoch: Epoch) -> ValidatorSet | None:
        """The set of an epoch, or None if there is no such epoch yet."""
        ...

    async def namespaces(self, from_id: NamespaceId, count: int) -> Sequence[NamespaceView]:
        """At most `count` registered namespaces with ids from `from_id` on, rising."""
        ...

    def peers(self) -> Sequence[PeerView]:
        """The other validators, by index, connected or not."""
        ...

    def sync_status(self) -> SyncStatus:
        """How far the node is."""
        ...

    def readiness(self) -> Sequence[str]:
        """Why the node is not ready, one word each (syncing, behind, no_quorum …); empty if it is."""
        ...

    def health(self) -> Sequence[HealthCheck]:
        """Every check, passed or not."""
        ...
