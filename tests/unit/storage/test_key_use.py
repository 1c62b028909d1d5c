"""The mark beside the keys: left once, never changed, and enough to notice a lost safety record."""

import stat

import pytest

from storage.errors import OtherChain, SafetyRecordLost, StorageFault
from storage.key_use import MARK_NAME, KeyUse, check_used, load_key_use, mark_used

CHAIN_ID = bytes(range(32))
OTHER_CHAIN_ID = bytes(32)


def test_unused_keys_may_start_without_a_record(tmp_path):
    assert load_key_use(tmp_path) is None
    check_used(tmp_path, CHAIN_ID, has_record=False)


def test_used_keys_with_their_record_may_start(tmp_path):
    mark_used(tmp_path, CHAIN_ID, 1_700_000_000_000)
    check_used(tmp_path, CHAIN_ID, has_record=True)


def test_used_keys_without_their_record_are_refused_with_the_remedy(tmp_path):
    mark_used(tmp_path, CHAIN_ID, 1_700_000_000_000)
    with pytest.raises(SafetyRecordLost, match=r"1700000000000 ms.*Bring back the data directory"):
        check_used(tmp_path, CHAIN_ID, has_record=False)


def test_keys_of_another_chain_are_refused_even_with_a_record(tmp_path):
    mark_used(tmp_path, OTHER_CHAIN_ID, 1)
    with pytest.raises(OtherChain, match="never shared between chains"):
        check_used(tmp_path, CHAIN_ID, has_record=True)
    with pytest.raises(OtherChain):
        mark_used(tmp_path, CHAIN_ID, 2)


def test_the_first_use_stays(tmp_path):
    assert mark_used(tmp_path, CHAIN_ID, 1) == KeyUse(CHAIN_ID, 1)
    assert mark_used(tmp_path, CHAIN_ID, 2) == KeyUse(CHAIN_ID, 1)
    assert load_key_use(tmp_path) == KeyUse(CHAIN_ID, 1)


def test_the_mark_is_private_and_nothing_is_left_beside_it(tmp_path):
    mark_used(tmp_path, CHAIN_ID, 1)
    assert [path.name for path in tmp_path.iterdir()] == [MARK_NAME]
    assert stat.S_IMODE((tmp_path / MARK_NAME).stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"chain_id 0x00\n", b"x" * 1_000, b"\xff\xfe"])
def test_an_unreadable_mark_is_refused_not_ignored(tmp_path, content):
    (tmp_path / MARK_NAME).write_bytes(content)
    with pytest.raises(StorageFault, match="unreadable"):
        check_used(tmp_path, CHAIN_ID, has_record=True)


def test_a_torn_first_attempt_is_no_mark(tmp_path):
    (tmp_path / (MARK_NAME + ".tmp")).write_bytes(b"chain_id 0x")
    assert load_key_use(tmp_path) is None
    assert mark_used(tmp_path, CHAIN_ID, 3) == KeyUse(CHAIN_ID, 3)


def test_a_mark_that_cannot_be_written_is_a_fault(tmp_path):
    with pytest.raises(StorageFault):
        mark_used(tmp_path / "missing", CHAIN_ID, 1)
