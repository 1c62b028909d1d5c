"""A range of executed blocks as a payload, from blocks that the executor made."""

import pytest

from consensus.limits import PAYLOAD_BYTES_MAX
from consensus.numbers import Height, NamespaceId
from consensus.signing import sha256
from consensus.vocabulary.payload import Compression, decode_payload, uncompressed_bytes
from consensus.vocabulary.payload_table import PayloadTable
from sequencer.execution.blocks import ExecutedBlock
from sequencer.settlement import packing
from sequencer.settlement.errors import MissingBlocks
from sequencer.settlement.packing import HELD_BYTES_TARGET, compress, pack, payload_bytes
from tests.chain_run import ChainRun
from tests.committee import FIRST, SECOND, Committee, Segment
from tests.payload_tables import content_of

COMMITTEE = Committee()
UNKNOWN = NamespaceId(7)


def chain_run():
    """Six heights: data of two namespaces, none, an inert run, one namespace, a foreign segment only, none."""
    run = ChainRun(COMMITTEE)
    run.block(10, run.data(0, b"a" * 500, b"b") | run.data(1, b"z", namespace=SECOND))
    run.block(20)
    run.block(30, {2: [run.seal(2, Segment(FIRST, raw=b"\x00\x00\x00\x09cut"), Segment(SECOND, (b"c",)))]})
    run.block(40, run.data(3, b"d" * 300))
    run.block(50, run.data(0, b"nobody's", namespace=UNKNOWN))
    run.block(60)
    return run


@pytest.fixture(scope="module")
def run():
    return chain_run()


def blocks_of(run, first, last):
    return [result.block for result in run.results[first - 1 : last]]


def packed(run, first, last):
    blocks = [block for block in blocks_of(run, first, last) if not block.is_empty]
    batches = run.batches

    def read(part):
        return batches[part.digest].encoded[part.offset : part.offset + part.byte_count]

    return pack(Height(first), run.results[last - 1].block, blocks, read)


def test_a_range_is_what_its_blocks_hold(run):
    made = packed(run, 1, 4)
    assert made.held_payload() == content_of(run, blocks_of(run, 1, 4)).encode()
    assert made.held_hash == sha256(made.held_payload())
    last = run.results[3].block
    assert (made.last, made.block_id, made.namespaces_root) == (4, last.block_id, last.namespaces_root)
    assert (made.block_count, made.ends_with_data) == (3, True)
    assert [block.height for block in made.table.blocks] == [1, 3, 4]


def test_two_nodes_make_the_same_bytes_also_from_disk(run):
    other = chain_run()
    stored = [ExecutedBlock.decode(block.encode()) for block in blocks_of(other, 1, 4)]
    assert stored == blocks_of(run, 1, 4)
    assert packed(run, 1, 4) == packed(other, 1, 4)


def test_an_inert_run_is_bytes_without_items(run):
    (block,) = packed(run, 3, 3).table.blocks
    flags = {part.namespace: [listed.is_inert for listed in part.sections[0].runs] for part in block.namespaces}
    assert flags == {FIRST: [True], SECOND: [False]}
    assert decode_payload(packed(run, 3, 3).held_payload()).body(FIRST) == b"\x00\x00\x00\x09cut"


@pytest.mark.parametrize(("first", "last"), [(1, 4), (1, 1), (3, 4), (2, 6)])
def test_compressed_it_holds_the_same(run, first, last):
    made = packed(run, first, last)
    payload = compress(made)
    read = decode_payload(payload)
    assert read.compression is Compression.ZLIB
    assert read.holds_same(decode_payload(made.held_payload()))
    assert read.table == made.table


@pytest.mark.parametrize(("last", "ends"), [(4, True), (5, False), (6, False)])
def test_whether_a_range_ends_with_data_is_told(run, last, ends):
    assert packed(run, 1, last).ends_with_data is ends


def test_a_range_without_data_is_no_range(run):
    with pytest.raises(MissingBlocks, match="heights 5 to 6"):
        packed(run, 5, 6)


def test_what_a_reader_of_runs_lacks_is_missing(run):
    def read(part):
        raise MissingBlocks("batch is not held")

    with pytest.raises(MissingBlocks, match="not held"):
        pack(Height(1), run.results[0].block, blocks_of(run, 1, 1), read)


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 4), (2, 6)])
def test_the_bytes_of_a_block_are_not_understated(run, first, last):
    made = packed(run, first, last)
    head = 2 + PayloadTable(Height(first), Height(last), ()).encoded_bytes() + 4
    stated = sum(payload_bytes(block) for block in blocks_of(run, first, last) if not block.is_empty)
    assert uncompressed_bytes(made.table) <= head + stated
    assert head <= PAYLOAD_BYTES_MAX - HELD_BYTES_TARGET


def test_what_is_too_long_is_not_compressed(run, monkeypatch):
    made = packed(run, 1, 4)
    monkeypatch.setattr(packing, "PAYLOAD_BYTES_MAX", made.byte_count - 1)
    assert compress(made) == made.held_payload()


def test_what_compression_makes_longer_goes_as_it_is(run):
    made = packed(run, 3, 3)
    assert decode_payload(compress(made)).compression is Compression.NONE
    assert compress(made) == made.held_payload()
