"""The fast door's two layouts, and the JSON of outcomes."""

from dataclasses import replace

import pytest

from consensus.encoding import sequence, u8
from consensus.numbers import GENESIS_EPOCH, ZERO_HASH, Digest, Hash, Milliseconds, Seq, ValidatorIndex
from consensus.vocabulary.batch import Items, frame_items
from consensus.vocabulary.receipt import Receipt, ReceiptItem
from sequencer.client.errors import MalformedAnswer
from sequencer.client.submission import (
    Refused,
    SubmitOutcome,
    decode_outcome,
    encode_outcome,
    outcome_from_json,
    outcome_to_json,
    refused_item,
)
from tests.committee import FIRST

HASHES = (Hash(b"\x01" * 32), Hash(b"\x02" * 32))
ITEMS = (ReceiptItem(FIRST, 0, HASHES[0], 0), ReceiptItem(FIRST, 0, HASHES[1], 1))
RECEIPT = Receipt(
    ZERO_HASH, GENESIS_EPOCH, ValidatorIndex(3), Seq(7), Digest(ZERO_HASH), Milliseconds(9), ITEMS, b"s" * 65
)
REFUSED = (
    refused_item(0, "empty"),
    refused_item(1, "full", retry_after_ms=250),
    refused_item(4_095, "known", first_receipt=RECEIPT),
    Refused(2, -32099, "a_word_of_tomorrow"),
)
OUTCOME = SubmitOutcome(HASHES, (RECEIPT, RECEIPT), REFUSED)


def test_an_outcome_survives_both_encodings():
    assert decode_outcome(encode_outcome(OUTCOME.receipts, OUTCOME.refused), HASHES) == OUTCOME
    assert outcome_from_json(outcome_to_json(OUTCOME)) == OUTCOME


def test_the_code_belongs_to_the_word():
    assert [entry.code for entry in REFUSED[:3]] == [-32602, -32011, -32017]
    assert refused_item(0, "a_word_of_tomorrow").code == -32003


@pytest.mark.parametrize(
    "data",
    [
        b"",
        u8(2) + sequence([]) + sequence([]),
        encode_outcome((RECEIPT,), REFUSED)[:-1],
        encode_outcome((RECEIPT,), REFUSED) + b"\0",
        u8(1) + b"\xff\xff\xff\xff",
        encode_outcome((), (replace(REFUSED[0], reason="x" * 65),)),
        encode_outcome((), (replace(REFUSED[0], reason="ä"),)),
    ],
)
def test_other_bytes_are_no_answer(data):
    with pytest.raises(MalformedAnswer):
        decode_outcome(data, HASHES)


@pytest.mark.parametrize(
    "change",
    [
        {"receipts": None},
        {"receipts": [{}]},
        {"hashes": ["0x00"]},
        {"refused": [{"item": 0, "code": "-32602", "reason": "empty", "retry_after_ms": None, "receipt": None}]},
        {"refused": [{"item": 0, "code": True, "reason": "empty", "retry_after_ms": None, "receipt": None}]},
        {"refused": [{"item": -1, "code": 0, "reason": "empty", "retry_after_ms": None, "receipt": None}]},
        {"refused": [{"item": 0, "code": 0, "reason": 7, "retry_after_ms": None, "receipt": None}]},
    ],
)
def test_other_json_is_no_outcome(change):
    with pytest.raises(MalformedAnswer):
        outcome_from_json({**outcome_to_json(OUTCOME), **change})


def test_a_body_is_split_as_it_was_framed():
    items = [b"one", b"", b"three"]
    assert list(Items.parse(frame_items(items), 3) or ()) == items
    assert Items.parse(b"", 3) == Items.of([])


@pytest.mark.parametrize("body", [b"\0", b"\0\0\0", b"\0\0\0\1", b"\0\0\0\1ab", frame_items([b"ab"]) + b"\xff" * 4])
def test_a_body_with_wrong_framing_is_not_split(body):
    assert Items.parse(body, 100) is None


def test_splitting_stops_one_beyond_the_bound():
    assert len(Items.parse(frame_items([b"x"] * 100), 10) or ()) == 11
