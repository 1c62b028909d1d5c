"""SEQ1 payloads: reading is the inverse of writing, and nothing else is read."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.errors import DecodeError
from consensus.vocabulary.payload import Compression, Payload, decode_payload, payload_parts, uncompressed_bytes
from tests.payload_tables import Content, contents

compressions = st.sampled_from(Compression)


def held(payload: Payload) -> Content:
    """What a payload says when it is read namespace by namespace."""
    runs = {
        namespace: [run for entry in payload.blocks_of(namespace) for run in entry.runs]
        for namespace in payload.namespaces
    }
    return Content(payload.table, runs)


@given(contents(), compressions)
def test_what_was_written_is_read(content: Content, compression: Compression) -> None:
    payload = decode_payload(content.encode(compression))
    assert payload.compression is compression
    assert held(payload) == content
    assert payload.holds_same(decode_payload(content.encode()))
    for namespace, runs in content.runs.items():
        assert payload.body(namespace) == b"".join(runs)
        entries = [*payload.blocks_of(namespace)]
        assert [entry.part.index for entry in entries] == [*range(entries[0].part.index, entries[-1].part.index + 1)]
        assert all(entry.part in entry.block.namespaces for entry in entries)


@given(contents())
def test_an_uncompressed_payload_is_as_long_as_said_and_the_sum_of_its_pieces(content: Content) -> None:
    encoded = content.encode()
    assert len(encoded) == uncompressed_bytes(content.table)
    assert len(content.table.encode()) == content.table.encoded_bytes()
    digest = sha256()
    for part in payload_parts(content.table, content.runs):
        digest.update(part)
    assert digest.digest() == sha256(encoded).digest()


@given(contents(), compressions, st.data())
def test_a_cut_or_lengthened_payload_is_refused(
    content: Content, compression: Compression, data: st.DataObject
) -> None:
    encoded = content.encode(compression)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    for wrong in (encoded[:cut], encoded + b"\x00", encoded + encoded):
        with pytest.raises(DecodeError):
            held(decode_payload(wrong))


@given(contents(), compressions, st.data())
def test_a_payload_with_a_byte_changed_is_refused_or_says_something_else(
    content: Content, compression: Compression, data: st.DataObject
) -> None:
    encoded = bytearray(content.encode(compression))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= data.draw(st.integers(1, 255))
    try:
        found = decode_payload(bytes(encoded))
        said = held(found)
    except DecodeError:
        return
    if found.compression is Compression.NONE:
        assert said.encode() == encoded  # the one encoding of what it says
        assert said != content
    else:
        # The header of a zlib stream has bits that change nothing of what it holds.
        assert said.table.encode() == bytes(encoded[2:][: said.table.encoded_bytes()])


@given(st.binary(max_size=400))
def test_noise_is_refused_without_harm(noise: bytes) -> None:
    for compression in Compression:
        with pytest.raises(DecodeError):
            held(decode_payload(b"\x01" + bytes([compression]) + noise))
