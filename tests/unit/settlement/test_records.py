"""What is kept of batches and attempts: one encoding, and nothing else is read."""

import pytest

from consensus.encoding import decode_whole
from consensus.errors import DecodeError
from consensus.vocabulary.l1_batch import DataKind
from sequencer.settlement.records import OPEN_ATTEMPTS, TRANSACTION_BYTES_MAX, Attempt, BatchRecord, BatchState
from tests.unit.settlement.attempts import attempt, record

COUNT = 4
NUMBERS = {
    "open": 0,
    "sealed": 1,
    "certifying": 2,
    "certified": 3,
    "intent": 4,
    "sent": 5,
    "mined": 6,
    "confirmed": 7,
    "finalized": 8,
    "lost_race": 9,
    "reverted": 10,
    "parked": 11,
    "halted": 12,
}


def read_attempt(data):
    return decode_whole(data, Attempt.decode)


def read_record(data, count=COUNT):
    return decode_whole(data, lambda reader: BatchRecord.decode(reader, count))


@pytest.mark.parametrize("state", BatchState)
@pytest.mark.parametrize("kind", DataKind)
def test_an_attempt_comes_back(state, kind):
    kept = attempt(state, nonce=2**64 - 1, data_kind=kind, raw=b"\x02" * 130_000)
    assert read_attempt(kept.encode()) == kept
    assert kept.is_open is (state in OPEN_ATTEMPTS)


def test_a_state_keeps_its_number_on_disk():
    """A home is read by later releases: states may be added behind these, and none may move."""
    assert {state.value: attempt(state).encode()[-1] for state in BatchState} == NUMBERS


def test_a_new_fate_changes_nothing_else():
    before = attempt(BatchState.SENT)
    after = before.become(BatchState.CONFIRMED)
    assert after.encode()[:-1] == before.encode()[:-1]
    assert after.state is BatchState.CONFIRMED


@pytest.mark.parametrize("count", [4, 9, 128])
def test_a_batch_comes_back(count):
    kept = record(count=count)
    assert read_record(kept.encode(), count) == kept
    assert kept.batch is kept.certificate.batch


@pytest.mark.parametrize(("kept", "read"), [(attempt(BatchState.SENT), read_attempt), (record(), read_record)])
def test_what_is_cut_lengthened_or_of_another_version_is_refused(kept, read):
    encoded = kept.encode()
    for wrong in (*(encoded[:end] for end in range(len(encoded))), encoded + b"\x00", b"\x02" + encoded[1:]):
        with pytest.raises(DecodeError):
            read(wrong)


def test_unknown_kinds_and_states_are_refused():
    encoded = attempt(BatchState.SENT, data_kind=DataKind.HELD).encode()
    kind_at = 1 + 4 * 8
    assert encoded[kind_at] == DataKind.HELD
    with pytest.raises(DecodeError, match="data kind 2"):
        read_attempt(encoded[:kind_at] + b"\x02" + encoded[kind_at + 1 :])
    with pytest.raises(DecodeError, match="state 13"):
        read_attempt(encoded[:-1] + bytes([len(BatchState)]))


def test_a_transaction_is_bounded():
    at_most = attempt(BatchState.SENT, raw=bytes(TRANSACTION_BYTES_MAX))
    assert read_attempt(at_most.encode()) == at_most
    with pytest.raises(DecodeError):
        read_attempt(attempt(BatchState.SENT, raw=bytes(TRANSACTION_BYTES_MAX + 1)).encode())


def test_a_batch_of_another_committee_is_refused():
    with pytest.raises(DecodeError):
        read_record(record(count=9).encode(), count=4)
