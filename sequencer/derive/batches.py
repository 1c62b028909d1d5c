"""The rules of rebuilding: what the next batch must be, and which namespace blocks its payload makes.

Responsible for: judging batches and payloads in order, as pure functions of the genesis and what the L1 says.
Refuses to do: I/O of any kind; the shell (`reading.py`) asks the L1 and nodes.

Invariants:
1. Nothing is used of a batch that is not the next one, names another L1, contract or epoch, or lacks a quorum's valid
   signature: the contract's word is not enough ▲.
2. A payload is used only if its SHA-256 is the certified one ▲.
3. Rebuilding never halts on certified content. What an honest quorum cannot have signed is a fault: it is reported, and
   what happens instead is fixed, so that everyone who rebuilds has the same. A payload that does not decode, or is of
   other heights, holds nothing. A segment that does not decompress, and one of a namespace that the genesis does not
   have, holds nothing. A run whose framing is wrong is inert. Block indices and hashes go on from what was rebuilt.
4. After each batch the root over all heads must be the certified one; if it is not, that is a fault, too.
5. A batch that raises leaves everything as it was before.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum, unique

from consensus.errors import DecodeError, InvalidObject
from consensus.genesis import Genesis
from consensus.merkle import merkle_root
from consensus.numbers import Hash, Height, NamespaceId
from consensus.signing import Domain, sha256
from consensus.vocabulary.block import namespace_leaf
from consensus.vocabulary.l1_batch import FIRST_INDEX, BatchCertificate, DataKind, L1Batch
from consensus.vocabulary.payload import Compression, NamespaceRuns, Payload, decode_payload
from sequencer.derive.errors import WrongBatch
from sequencer.derive.namespace_blocks import DerivedBlock, Head, build_block


@unique
class FaultKind(StrEnum):
    """What may be wrong with certified content."""

    PAYLOAD = "payload"  # it does not decode, is of other heights, or is compressed though it is held
    SEGMENT = "segment"  # it does not decompress
    UNREGISTERED = "unregistered"  # the genesis does not have the namespace
    FRAMING = "framing"  # a run that the table calls good does not parse
    INDEX = "index"  # the table gives a block another index than it has
    BLOCK_ID = "block_id"  # the certificate gives the last height another block than the table
    ROOT = "root"  # the heads have another root than the certified one


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that more than 2/3 of the stake signed although it is wrong, and how often in the batch."""

    kind: FaultKind
    detail: str  # of the first
    count: int = 1


@dataclass(frozen=True, slots=True)
class DerivedBatch:
    """What became of one batch."""

    batch: L1Batch
    block_count: int  # namespace blocks
    byte_count: int  # of their runs
    faults: tuple[Fault, ...]  # at most one of each kind


@dataclass(frozen=True, slots=True)
class Expected:
    """What the next batch must be."""

    index: int
    first: Height
    previous: Hash

    def require(self, batch: L1Batch) -> None:
        """Raises `WrongBatch` unless `batch` is the next one by its own word."""
        if batch.index != self.index:
            raise WrongBatch(batch.index, f"batch {self.index} should come now")
        if batch.first != self.first or batch.last < batch.first:
            raise WrongBatch(batch.index, f"heights {batch.first} to {batch.last} do not go on at {self.first}")
        if batch.previous != self.previous:
            raise WrongBatch(batch.index, "it does not follow the batch before")

    def after(self, batch: L1Batch, domain: Domain) -> "Expected":
        """What must come after `batch`."""
        return Expected(batch.index + 1, Height(batch.last + 1), batch.hash(domain))


class BatchDeriver:
    """The chains of all namespaces, batch after batch."""

    def __init__(self, chain: Genesis, inbox: bytes) -> None:
        """`inbox` is the contract's address, 20 bytes."""
        self.chain = chain
        self._inbox = inbox
        self._registered = chain.namespace_ids()
        self._expected = Expected(FIRST_INDEX, Height(1), chain.chain_id)
        self._heads: dict[NamespaceId, Head] = {}

    @property
    def expected(self) -> Expected:
        """What the next batch must be."""
        return self._expected

    def check(self, certificate: BatchCertificate) -> None:
        """Raises `WrongBatch` unless this is the next batch of this chain, certified. Some 3 ms."""
        batch = certificate.batch
        if (batch.l1_chain_id, batch.inbox) != (self.chain.l1_chain_id, self._inbox):
            raise WrongBatch(batch.index, "it is of another L1 or another Inbox")
        self._expected.require(batch)
        try:
            certificate.check(self.chain)
        except InvalidObject as error:
            raise WrongBatch(batch.index, f"its certificate is not valid: {error}") from error

    def derive(self, certificate: BatchCertificate, data: bytes, emit: Callable[[DerivedBlock], None]) -> DerivedBatch:
        """Makes the blocks of the next batch, whose payload is `data`; `emit` gets each, by namespace and height.

        Raises `WrongBatch` as `check`, and if the data is not the certified one. Some 15 ms per MB.
        """
        self.check(certificate)
        batch = certificate.batch
        if sha256(data) != batch.data_hash:
            raise WrongBatch(batch.index, "the data does not have the certified hash")
        work = _Work(self.chain, self._registered, dict(self._heads), emit)
        work.run(batch, data)
        self._heads = work.heads
        self._expected = self._expected.after(batch, self.chain.domain)
        return DerivedBatch(batch, work.block_count, work.byte_count, tuple(work.faults.values()))


class _Work:
    """One batch being rebuilt, on a copy of the heads."""

    def __init__(
        self,
        chain: Genesis,
        registered: frozenset[NamespaceId],
        heads: dict[NamespaceId, Head],
        emit: Callable[[DerivedBlock], None],
    ) -> None:
        self.heads = heads
        self.faults: dict[FaultKind, Fault] = {}
        self.block_count = 0
        self.byte_count = 0
        self._chain = chain
        self._registered = registered
        self._emit = emit

    def run(self, batch: L1Batch, data: bytes) -> None:
        payload = self._decode(batch, data)
        if payload is not None:
            for namespace in payload.namespaces:
                self._namespace(payload, namespace)
            newest = payload.table.blocks[-1]
            if newest.height == batch.last and newest.block_id != batch.block_id:
                self._note(FaultKind.BLOCK_ID, f"height {batch.last} is another block")
        leaves = [namespace_leaf(name, head.index, head.hash) for name, head in sorted(self.heads.items())]
        if merkle_root(leaves) != batch.namespaces_root:
            self._note(FaultKind.ROOT, f"at height {batch.last} the namespaces' heads differ from the certified ones")

    def _decode(self, batch: L1Batch, data: bytes) -> Payload | None:
        try:
            payload = decode_payload(data)
        except DecodeError as error:
            self._note(FaultKind.PAYLOAD, str(error))
            return None
        if (payload.table.first, payload.table.last) != (batch.first, batch.last):
            self._note(FaultKind.PAYLOAD, f"it is of heights {payload.table.first} to {payload.table.last}")
            return None
        if batch.data_kind is DataKind.HELD and payload.compression is not Compression.NONE:
            self._note(FaultKind.PAYLOAD, "it is held and compressed")
            return None
        return payload

    def _namespace(self, payload: Payload, namespace: NamespaceId) -> None:
        if namespace not in self._registered:
            self._note(FaultKind.UNREGISTERED, f"namespace {namespace}")
            return
        try:
            for entry in payload.blocks_of(namespace):
                self._block(entry)
        except DecodeError as error:
            self._note(FaultKind.SEGMENT, f"namespace {namespace}: {error}")

    def _block(self, entry: NamespaceRuns) -> None:
        namespace, height = entry.part.namespace, entry.block.height
        built, is_misnamed = build_block(self._chain, self.heads.get(namespace), entry)
        if is_misnamed:
            self._note(FaultKind.FRAMING, f"namespace {namespace}, height {height}")
        if entry.part.index != built.block.index:
            detail = f"namespace {namespace}, height {height}: {entry.part.index} instead of {built.block.index}"
            self._note(FaultKind.INDEX, detail)
        self.heads[namespace] = Head(built.block.index, built.hash)
        self.block_count += 1
        self.byte_count += sum(map(len, entry.runs))
        self._emit(built)

    def _note(self, kind: FaultKind, detail: str) -> None:
        first = self.faults.get(kind)
        self.faults[kind] = Fault(kind, detail) if first is None else replace(first, count=first.count + 1)
