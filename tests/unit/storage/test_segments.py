"""What a scan believes of a segment file: intact records, a torn tail of the last group, and nothing else."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import segments
from storage.errors import DamagedRecord, OtherChain, StorageFault
from storage.segments import HEAD_BYTES, RECORD_HEAD_BYTES, BatchRecord

CHAIN_ID = b"c" * 32
MARK = b"mark-one"
HERE = Path("here.seg")


def record(seq: int, batch: bytes = b"batch") -> BatchRecord:
    return BatchRecord(3, seq, hashlib.sha256(b"%d" % seq).digest(), 1_000 + seq, batch)


def grouped(*groups: list[BatchRecord]) -> bytes:
    content = segments.encode_head(CHAIN_ID, 1, MARK)
    for group in groups:
        start = len(content)
        content += b"".join(segments.encode_record(one, mark=MARK, group=start) for one in group)
    return content


def scanned(path: Path, content: bytes, *, synced_end: int = 0, last: bool = True) -> segments.Scan | None:
    path.write_bytes(content)
    return segments.scan(path, chain_id=CHAIN_ID, number=1, synced_end=synced_end, last=last)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / segments.file_name(1)


@given(
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=1, max_size=200),
)
def test_a_record_decodes_to_what_it_was(author, seq, received_ms, batch):
    original = BatchRecord(author, seq, b"d" * 32, received_ms, batch)
    assert segments.decode_record(segments.encode_record(original, mark=MARK, group=7), HERE, 7) == original


@given(st.data())
def test_no_flipped_bit_behind_the_mark_goes_unnoticed(data):
    content = bytearray(segments.encode_record(record(1), mark=MARK, group=60))
    position = data.draw(st.integers(segments.MARK_BYTES, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DamagedRecord):
        segments.decode_record(bytes(content), HERE, 60)


@pytest.mark.parametrize(
    "wrong",
    [
        BatchRecord(2**16, 1, b"d" * 32, 1, b"x"),
        BatchRecord(1, 2**64, b"d" * 32, 1, b"x"),
        BatchRecord(1, 1, b"d" * 31, 1, b"x"),
        BatchRecord(1, 1, b"d" * 32, -1, b"x"),
        BatchRecord(1, 1, b"d" * 32, 1, b""),
    ],
)
def test_what_does_not_fit_is_not_encoded(wrong):
    with pytest.raises(ValueError, match=r"."):
        segments.encode_record(wrong, mark=MARK, group=0)


def test_a_scan_finds_every_record(path):
    content = grouped([record(1)], [record(2), record(3, b"x" * 1_000)])
    found = scanned(path, content)
    assert found is not None
    assert [one.seq for one in found.records] == [1, 2, 3]
    assert found.records[0].offset == HEAD_BYTES
    assert [one.length for one in found.records] == [5, 5, 1_000]
    assert (found.mark, found.end) == (MARK, len(content))


def test_every_cut_of_the_last_group_is_a_torn_tail(path):
    synced = grouped([record(1)])
    whole = grouped([record(1)], [record(2), record(3)])
    for length in range(len(synced), len(whole)):
        found = scanned(path, whole[:length], synced_end=len(synced))
        assert found is not None
        intact = (length - len(synced)) // (RECORD_HEAD_BYTES + 5)
        assert len(found.records) == 1 + intact
        assert found.end == len(synced) + intact * (RECORD_HEAD_BYTES + 5)


def test_a_cut_below_what_was_synced_is_damage(path):
    whole = grouped([record(1)], [record(2)])
    for length in range(HEAD_BYTES, len(whole)):
        with pytest.raises(DamagedRecord, match="synced up to byte"):
            scanned(path, whole[:length], synced_end=len(whole))


def test_damage_before_an_intact_later_group_is_damage_even_if_the_index_knows_nothing(path):
    whole = bytearray(grouped([record(1)], [record(2)], [record(3)]))
    second = HEAD_BYTES + RECORD_HEAD_BYTES + 5
    whole[second + 20] ^= 1
    with pytest.raises(DamagedRecord, match="later write follows") as caught:
        scanned(path, bytes(whole))
    assert (caught.value.path, caught.value.offset) == (path, second)


def test_a_group_written_in_part_and_out_of_order_is_a_torn_tail(path):
    """A power cut may keep a later page of an unsynced group and lose an earlier one."""
    whole = bytearray(grouped([record(1)], [record(2), record(3)]))
    second = HEAD_BYTES + RECORD_HEAD_BYTES + 5
    whole[second : second + RECORD_HEAD_BYTES] = bytes(RECORD_HEAD_BYTES)
    found = scanned(path, bytes(whole), synced_end=second)
    assert found is not None
    assert [one.seq for one in found.records] == [1]
    assert found.end == second


def test_a_tail_of_zeros_is_cut_off(path):
    whole = grouped([record(1)])
    found = scanned(path, whole + bytes(5_000), synced_end=len(whole))
    assert found is not None
    assert found.end == len(whole)


def test_a_batch_that_contains_what_looks_like_a_record_is_only_bytes(path):
    """The mark is unknown to whoever chose the bytes; a guess of it makes no record."""
    forged = segments.encode_record(record(9), mark=b"mark-two", group=2**31)
    synced = grouped([record(1)])
    torn = grouped([record(1)], [record(2, forged + b"the end is lost")])[:-5]
    found = scanned(path, torn, synced_end=len(synced))
    assert found is not None
    assert [one.seq for one in found.records] == [1]


def test_a_file_that_is_not_the_last_has_no_torn_tail(path):
    with pytest.raises(DamagedRecord, match="later file exists"):
        scanned(path, grouped([record(1)])[:-1], last=False)


@pytest.mark.parametrize("length", range(HEAD_BYTES))
def test_a_last_file_whose_head_was_cut_holds_nothing(path, length):
    assert scanned(path, grouped()[:length]) is None


def test_an_unreadable_head_before_records_is_damage(path):
    content = bytearray(grouped([record(1)]))
    content[10] ^= 1
    with pytest.raises(DamagedRecord, match="head"):
        scanned(path, bytes(content))


def test_a_cut_head_of_a_synced_file_is_damage(path):
    with pytest.raises(DamagedRecord, match="head"):
        scanned(path, grouped()[:10], synced_end=500)
    with pytest.raises(DamagedRecord, match="head"):
        scanned(path, grouped()[:10], last=False)


def test_a_file_of_another_chain_is_refused(path):
    path.write_bytes(segments.encode_head(b"o" * 32, 1, MARK))
    with pytest.raises(OtherChain, match="Move the file"):
        segments.scan(path, chain_id=CHAIN_ID, number=1, synced_end=0, last=True)


def test_a_file_under_another_number_is_refused(path):
    path.write_bytes(segments.encode_head(CHAIN_ID, 2, MARK))
    with pytest.raises(StorageFault, match="not segment file 1"):
        segments.scan(path, chain_id=CHAIN_ID, number=1, synced_end=0, last=True)


def test_a_file_that_cannot_be_read_is_a_fault(path):
    with pytest.raises(StorageFault, match="reading"):
        segments.scan(path, chain_id=CHAIN_ID, number=1, synced_end=0, last=True)
