"""What a poster asks for and a validator answers: codecs, and every reason for not signing."""

from dataclasses import replace

import pytest

from consensus.encoding import sequence, u8, variable
from consensus.errors import DecodeError
from consensus.numbers import Hash, Height
from consensus.signing import sha256
from consensus.vocabulary.l1_batch import DataKind
from consensus.vocabulary.payload import Compression
from sequencer.settlement.packing import compress, pack
from sequencer.settlement.sharing import (
    REQUEST_OVERHEAD_BYTES,
    ChainEnd,
    L1DataPolicy,
    ShareAnswer,
    ShareRequest,
    Word,
    allowed_kinds,
    batches_to_sign,
    judge_place,
)
from tests.chain_run import ChainRun
from tests.committee import FIRST, Committee, Segment
from tests.payload_tables import content_of

PREVIOUS = Hash(b"\x01" * 32)
REQUEST = ShareRequest(7, Height(11), Height(20), PREVIOUS, b"payload")
L1_CHAIN_ID, INBOX = 31_337, b"\x1b" * 20
PREFER, REQUIRE, HELD_ONLY = L1DataPolicy
HELD, CALLDATA = DataKind.HELD, DataKind.CALLDATA


# codecs


@pytest.mark.parametrize("payload", [b"", b"p", bytes(1_000)])
def test_a_request_comes_back(payload):
    request = replace(REQUEST, payload=payload)
    assert ShareRequest.decode(request.encode(), 1_000) == request
    assert len(request.encode()) == REQUEST_OVERHEAD_BYTES + len(payload)


def test_a_request_with_more_than_a_commit_may_hold_is_refused():
    with pytest.raises(DecodeError):
        ShareRequest.decode(replace(REQUEST, payload=bytes(1_001)).encode(), 1_000)


@pytest.mark.parametrize(("first", "last"), [(0, 20), (0, 0), (21, 20), (2**64 - 1, 1)])
def test_a_request_for_no_range_is_refused(first, last):
    with pytest.raises(DecodeError, match="a range"):
        ShareRequest.decode(replace(REQUEST, first=Height(first), last=Height(last)).encode(), 1_000)


def test_a_cut_or_lengthened_request_is_refused():
    encoded = REQUEST.encode()
    for wrong in (*(encoded[:end] for end in range(len(encoded))), encoded + b"\x00"):
        with pytest.raises(DecodeError):
            ShareRequest.decode(wrong, 1_000)


def test_a_request_that_claims_more_than_it_has_is_refused():
    encoded = REQUEST.encode().removesuffix(variable(b"payload")) + b"\xff\xff\xff\xff"
    with pytest.raises(DecodeError):
        ShareRequest.decode(encoded, 2**32)


SIGNED = ((HELD, b"\x01" * 96), (CALLDATA, b"\x02" * 96))


@pytest.mark.parametrize("answer", [*map(ShareAnswer, Word), ShareAnswer(Word.SHARES, SIGNED)])
def test_an_answer_comes_back(answer):
    assert ShareAnswer.decode(answer.encode()) == answer
    assert len(answer.encode()) <= 200


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        u8(len(Word)) + sequence([]),
        u8(0) + sequence([u8(2) + bytes(96)]),  # a kind that nobody asked for
        u8(0) + sequence([u8(0) + bytes(95)]),
        u8(0) + sequence([u8(0) + bytes(96)] * 3),
        u8(0) + b"\xff\xff\xff\xff",
        ShareAnswer(Word.BUSY).encode() + b"\x00",
        ShareAnswer(Word.SHARES, SIGNED).encode()[:-1],
    ],
)
def test_a_malformed_answer_is_refused(wrong):
    with pytest.raises(DecodeError):
        ShareAnswer.decode(wrong)


def test_words_and_policies_keep_their_numbers():
    assert {word.name: word.value for word in Word} == {
        "SHARES": 0,
        "BEHIND": 1,
        "MISMATCH": 2,
        "COMMITTED": 3,
        "BUSY": 4,
    }
    assert [policy.value for policy in (PREFER, REQUIRE, HELD_ONLY)] == [0, 1, 2]


# the place


END = ChainEnd(7, Height(11), PREVIOUS)


@pytest.mark.parametrize(
    ("changed", "executed", "word"),
    [
        ({}, 20, None),
        ({}, 99, None),
        ({"last": 11}, 11, None),
        ({"index": 6}, 99, Word.COMMITTED),
        ({"index": 6, "first": 1, "last": 10}, 5, Word.COMMITTED),
        ({"index": 8}, 99, Word.BEHIND),  # it has seen a batch that this validator has not
        ({}, 19, Word.BEHIND),
        ({"first": 12}, 99, Word.MISMATCH),  # a gap
        ({"first": 10}, 99, Word.MISMATCH),  # an overlap
        ({"previous": Hash(bytes(32))}, 99, Word.MISMATCH),  # another history of batches
        ({"first": 12}, 19, Word.BEHIND),
    ],
)
def test_what_the_place_of_a_request_tells(changed, executed, word):
    assert judge_place(replace(REQUEST, **changed), END, Height(executed)) is word


# the payload


class Node:
    """A committee's chain of four heights, and one validator's view of heights 1 to 3."""

    def __init__(self, items=(b"one", b"two", b"three")):
        self.committee = Committee()
        self.run = ChainRun(self.committee)
        self.run.block(10, self.run.data(0, items[0] * 100))
        self.run.block(20, {1: [self.run.seal(1, Segment(FIRST, raw=b"\x00\x00\x00\x09cut"))]})
        self.run.block(30, self.run.data(2, *items[1:]))
        self.run.block(40)

    def packed(self, first=1, last=3):
        blocks = [result.block for result in self.run.results[first - 1 : last]]
        held = [block for block in blocks if not block.is_empty]
        return pack(Height(first), blocks[-1], held, self._read)

    def payload(self, first=1, last=3, compression=Compression.ZLIB):
        return content_of(self.run, [result.block for result in self.run.results[first - 1 : last]]).encode(compression)

    def _read(self, part):
        return self.run.batches[part.digest].encoded[part.offset : part.offset + part.byte_count]


NODE = Node()
PARAMETERS = NODE.committee.chain.parameters


def signed_of(payload, own=None, policy=PREFER, last=3, **parameters):
    """The batches that the node signs for a payload, by kind; None for a mismatch."""
    request = ShareRequest(7, Height(1), Height(last), PREVIOUS, payload)
    changed = replace(PARAMETERS, l1_data=policy, **parameters)
    batches = batches_to_sign(request, own or NODE.packed(), changed, L1_CHAIN_ID, INBOX)
    return None if batches is None else {batch.data_kind: batch for batch in batches}


def test_what_is_signed_binds_the_own_blocks_and_the_payload():
    own, payload = NODE.packed(), NODE.payload()
    signed = signed_of(payload)
    assert signed is not None
    held = signed[HELD]
    assert (held.l1_chain_id, held.inbox, held.index) == (L1_CHAIN_ID, INBOX, 7)
    assert (held.first, held.last, held.previous) == (1, 3, PREVIOUS)
    assert (held.block_id, held.namespaces_root) == (own.block_id, own.namespaces_root)
    assert held.data_hash == own.held_hash
    assert (held.state_root, held.aux_root, held.forced_cursor) == (bytes(32), bytes(32), 0)
    assert signed[CALLDATA] == held.with_data(CALLDATA, sha256(payload))


@pytest.mark.parametrize("compression", Compression)
def test_the_same_bytes_are_signed_however_compressed(compression):
    payload = NODE.payload(compression=compression)
    signed = signed_of(payload)
    assert signed is not None
    assert signed[CALLDATA].data_hash == sha256(payload)


def test_compressing_need_not_be_deterministic():
    fresh = compress(NODE.packed())
    assert fresh is not None
    assert signed_of(fresh) is not None


def changed_byte(payload, place):
    return payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1 :]


PLAIN = NODE.payload(compression=Compression.NONE)


@pytest.mark.parametrize("place", range(0, len(PLAIN), 7))
def test_a_payload_with_a_byte_changed_is_a_mismatch(place):
    assert signed_of(changed_byte(PLAIN, place)) is None


@pytest.mark.parametrize(
    "wrong",
    [
        Node(items=(b"one", b"two", b"tree")).payload(),  # other transactions
        Node(items=(b"one", b"twothree")).payload(),
        NODE.payload(1, 2),  # a shorter range
        NODE.payload(2, 3),
        NODE.payload(1, 4),  # a longer one
        PLAIN[:1] + b"\x01" + PLAIN[2:],  # said to be compressed
        PLAIN[:1] + b"\x02" + PLAIN[2:],  # a compression that does not exist
        PLAIN + b"\x00",
        PLAIN[:-1],
        b"\x01",
        bytes(range(256)),
    ],
)
def test_another_payload_is_a_mismatch(wrong):
    assert signed_of(wrong) is None


def test_a_payload_above_the_bound_is_a_mismatch_before_it_is_read():
    assert signed_of(PLAIN, commit_bytes_max=len(PLAIN)) is not None
    assert signed_of(PLAIN, commit_bytes_max=len(PLAIN) - 1) is None


def test_a_range_that_ends_without_data_is_a_mismatch():
    own = NODE.packed(last=4)
    assert signed_of(b"", own, last=4) is None
    assert signed_of(NODE.payload(1, 4), own, last=4) is None


# where the data may be


@pytest.mark.parametrize(
    ("policy", "has_payload", "kinds"),
    [
        (PREFER, True, {HELD, CALLDATA}),  # one round: the poster may choose when it sends
        (PREFER, False, {HELD}),
        (REQUIRE, True, {CALLDATA}),
        (REQUIRE, False, None),  # nothing may be signed
        (HELD_ONLY, True, {HELD}),
        (HELD_ONLY, False, {HELD}),
    ],
)
def test_a_policy_says_what_is_signed(policy, has_payload, kinds):
    signed = signed_of(NODE.payload() if has_payload else b"", policy=policy)
    assert (None if signed is None else set(signed)) == kinds


def test_require_lets_a_single_block_be_held_that_cannot_fit():
    one, several = NODE.packed(1, 1), NODE.packed(1, 3)
    size = len(compress(one))
    for own, bytes_max, may_be_held in ((one, size - 1, True), (one, size, False), (several, size - 1, False)):
        parameters = replace(PARAMETERS, l1_data=REQUIRE, commit_bytes_max=bytes_max)
        kinds = allowed_kinds(parameters, own, has_payload=False)
        assert kinds == ((HELD,) if may_be_held else ())
    signed = signed_of(b"", one, REQUIRE, last=1, commit_bytes_max=size - 1)
    assert signed is not None
    assert set(signed) == {HELD}
