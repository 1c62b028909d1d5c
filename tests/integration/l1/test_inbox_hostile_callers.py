"""What a hostile caller may try with the call itself: odd encodings, little gas, leftovers in unused bytes."""

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consensus.vocabulary.l1_batch import DataKind
from sequencer.l1.errors import ExecutionReverted
from sequencer.l1.inbox import COMMIT_TYPES, Inbox, validator_set_code
from tests.inbox_desk import Desk
from tests.inbox_model import Call, call_of

DATA = b"a payload whose length is no multiple of a word"
WORD = 32
HEAD_WORDS = 11 + 3  # the fields, and where the three byte strings are
SELECTOR_BYTES = 4


def good_call(desk: Desk) -> Call:
    return call_of(desk.certify(desk.batch(DATA, DataKind.CALLDATA)), DATA)


def put(calldata: bytes, word: int, value: int) -> bytes:
    """The same calldata with another number in one word of the arguments."""
    start = SELECTOR_BYTES + WORD * word
    return calldata[:start] + value.to_bytes(WORD, "big") + calldata[start + WORD :]


def word_of(calldata: bytes, word: int) -> int:
    start = SELECTOR_BYTES + WORD * word
    return int.from_bytes(calldata[start : start + WORD], "big")


def moved(call: Call) -> bytes:
    """The same arguments with rubbish between and behind the byte strings."""
    calldata = call.encode()
    at = SELECTOR_BYTES + WORD * HEAD_WORDS
    shifted = calldata[:at] + b"\xee" * WORD + calldata[at:] + b"\xee" * 100
    for place in range(11, HEAD_WORDS):
        shifted = put(shifted, place, word_of(shifted, place) + WORD)
    return shifted


def dirty(call: Call) -> bytes:
    """The same arguments with ones in the bytes that fill up the bitmap's and the data's last words."""
    calldata = bytearray(call.encode())
    for place, length in ((11, len(call.bitmap)), (13, len(call.data))):
        start = SELECTOR_BYTES + word_of(bytes(calldata), place) + WORD + length
        end = start + -length % WORD
        calldata[start:end] = b"\xff" * (end - start)
    return bytes(calldata)


@pytest.mark.parametrize("encode_oddly", [moved, dirty])
def test_an_odd_encoding_leaves_the_same_event(desk, encode_oddly):
    call = good_call(desk)
    calldata = encode_oddly(call)
    assert calldata != call.encode()
    receipt = desk.send(desk.address, calldata).receipt
    assert receipt.status == 1
    assert receipt.logs[0].data == encode(COMMIT_TYPES, (call.fields, call.bitmap, call.signature, call.data))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=st.data())
def test_what_is_no_encoding_of_the_arguments_is_refused(advanced, source):
    call, draw = good_call(advanced), source.draw
    calldata = call.encode()
    if draw(st.booleans()):
        assert advanced.refusal(calldata[: draw(st.integers(0, len(calldata) - WORD))]) is not None
        return
    place = draw(st.integers(0, HEAD_WORDS - 1))
    value = word_of(calldata, place)
    far = st.sampled_from([2**64, 2**64 + value, 2**255, 2**256 - 1, 2**256 - WORD, len(calldata), 2**32])
    assert advanced.refusal(put(calldata, place, draw(far))) is not None


def test_too_little_gas_changes_nothing(desk):
    calldata = Inbox.encode_commit(desk.certify(desk.batch(), [0, 1, 2]), b"")
    needed = int(
        desk.anvil.ask("eth_estimateGas", {"to": f"0x{desk.address.hex()}", "data": f"0x{calldata.hex()}"}), 16
    )
    for gas in (*range(40_000, needed - 12_000, 12_000), needed - 5_000):
        receipt = desk.send(desk.address, calldata, gas).receipt
        assert (receipt.status, receipt.logs) == (0, ())
    assert desk.with_inbox(lambda inbox: inbox.head()) == desk.head
    assert desk.send(desk.address, calldata, needed + 5_000).receipt.status == 1


def test_money_is_not_taken(desk):
    rich = desk.anvil.ask("eth_accounts")[0]
    call = {"from": rich, "to": f"0x{desk.address.hex()}", "value": "0x1"}
    calldata = good_call(desk).encode()
    before = desk.anvil.ask("eth_getBalance", f"0x{desk.address.hex()}", "latest")
    for data in (calldata, b"", b"\x01\x02\x03\x04"):

        async def send(inbox, data=data):
            return await inbox.client.raw("eth_call", [call | {"data": f"0x{data.hex()}"}, "latest"])

        with pytest.raises(ExecutionReverted):
            desk.with_inbox(send)
    assert desk.anvil.ask("eth_getBalance", f"0x{desk.address.hex()}", "latest") == before == "0x0"


def test_nobody_can_run_the_validator_set(desk):
    async def run(inbox):
        await inbox.require_chain(desk.chain)
        answer = await inbox.client.call(desk.address, keccak(text="validator_set()")[:4])
        return await inbox.client.call(answer[-20:], b"\x01\x02\x03\x04")

    assert validator_set_code(desk.chain)[0] == 0  # STOP
    assert desk.with_inbox(run) == b""
