"""The heads of all namespaces: sharing, encoding, and the records that paths are answered from."""

import pytest

from consensus.encoding import decode_whole
from consensus.errors import BrokenInvariant, DecodeError
from consensus.merkle import root_of_path
from consensus.numbers import GENESIS_HEIGHT, Hash, Height, NamespaceId, NamespaceIndex
from sequencer.execution.errors import NotAttested
from sequencer.execution.namespaces import (
    NO_NAMESPACES,
    RECORD_STEPS_MAX,
    LeavesRecord,
    NamespaceHead,
    NamespaceHeads,
    RecordProgress,
    decode_heads,
    encode_heads,
    leaves_at,
)


def head(namespace: int, index: int = 0) -> NamespaceHead:
    return NamespaceHead(NamespaceId(namespace), NamespaceIndex(index), Hash(bytes([namespace, index]) * 16))


def test_newer_heads_give_the_tree_of_all_of_them() -> None:
    heads = NO_NAMESPACES
    for namespace in (5, 1, 9, 3):
        heads = heads.with_heads([head(namespace)])
    heads = heads.with_heads([head(3, 1), head(9, 1)])
    expected = NamespaceHeads.of([head(1), head(3, 1), head(5), head(9, 1)])
    assert heads == expected
    assert heads.root == expected.root
    for namespace in (1, 3, 5, 9):
        found, path = heads.head(NamespaceId(namespace)), heads.path(NamespaceId(namespace))
        assert found is not None
        assert path is not None
        assert root_of_path(found.leaf(), path) == heads.root


def test_older_heads_stay_as_they_were() -> None:
    older = NamespaceHeads.of([head(1), head(2)])
    root = older.root
    older.with_heads([head(1, 1)])
    older.with_heads([head(7)])
    assert (older.root, older.head(NamespaceId(1)), older.head(NamespaceId(7))) == (root, head(1), None)


def test_a_namespace_without_a_block_has_no_path() -> None:
    assert NO_NAMESPACES.path(NamespaceId(1)) is None
    assert NamespaceHeads.of([head(1)]).path(NamespaceId(2)) is None


def test_heads_survive_encoding_sorted_and_once() -> None:
    heads = NamespaceHeads.of([head(2), head(1)])
    assert decode_whole(heads.encode(), NamespaceHeads.decode) == heads
    for wrong in ([head(2), head(1)], [head(1), head(1, 1)]):
        with pytest.raises(DecodeError, match="sorted"):
            decode_whole(encode_heads(wrong), decode_heads)


def test_progress_survives_encoding() -> None:
    progress = RecordProgress(Height(7), 3, 12, (NamespaceId(1), NamespaceId(4)))
    assert decode_whole(progress.encode(), RecordProgress.decode) == progress


def test_a_record_that_is_missing_below_is_a_broken_store() -> None:
    records = {9: LeavesRecord(Height(5), (head(1),)).encode()}
    with pytest.raises(BrokenInvariant, match="height 5 is missing"):
        leaves_at(Height(9), records.get)
    with pytest.raises(NotAttested):
        leaves_at(Height(8), records.get)


def test_records_that_never_end_are_a_broken_store() -> None:
    records = {
        height: LeavesRecord(Height(height - 1), (head(1),)).encode() for height in range(1, RECORD_STEPS_MAX + 10)
    }
    del records[1]
    with pytest.raises(BrokenInvariant):
        leaves_at(Height(RECORD_STEPS_MAX + 9), records.get)


def test_the_first_record_is_full() -> None:
    heads = NamespaceHeads.of([head(1), head(2)])
    progress, record = RecordProgress().with_changes([head(1), head(2)]).record(Height(3), heads)
    assert record == LeavesRecord(GENESIS_HEIGHT, heads.heads)
    assert progress == RecordProgress(Height(3))
