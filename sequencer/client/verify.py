"""Checking a node's answers against the genesis alone: nothing here trusts the node that was asked.

Responsible for: attestation certificate → Merkle path → chain of namespace blocks → section root → bytes; and receipts.
Refuses to do: fetch anything, or import more than the protocol core and the JSON shapes. `docs/build/verify.md` gives
the same steps for another implementation.

Invariants:
1. Blocks are accepted only up to the block that a quorum attests as the namespace's newest: they are *all* blocks of
   the namespace from the first one asked for up to the attested height, in order, without a gap.
2. A call that raises changes nothing.
3. Every byte and every field of a block and its proof is covered, except a run's `lane`, `seq` and `batch`, which no
   root commits to. They are not passed on.
4. Which runs are inert follows from the section root: a client never judges it by a count that it cannot check.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from consensus.encoding import decode_whole
from consensus.errors import InvalidObject
from consensus.genesis import Genesis
from consensus.merkle import merkle_root, root_of_path
from consensus.numbers import GENESIS_HEIGHT, ZERO_HASH, Digest, Hash, Height, NamespaceId, NamespaceIndex
from consensus.signing import sha256
from consensus.vocabulary.attestation import AttestationCertificate
from consensus.vocabulary.batch import KIND_OPEN, BatchHeader, SegmentEntry, parse_segment, transaction_id
from consensus.vocabulary.block import INERT_LEAF, RUN_LEAF, NamespaceBlock, Section, SectionKind, namespace_leaf
from consensus.vocabulary.receipt import Receipt, ReceiptItem
from sequencer.client.errors import UnprovedAnswer
from sequencer.client.wire import DeliveredBlock, DeliveredRun, NamespaceProof

_FIRST_INDEX = NamespaceIndex(0)


@dataclass(frozen=True, slots=True)
class VerifiedRun:
    """A segment of open transactions: its hash and its items; an inert run has none."""

    segment_hash: Hash
    items: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class VerifiedBlock:
    """A namespace block that is proved, with its bytes."""

    block: NamespaceBlock
    hash: Hash
    runs: tuple[VerifiedRun, ...]

    @property
    def transactions(self) -> tuple[bytes, ...]:
        """All transactions; the place in this tuple is the position in the block."""
        return tuple(item for run in self.runs for item in run.items)


class NamespaceVerifier:
    """Follows one namespace: takes blocks with proofs and keeps how far it has verified."""

    def __init__(
        self,
        chain: Genesis,
        namespace: NamespaceId,
        from_index: NamespaceIndex = _FIRST_INDEX,
        prev_hash: Hash | None = ZERO_HASH,
    ) -> None:
        """Starts at block `from_index`, whose predecessor has hash `prev_hash`: zeros for the first block.

        None means that it is not known. Completeness from `from_index` on does not depend on it.
        """
        self._chain = chain
        self._namespace = namespace
        self._prev_hash = prev_hash
        self._next_index = from_index
        self._height = GENESIS_HEIGHT

    @property
    def next_index(self) -> NamespaceIndex:
        """The first block that is not verified yet: what to ask for, and where to resume."""
        return self._next_index

    @property
    def prev_hash(self) -> Hash | None:
        """The hash of the last verified block: keep it with `next_index` to resume later."""
        return self._prev_hash

    @property
    def height(self) -> Height:
        """The highest attested height up to which every block of the namespace is verified; 0 before the first."""
        return self._height

    def verify(self, blocks: Sequence[DeliveredBlock], proof: NamespaceProof) -> tuple[VerifiedBlock, ...]:
        """Verifies the blocks from `next_index` to the proof's; no block is right if the proof names a known one.

        Raises `UnprovedAnswer`. Takes about 2.5 ms for the signature and a hash per 64 bytes of data.
        """
        verify_proof(self._chain, proof)
        if proof.namespace != self._namespace:
            raise UnprovedAnswer("wrong_namespace", f"the proof is for {proof.namespace}")
        prev_hash, index = self._prev_hash, self._next_index
        verified: list[VerifiedBlock] = []
        for delivered in blocks:
            block = delivered.block
            if block.namespace != self._namespace:
                raise UnprovedAnswer("wrong_namespace", f"the block is of {block.namespace}")
            if block.index != index:
                raise UnprovedAnswer("gap", f"block {index} is expected, not {block.index}")
            if prev_hash is not None and block.prev_hash != prev_hash:
                raise UnprovedAnswer("broken_chain", f"block {index} has another predecessor")
            verified.append(_verify_content(self._chain, delivered))
            prev_hash, index = delivered.hash, NamespaceIndex(index + 1)
        if proof.index != index - 1:
            raise UnprovedAnswer("gap", f"the blocks end at {index - 1}, the proof is for {proof.index}")
        if proof.hash != prev_hash:
            raise UnprovedAnswer("broken_chain", f"block {proof.index} is not the attested one")
        self._prev_hash, self._next_index = prev_hash, index
        self._height = max(self._height, proof.certificate.attestation.height)
        return tuple(verified)


def verify_attestation(chain: Genesis, certificate: AttestationCertificate) -> None:
    """Raises `UnprovedAnswer` unless more than 2/3 of the stake signed it."""
    try:
        certificate.check(chain)
    except InvalidObject as error:
        raise UnprovedAnswer(error.reason, str(error)) from error


def verify_proof(chain: Genesis, proof: NamespaceProof) -> None:
    """Raises `UnprovedAnswer` unless a quorum attests the leaf as the namespace's newest block at that height."""
    leaf = namespace_leaf(proof.namespace, proof.index, proof.hash)
    if root_of_path(leaf, proof.path) != proof.certificate.attestation.namespaces_root:
        raise UnprovedAnswer("wrong_path", "the path does not lead to the attested root")
    verify_attestation(chain, proof.certificate)


def verify_covering(chain: Genesis, certificate: AttestationCertificate, which: Height | Literal["attested"]) -> None:
    """The same of an answer to the question which attestation covers a height."""
    _require_covered(certificate, which)
    verify_attestation(chain, certificate)


def verify_proof_of(
    chain: Genesis, proof: NamespaceProof, namespace: NamespaceId, which: Height | Literal["attested"]
) -> None:
    """The same of an answer to the question where a namespace stood at a height."""
    if proof.namespace != namespace:
        raise UnprovedAnswer("wrong_namespace", f"the proof is for {proof.namespace}")
    _require_covered(proof.certificate, which)
    verify_proof(chain, proof)


def _require_covered(certificate: AttestationCertificate, which: Height | Literal["attested"]) -> None:
    height = certificate.attestation.height
    if which != "attested" and height < which:
        raise UnprovedAnswer("not_covered", f"what is attested ends at height {height}, before {which}")


def _verify_content(chain: Genesis, delivered: DeliveredBlock) -> VerifiedBlock:
    """The block's own claims: its hash, its data root, its section, its runs."""
    block = delivered.block
    if block.hash(chain.domain) != delivered.hash:
        raise UnprovedAnswer("wrong_hash", f"block {block.index} does not have the stated hash")
    if merkle_root([section.encode() for section in block.sections]) != block.data_root:
        raise UnprovedAnswer("wrong_data_root", f"block {block.index}")
    if [section.section for section in block.sections] != [SectionKind.OPEN]:
        raise UnprovedAnswer("unknown_section", f"block {block.index}")
    runs = tuple(_verify_run(run, chain.parameters.tx_bytes_max) for run in delivered.runs)
    leaves = [(RUN_LEAF if run.items else INERT_LEAF) + run.segment_hash for run in runs]
    section = Section(
        SectionKind.OPEN,
        sum(len(run.items) for run in runs),
        sum(len(run.segment) for run in delivered.runs),
        merkle_root(leaves),
    )
    if section != block.sections[0]:
        raise UnprovedAnswer("wrong_data", f"the data of block {block.index} is not what it commits to")
    return VerifiedBlock(block, delivered.hash, runs)


def _verify_run(run: DeliveredRun, tx_bytes_max: int) -> VerifiedRun:
    if run.item_count == 0:
        return VerifiedRun(sha256(run.segment), ())
    items = parse_segment(run.segment, run.item_count, tx_bytes_max)
    if items is None:
        raise UnprovedAnswer("wrong_data", "a run does not have the items that are stated for it")
    return VerifiedRun(sha256(run.segment), tuple(items))


def verify_receipt(chain: Genesis, receipt: Receipt) -> None:
    """Raises `UnprovedAnswer` unless the lane's author signed the receipt on this chain.

    Then the author has promised the positions in it. Whether it kept the promise is `verify_position`'s question.
    """
    try:
        receipt.check(chain)
    except InvalidObject as error:
        raise UnprovedAnswer(error.reason, str(error)) from error


def verify_position(chain: Genesis, receipt: Receipt, place: int, header: bytes, block: VerifiedBlock) -> int:
    """The position in `block` of the receipt's item at `place`, given the encoded header of the receipt's batch.

    Proved: the author promised this transaction at this index of this batch; the batch commits to a segment; that very
    segment is a run of the proved block, and has the transaction at that index. Not proved: that the run came from this
    batch and not from another one with an identical segment, nor the receipt's `received_ms`.
    Raises `UnprovedAnswer`: `wrong_batch` if the header is not the receipt's batch, `not_in_block` if the block has no
    such run, `receipt_contradicted` if the batch has something else there: receipt, header and run then convict the
    author.
    """
    verify_receipt(chain, receipt)
    if not 0 <= place < len(receipt.items):
        raise UnprovedAnswer("wrong_batch", "the receipt has no such item")
    item = receipt.items[place]
    entry = _entry_of(receipt, item, header)
    if entry is None:
        raise UnprovedAnswer("receipt_contradicted", "the batch has no segment of that namespace and kind")
    if block.block.namespace != item.namespace or item.kind != KIND_OPEN:
        raise UnprovedAnswer("not_in_block", "the block is of another namespace, or the kind is not in use")
    position = 0
    for run in block.runs:
        if run.segment_hash == entry.segment_hash and run.items:
            if item.index < len(run.items) and item.hash == transaction_id(
                item.namespace, item.kind, run.items[item.index]
            ):
                return position + item.index
            raise UnprovedAnswer("receipt_contradicted", "the batch has another transaction there")
        position += len(run.items)
    raise UnprovedAnswer("not_in_block", "the block has no run with this segment")


def _entry_of(receipt: Receipt, item: ReceiptItem, header: bytes) -> SegmentEntry | None:
    """The header's entry for the item's segment. Raises unless the header is that of the receipt's batch."""
    if Digest(sha256(header)) != receipt.batch:
        raise UnprovedAnswer("wrong_batch", "the header does not have the receipt's digest")
    try:
        decoded = decode_whole(header, BatchHeader.decode)
    except InvalidObject as error:
        raise UnprovedAnswer("wrong_batch", str(error)) from error
    if (decoded.epoch, decoded.author, decoded.seq) != (receipt.epoch, receipt.lane, receipt.seq):
        raise UnprovedAnswer("receipt_contradicted", "the batch has another place than the receipt says")
    return next((e for e in decoded.segments if (e.namespace, e.kind) == (item.namespace, item.kind)), None)
