"""What a receiver checks of a batch: form, hashes, author."""

from dataclasses import replace

import pytest

from consensus.encoding import decode_whole
from consensus.errors import DecodeError, InvalidObject
from consensus.numbers import ZERO_HASH, Digest, Epoch, Milliseconds, Seq, ValidatorIndex
from consensus.signing import sha256
from consensus.vocabulary.batch import Batch, BatchHeader, SegmentEntry, frame_items, seal_batch
from tests.committee import FIRST, SECOND, Committee

COMMITTEE = Committee()
DATA = frame_items([b"one", b"two"])
ENTRY = SegmentEntry(FIRST, 0, 2, len(DATA), sha256(DATA))


def sealed(*entries: SegmentEntry, segments: tuple[bytes, ...] = (DATA,), **changes: object) -> Batch:
    """A batch of validator 0 with its signature."""
    header = BatchHeader(Epoch(0), ValidatorIndex(0), Seq(1), Digest(ZERO_HASH), Milliseconds(5), entries)
    header = replace(header, **changes)  # type: ignore[arg-type]
    return seal_batch(COMMITTEE.chain, COMMITTEE.node_keys[0], header, list(segments))


def refused(reason: str):
    return pytest.raises(InvalidObject, match=f"^{reason}")


def test_a_signed_batch_that_holds_what_it_says_is_valid() -> None:
    batch = sealed(ENTRY)
    batch.check(COMMITTEE.chain)
    assert Batch.decode(batch.encoded, len(batch.encoded)).digest == batch.digest


def test_an_empty_batch_or_segment_is_never_sent() -> None:
    with refused("empty_batch"):
        sealed(segments=()).check(COMMITTEE.chain)
    with refused("empty_batch"):
        sealed(ENTRY, seq=Seq(0)).check(COMMITTEE.chain)
    empty = SegmentEntry(SECOND, 0, 0, 0, sha256(b""))
    with refused("empty_segment"):
        sealed(ENTRY, empty).check(COMMITTEE.chain)


def test_what_its_header_does_not_say_is_refused() -> None:
    with refused("segment_hash"):
        sealed(ENTRY, segments=(DATA[::-1],)).check(COMMITTEE.chain)
    with refused("wrong_epoch"):
        sealed(ENTRY, epoch=Epoch(1)).check(COMMITTEE.chain)
    with refused("unknown_author"):
        sealed(ENTRY, author=ValidatorIndex(4)).check(COMMITTEE.chain)


def test_another_authors_name_does_not_make_it_that_authors() -> None:
    with refused("bad_signature"):
        sealed(ENTRY, author=ValidatorIndex(1)).check(COMMITTEE.chain)


@pytest.mark.parametrize("kinds", [(0, 0), (1, 0)], ids=["twice", "falling"])
def test_segments_are_sorted_and_unique(kinds: tuple[int, int]) -> None:
    batch = sealed(*(replace(ENTRY, kind=kind) for kind in kinds), segments=(DATA, DATA))
    with pytest.raises(DecodeError, match="sorted and unique"):
        decode_whole(batch.header.encoded, BatchHeader.decode)
