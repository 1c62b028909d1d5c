"""Random SEQ1 tables with the bytes of their runs, and tables made from what execution produced."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from consensus.numbers import BlockId, Hash, Height, Milliseconds, NamespaceId, NamespaceIndex
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.block import SectionKind
from consensus.vocabulary.payload import Compression, encode_payload
from consensus.vocabulary.payload_table import (
    PayloadBlock,
    PayloadNamespace,
    PayloadRun,
    PayloadSection,
    PayloadTable,
)
from sequencer.execution.blocks import ExecutedBlock
from tests.chain_run import ChainRun

_IDS = (1, 1001, 1002, 2**63 - 1)


@dataclass(frozen=True)
class Content:
    """A table and the bytes of its runs, by namespace."""

    table: PayloadTable
    runs: dict[NamespaceId, list[bytes]]

    def encode(self, compression: Compression = Compression.NONE) -> bytes:
        return encode_payload(self.table, self.runs, compression)


@st.composite
def contents(draw: st.DrawFn) -> Content:
    """Anything that may be in a payload."""
    first = draw(st.integers(1, 2**40))
    heights = sorted(draw(st.sets(st.integers(first, first + 50), min_size=1, max_size=5)))
    indices = {namespace: draw(st.integers(0, 2**40)) for namespace in _IDS}
    runs: dict[NamespaceId, list[bytes]] = {}
    blocks = []
    for height in heights:
        parts = []
        for number in sorted(draw(st.sets(st.sampled_from(_IDS), min_size=1))):
            namespace = NamespaceId(number)
            data = draw(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=3))
            runs.setdefault(namespace, []).extend(data)
            listed = tuple(PayloadRun(len(run), draw(st.booleans())) for run in data)
            sections = (PayloadSection(SectionKind.OPEN, listed),)
            parts.append(PayloadNamespace(namespace, NamespaceIndex(indices[number]), sections))
            indices[number] += 1
        block_id, anchor_hash = draw(st.binary(min_size=32, max_size=32)), draw(st.binary(min_size=32, max_size=32))
        time = Milliseconds(draw(st.integers(0, 2**53 - 1)))
        anchor = Anchor(draw(st.integers(0, 2**64 - 1)), Hash(anchor_hash))
        blocks.append(PayloadBlock(Height(height), BlockId(block_id), time, anchor, tuple(parts)))
    last = draw(st.integers(heights[-1], first + 60))
    return Content(PayloadTable(Height(first), Height(last), tuple(blocks)), runs)


def content_of(run: ChainRun, blocks: Iterable[ExecutedBlock]) -> Content:
    """What a payload of these blocks, a gapless stretch of a chain, holds."""
    stretch: Sequence[ExecutedBlock] = [*blocks]
    runs: dict[NamespaceId, list[bytes]] = {}
    listed = []
    for block in stretch:
        parts = []
        for executed in block.namespaces:
            data = [run.batches[part.digest].encoded[part.offset :][: part.byte_count] for part in executed.runs]
            runs.setdefault(executed.block.namespace, []).extend(data)
            section = tuple(PayloadRun(part.byte_count, part.item_count == 0) for part in executed.runs)
            sections = (PayloadSection(SectionKind.OPEN, section),)
            parts.append(PayloadNamespace(executed.block.namespace, executed.block.index, sections))
        if parts:
            listed.append(PayloadBlock(block.height, block.block_id, block.ts_ms, block.anchor, tuple(parts)))
    return Content(PayloadTable(stretch[0].height, stretch[-1].height, tuple(listed)), runs)
