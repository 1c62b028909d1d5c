import json

import pytest

from consensus.numbers import Digest, Epoch, Hash, Milliseconds, NamespaceId, Seq, ValidatorIndex
from consensus.vocabulary.receipt import Receipt, ReceiptItem
from sequencer.client.submission import encode_outcome, refused_item
from sequencer.load.answers import read_taken
from sequencer.load.errors import Unanswered
from sequencer.load.http import Answer


def receipt(count):
    items = tuple(ReceiptItem(NamespaceId(1), 0, Hash(bytes([place]) * 32), place) for place in range(count))
    return Receipt(
        Hash(b"c" * 32), Epoch(0), ValidatorIndex(1), Seq(3), Digest(b"d" * 32), Milliseconds(5), items, b"s" * 65
    )


def binary(receipts, refused):
    return Answer(200, {"content-type": "application/octet-stream"}, encode_outcome(receipts, refused))


@pytest.mark.parametrize("parts", [(5,), (2, 3), (1, 1, 3)])
def test_all_taken(parts):
    taken = read_taken(binary([receipt(count) for count in parts], []), 5)
    assert (taken.count, dict(taken.refused), taken.last_is_taken) == (5, {}, True)


@pytest.mark.parametrize(("numbers", "last_is_taken"), [((0, 1), True), ((0, 4), False)])
def test_some_refused(numbers, last_is_taken):
    refused = [refused_item(number, "full", 256) for number in numbers]
    taken = read_taken(binary([receipt(3)], refused), 5)
    assert (taken.count, dict(taken.refused), taken.last_is_taken) == (3, {"full": 2}, last_is_taken)


def test_known_ones_bring_their_first_receipt():
    refused = [refused_item(number, "known", first_receipt=receipt(1)) for number in range(5)]
    taken = read_taken(binary([], refused), 5)
    assert (taken.count, dict(taken.refused), taken.last_is_taken) == (0, {"known": 5}, False)


def test_a_request_that_is_refused_whole():
    error = {"error": {"code": -32005, "message": "…", "data": {"reason": "overloaded"}}}
    answer = Answer(503, {"content-type": "application/json"}, json.dumps(error).encode())
    assert dict(read_taken(answer, 7).refused) == {"overloaded": 7}
    assert dict(read_taken(Answer(503, {}, b""), 7).refused) == {"http_503": 7}


def test_garbage_is_nobodys_answer():
    with pytest.raises(Unanswered):
        read_taken(Answer(200, {"content-type": "application/octet-stream"}, b"\x01\x00"), 1)
