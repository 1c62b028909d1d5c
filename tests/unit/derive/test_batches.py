"""Rebuilding from batches: what is refused, what is a fault, and what is rebuilt all the same."""

import zlib
from dataclasses import replace

import pytest

from consensus.numbers import ZERO_HASH, BlockId, Hash, Height, NamespaceId, NamespaceIndex, ValidatorIndex
from consensus.signing import sha256
from consensus.vocabulary.l1_batch import BatchCertificate, DataKind
from consensus.vocabulary.payload import Compression, decode_payload, encode_payload
from consensus.vocabulary.payload_table import PayloadBlock, PayloadRun, PayloadTable
from sequencer.derive.batches import BatchDeriver, FaultKind
from sequencer.derive.errors import WrongBatch
from sequencer.derive.namespace_blocks import DerivedBlock
from tests.chain_run import ChainRun
from tests.committed_chain import INBOX, CommittedChain, certify, on_l1
from tests.committee import FIRST, SECOND, Committee, Segment
from tests.payload_tables import Content, content_of

HELD, CALLDATA = DataKind.HELD, DataKind.CALLDATA


@pytest.fixture
def chain():
    """Four heights with data, and one empty one: 1 first, 2 first and second, 3 empty, 4 second, 5 first."""
    run = ChainRun(on_l1(Committee()))
    run.block(10, run.data(0, b"one", b"two"))
    run.block(20, {1: [run.seal(1, Segment(FIRST, (b"three",)), Segment(SECOND, (b"uno",)))]})
    run.block(30)
    run.block(40, {2: [run.seal(2, Segment(SECOND, (b"dos",), claimed_count=9))]})
    run.block(50, run.data(0, b"four"))
    return CommittedChain(run)


class Taker:
    """A deriver and what it handed out."""

    def __init__(self, chain: CommittedChain) -> None:
        self.chain = chain
        self.deriver = BatchDeriver(chain.committee.chain, INBOX)
        self.found: list[DerivedBlock] = []

    def take(self, committed):
        batch = committed.certificate.batch
        data = self.chain.held.get(batch.index, committed.data)
        return self.deriver.derive(committed.certificate, data, self.found.append)

    def kinds(self, committed):
        return [fault.kind for fault in self.take(committed).faults]

    def transactions(self, namespace):
        return [one.transactions for one in self.found if one.block.namespace == namespace]


@pytest.fixture
def taker(chain):
    return Taker(chain)


def content(chain: CommittedChain, first: int, last: int) -> Content:
    return content_of(chain.run, [result.block for result in chain.run.results[first - 1 : last]])


def test_an_honest_chain_is_rebuilt_whole(chain, taker):
    for last, kind in ((1, CALLDATA), (2, HELD), (4, CALLDATA), (5, HELD)):
        derived = taker.take(chain.commit(last, kind))
        assert derived.faults == ()
    assert taker.transactions(FIRST) == [(b"one", b"two"), (b"three",), (b"four",)]
    assert taker.transactions(SECOND) == [(b"uno",), ()]  # an inert run: bytes without items
    hashes = {(one.block.namespace, one.block.index): one.hash for one in taker.found}
    assert hashes == {
        (executed.block.namespace, executed.block.index): executed.hash
        for blocks in chain.run.executed.values()
        for executed in blocks
    }


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"l1_chain_id": 1}, "another L1"),
        ({"inbox": bytes(20)}, "another Inbox"),
        ({"index": 3}, "batch 2 should come now"),
        ({"index": 1}, "batch 2 should come now"),
        ({"first": Height(3)}, "do not go on at 2"),
        ({"first": Height(1)}, "do not go on at 2"),
        ({"previous": ZERO_HASH}, "does not follow"),
    ],
)
def test_only_the_next_batch_is_taken(chain, taker, changed, word):
    taker.take(chain.commit(1, HELD))
    with pytest.raises(WrongBatch, match=word):
        taker.take(chain.commit(2, CALLDATA, **changed))
    chain.batches.pop()
    assert taker.take(chain.commit(2, CALLDATA)).faults == ()  # what was refused changed nothing


def test_a_certificate_is_checked_whatever_the_contract_did(chain, taker):
    data = chain.payload(1, 2)
    batch = chain.next_batch(2, HELD, data)
    good = certify(chain.committee, batch)
    wrong = [
        certify(chain.committee, batch, (0, 1)),  # no quorum
        replace(good, signers=(ValidatorIndex(0), ValidatorIndex(1), ValidatorIndex(3))),
        replace(good, signers=(ValidatorIndex(0),) * 3),
        replace(good, batch=replace(batch, block_id=BlockId(ZERO_HASH))),
        replace(good, batch=replace(batch, state_root=Hash(b"\x01" * 32))),
        replace(good, signature=certify(chain.committee, replace(batch, forced_cursor=1)).signature),
        replace(good, count=5),
        BatchCertificate(batch, (), good.signature, 4),
    ]
    for certificate in wrong:
        with pytest.raises(WrongBatch, match="certificate"):
            taker.deriver.derive(certificate, data, taker.found.append)
    assert taker.found == []
    assert taker.deriver.derive(good, data, taker.found.append).faults == ()


def test_data_with_another_hash_is_refused(chain, taker):
    committed = chain.commit(2, HELD)
    with pytest.raises(WrongBatch, match="certified hash"):
        taker.deriver.derive(committed.certificate, chain.held[1] + b"\x00", taker.found.append)
    assert taker.found == []


def test_a_sink_that_fails_leaves_everything_as_it_was(chain, taker):
    def fail(_block):
        raise OSError("the disk is full")

    committed = chain.commit(2, HELD)
    with pytest.raises(OSError, match="full"):
        taker.deriver.derive(committed.certificate, chain.held[1], fail)
    assert taker.take(committed).faults == ()
    assert [one.block.index for one in taker.found] == [0, 1, 0]


@pytest.mark.parametrize("kind", [HELD, CALLDATA])
def test_a_payload_that_does_not_decode_holds_nothing_and_the_next_batch_goes_on(chain, taker, kind):
    assert taker.kinds(chain.commit(2, kind, b"noise")) == [FaultKind.PAYLOAD, FaultKind.ROOT]
    assert taker.found == []
    assert taker.kinds(chain.commit(5, kind)) == [FaultKind.INDEX, FaultKind.ROOT]
    assert [(one.block.namespace, one.block.index) for one in taker.found] == [(FIRST, 0), (SECOND, 0)]
    assert taker.found[0].block.prev_hash == ZERO_HASH


def test_a_payload_of_other_heights_holds_nothing(chain, taker):
    wrong = content(chain, 1, 2)
    for table in (replace(wrong.table, last=Height(3)), replace(wrong.table, first=Height(2), last=Height(2))):
        blocks = tuple(block for block in table.blocks if block.height >= table.first)
        runs = {FIRST: wrong.runs[FIRST][-1:], SECOND: wrong.runs[SECOND]} if len(blocks) == 1 else wrong.runs
        taker = Taker(chain)
        data = encode_payload(replace(table, blocks=blocks), runs)
        assert taker.kinds(chain.commit(2, HELD, data)) == [FaultKind.PAYLOAD, FaultKind.ROOT]
        assert taker.found == []
        chain.batches.clear()


def test_a_held_payload_is_never_compressed(chain, taker):
    data = chain.payload(1, 2, Compression.ZLIB)
    assert taker.kinds(chain.commit(2, HELD, data)) == [FaultKind.PAYLOAD, FaultKind.ROOT]
    assert Taker(chain).kinds(replace(chain.batches[0], certificate=_as_calldata(chain, data), data=data)) == []


def _as_calldata(chain, data):
    chain.held.clear()
    batch = chain.batches[0].certificate.batch.with_data(CALLDATA, sha256(data))
    return certify(chain.committee, batch)


def test_a_segment_that_does_not_decompress_costs_only_its_namespace(chain, taker):
    data = chain.payload(1, 2, Compression.ZLIB)
    stream = zlib.compress(chain_body(chain, SECOND), 6)
    assert data.endswith(stream)
    spoilt = data[:-1] + bytes([data[-1] ^ 1])
    assert taker.kinds(chain.commit(2, CALLDATA, spoilt)) == [FaultKind.SEGMENT, FaultKind.ROOT]
    assert taker.transactions(FIRST) == [(b"one", b"two"), (b"three",)]
    assert taker.transactions(SECOND) == []


def chain_body(chain, namespace):
    return decode_payload(chain.payload(1, 2)).body(namespace)


def test_a_run_with_wrong_framing_is_inert_whatever_the_table_says(chain, taker):
    table = content(chain, 1, 2).table
    runs = content(chain, 1, 2).runs
    runs[FIRST][0] = b"\xff" * len(runs[FIRST][0])
    derived = taker.take(chain.commit(2, HELD, encode_payload(table, runs)))
    assert [fault.kind for fault in derived.faults] == [FaultKind.FRAMING, FaultKind.ROOT]
    assert taker.transactions(FIRST) == [(), (b"three",)]
    assert taker.found[0].block.sections[0].byte_count == len(runs[FIRST][0])


def test_a_run_that_is_called_inert_has_no_items(chain, taker):
    good = content(chain, 1, 2)
    block = good.table.blocks[0]
    part = block.namespaces[0]
    section = part.sections[0]
    runs = tuple(PayloadRun(run.byte_count, is_inert=True) for run in section.runs)
    part = replace(part, sections=(replace(section, runs=runs),))
    table = replace(good.table, blocks=(replace(block, namespaces=(part,)), *good.table.blocks[1:]))
    assert taker.kinds(chain.commit(2, HELD, encode_payload(table, good.runs))) == [FaultKind.ROOT]
    assert taker.transactions(FIRST) == [(), (b"three",)]


def test_a_namespace_that_the_genesis_does_not_have_holds_nothing(chain, taker):
    good = content(chain, 1, 2)
    stranger = NamespaceId(9999)
    block = good.table.blocks[0]
    part = replace(block.namespaces[0], namespace=stranger)
    table = replace(good.table, blocks=(replace(block, namespaces=(*block.namespaces, part)), *good.table.blocks[1:]))
    data = encode_payload(table, good.runs | {stranger: good.runs[FIRST][:1]})
    assert taker.kinds(chain.commit(2, HELD, data)) == [FaultKind.UNREGISTERED]  # and the roots are the certified ones
    assert taker.transactions(stranger) == []


def test_indices_go_on_from_what_was_rebuilt(chain, taker):
    good = content(chain, 1, 2)

    def moved(block: PayloadBlock) -> PayloadBlock:
        parts = tuple(replace(part, index=NamespaceIndex(part.index + 5)) for part in block.namespaces)
        return replace(block, namespaces=parts)

    table: PayloadTable = replace(good.table, blocks=tuple(moved(block) for block in good.table.blocks))
    derived = taker.take(chain.commit(2, HELD, encode_payload(table, good.runs)))
    assert [(fault.kind, fault.count) for fault in derived.faults] == [(FaultKind.INDEX, 3)]
    assert [one.block.index for one in taker.found] == [0, 1, 0]


def test_a_wrong_last_block_or_root_is_told(chain, taker):
    assert taker.kinds(chain.commit(2, HELD, block_id=BlockId(ZERO_HASH))) == [FaultKind.BLOCK_ID]
    other_heights = chain.payload(1, 2)
    wrong = chain.commit(3, HELD, other_heights, namespaces_root=ZERO_HASH)
    assert taker.kinds(wrong) == [FaultKind.PAYLOAD, FaultKind.ROOT]
    assert taker.kinds(chain.commit(5, HELD)) == []  # the roots fit again
