"""The table of a SEQ1 payload: which blocks of a range of heights are not empty, and how long the runs in them are.

Responsible for: the types, their one encoding, and the rules of a table.
Refuses to do: hold or read run bytes (`payload.py`), or know any chain: indices, block ids, times and anchors are the
table's word, which a certificate binds.

Layout: a block is height u64 ‖ block_id ‖ ts_ms u64 ‖ effective anchor ‖ its namespaces; a namespace is id u64 ‖ block
index u64 ‖ sections; a section is kind u8 ‖ runs; a run is byte_count u32 ‖ is_inert u8.

Invariants:
1. Heights rise strictly and lie in first … last; the namespaces of a block rise strictly; a namespace's block indices
   are dense; there is a block, every block has a namespace, every namespace a section, every section a run, every run a
   byte. At most PAYLOAD_RUNS_MAX runs.
2. A count is compared with what is left to read before anything is made of it.
3. Version 1 knows the open section only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from consensus import limits
from consensus.encoding import Reader, sequence, u8, u32, u64
from consensus.errors import DecodeError
from consensus.numbers import BlockId, Height, Milliseconds, NamespaceId, NamespaceIndex
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.block import SectionKind
from consensus.vocabulary.report import read_time

T = TypeVar("T")

_RUN_BYTES = 4 + 1
_SECTION_BYTES = 1 + 4  # without its runs
_NAMESPACE_BYTES = 8 + 8 + 4  # without its sections
_BLOCK_BYTES = 8 + 32 + 8 + 40 + 4  # without its namespaces


class PayloadRun(NamedTuple):
    """One segment of a lane's batch as it stands in a block; an inert run has bytes and no items."""

    byte_count: int  # u32
    is_inert: bool


@dataclass(frozen=True, slots=True)
class PayloadSection:
    """The runs of one section, in block order."""

    section: SectionKind
    runs: tuple[PayloadRun, ...]

    def encode(self) -> bytes:
        """kind ‖ runs."""
        return u8(self.section) + sequence([u32(run.byte_count) + u8(run.is_inert) for run in self.runs])

    @staticmethod
    def decode(reader: Reader) -> "PayloadSection":
        """The inverse of `encode`."""
        if reader.u8() != SectionKind.OPEN:
            raise DecodeError("a payload of version 1 has open sections only")
        return PayloadSection(SectionKind.OPEN, _read_list(reader, _RUN_BYTES, _read_run))


@dataclass(frozen=True, slots=True)
class PayloadNamespace:
    """What one block holds for one namespace; `index` is that of the namespace block."""

    namespace: NamespaceId
    index: NamespaceIndex
    sections: tuple[PayloadSection, ...]

    @property
    def byte_count(self) -> int:
        """Bytes of all runs."""
        return sum(run.byte_count for section in self.sections for run in section.runs)

    @property
    def run_count(self) -> int:
        """Runs of all sections."""
        return sum(len(section.runs) for section in self.sections)

    def encode(self) -> bytes:
        """namespace ‖ index ‖ sections."""
        return u64(self.namespace) + u64(self.index) + sequence([section.encode() for section in self.sections])

    @staticmethod
    def decode(reader: Reader) -> "PayloadNamespace":
        """The inverse of `encode`."""
        namespace, index = NamespaceId(reader.u64()), NamespaceIndex(reader.u64())
        return PayloadNamespace(namespace, index, _read_list(reader, _SECTION_BYTES, PayloadSection.decode))


@dataclass(frozen=True, slots=True)
class PayloadBlock:
    """A block that is not empty; `anchor` is the effective one."""

    height: Height
    block_id: BlockId
    ts_ms: Milliseconds
    anchor: Anchor
    namespaces: tuple[PayloadNamespace, ...]

    def encode(self) -> bytes:
        """The fields in order."""
        return (
            u64(self.height)
            + self.block_id
            + u64(self.ts_ms)
            + self.anchor.encode()
            + sequence([part.encode() for part in self.namespaces])
        )

    @staticmethod
    def decode(reader: Reader) -> "PayloadBlock":
        """The inverse of `encode`."""
        return PayloadBlock(
            Height(reader.u64()),
            BlockId(reader.fixed(32)),
            read_time(reader),
            Anchor.decode(reader),
            _read_list(reader, _NAMESPACE_BYTES, PayloadNamespace.decode),
        )

    def encoded_bytes(self) -> int:
        """The length of `encode()`, without encoding."""
        sections = sum(len(part.sections) for part in self.namespaces)
        runs = sum(part.run_count for part in self.namespaces)
        return _BLOCK_BYTES + _NAMESPACE_BYTES * len(self.namespaces) + _SECTION_BYTES * sections + _RUN_BYTES * runs


@dataclass(frozen=True, slots=True)
class PayloadTable:
    """Everything of a payload but the bytes: the blocks of `first` … `last` that are not empty."""

    first: Height
    last: Height
    blocks: tuple[PayloadBlock, ...]

    def encode(self) -> bytes:
        """first ‖ last ‖ blocks."""
        return u64(self.first) + u64(self.last) + sequence([block.encode() for block in self.blocks])

    @staticmethod
    def decode(reader: Reader) -> "PayloadTable":
        """The inverse of `encode`. Raises `DecodeError`, also as `check`."""
        first, last = Height(reader.u64()), Height(reader.u64())
        table = PayloadTable(first, last, _read_list(reader, _BLOCK_BYTES, PayloadBlock.decode))
        table.check()
        return table

    def encoded_bytes(self) -> int:
        """The length of `encode()`, without encoding."""
        return 8 + 8 + 4 + sum(block.encoded_bytes() for block in self.blocks)

    def check(self) -> None:
        """Raises `DecodeError` unless invariant 1 holds."""
        if not 1 <= self.first <= self.last:
            raise DecodeError("heights from 1 on, the first not above the last")
        if not self.blocks:
            raise DecodeError("a payload holds at least one block")
        before, run_count = self.first - 1, 0
        indices: dict[NamespaceId, NamespaceIndex] = {}
        for block in self.blocks:
            if not before < block.height <= self.last:
                raise DecodeError(f"height {block.height} does not rise, or is above {self.last}")
            before = block.height
            run_count += _check_block(block, indices)
        if run_count > limits.PAYLOAD_RUNS_MAX:
            raise DecodeError(f"{run_count} runs are above {limits.PAYLOAD_RUNS_MAX}")

    def by_namespace(self) -> dict[NamespaceId, list[tuple[PayloadBlock, PayloadNamespace]]]:
        """Each namespace's part of each block that has one, in order; by rising namespace."""
        found: dict[NamespaceId, list[tuple[PayloadBlock, PayloadNamespace]]] = {}
        for block in self.blocks:
            for part in block.namespaces:
                found.setdefault(part.namespace, []).append((block, part))
        return dict(sorted(found.items()))


def _check_block(block: PayloadBlock, indices: dict[NamespaceId, NamespaceIndex]) -> int:
    """Checks a block behind those that `indices` has the newest index of; returns how many runs it has."""
    if not block.namespaces:
        raise DecodeError(f"height {block.height} is empty")
    before = -1
    for part in block.namespaces:
        if part.namespace <= before:
            raise DecodeError(f"the namespaces of height {block.height} do not rise")
        before = part.namespace
        newest = indices.get(part.namespace)
        if newest is not None and part.index != newest + 1:
            raise DecodeError(f"namespace {part.namespace} goes on from index {newest} with {part.index}")
        indices[part.namespace] = part.index
        if [section.section for section in part.sections] != [SectionKind.OPEN]:
            raise DecodeError("a payload of version 1 has one section per namespace block, the open one")
        if not all(section.runs for section in part.sections):
            raise DecodeError("a section has at least one run")
        if any(run.byte_count < 1 for section in part.sections for run in section.runs):
            raise DecodeError("a run has at least one byte")
    return sum(part.run_count for part in block.namespaces)


def _read_list(reader: Reader, item_bytes_min: int, item: Callable[[Reader], T]) -> tuple[T, ...]:
    return reader.sequence(min(reader.remaining // item_bytes_min, limits.PAYLOAD_RUNS_MAX), item)


def _read_run(reader: Reader) -> PayloadRun:
    return PayloadRun(reader.u32(), reader.flag())
