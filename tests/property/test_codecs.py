"""Every object of the vocabulary: decoding is the inverse of encoding, and accepts nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consensus.encoding import Reader, decode_whole, u16, u32, u64
from consensus.errors import DecodeError
from consensus.evidence.proofs import decode_proof, encode_proof
from consensus.merkle import PathStep, decode_path, encode_path
from consensus.numbers import Digest, Epoch, Milliseconds, Seq, ValidatorIndex, View
from consensus.vocabulary.anchor import NO_ANCHOR, Anchor
from consensus.vocabulary.attestation import Attestation, AttestationCertificate, AttestationShare
from consensus.vocabulary.batch import BatchHeader, SegmentEntry
from consensus.vocabulary.block import NamespaceBlock
from consensus.vocabulary.certificates import QC, TC, TimeoutBody, VoteBody, decode_certificate, encode_certificate
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.receipt import Receipt
from consensus.vocabulary.report import LaneReport, LaneRow, decode_reports, encode_reports
from consensus.vocabulary.tip import Header, Tip
from tests.property import evidence
from tests.property import vocabulary as v

EPOCH, VIEW = Epoch(0), View(9)


@dataclass(frozen=True)
class Codec:
    """One type: how it is made, written and read."""

    values: st.SearchStrategy[Any]
    encode: Callable[[Any], bytes]
    decode: Callable[[Reader], Any]


def encoded(value: Any) -> bytes:
    data = value.encode() if hasattr(value, "encode") else value.encoded
    assert isinstance(data, bytes)
    return data


CODECS = {
    "anchor": Codec(v.anchors, encoded, Anchor.decode),
    "attestation": Codec(v.attestations, encoded, Attestation.decode),
    "attestation share": Codec(v.shares, encoded, AttestationShare.decode),
    "attestation certificate": Codec(
        v.attestation_certificates, encoded, lambda reader: AttestationCertificate.decode(reader, v.COUNT)
    ),
    "segment entry": Codec(v.segment_entries, encoded, SegmentEntry.decode),
    "batch header": Codec(v.batch_headers, encoded, BatchHeader.decode),
    "namespace block": Codec(v.namespace_blocks, encoded, NamespaceBlock.decode),
    "receipt": Codec(v.receipts, encoded, Receipt.decode),
    "lane report": Codec(v.lane_reports, encoded, LaneReport.decode),
    "compact reports": Codec(
        v.reports_of(EPOCH, VIEW),
        lambda reports: encode_reports(reports, v.COUNT),
        lambda reader: decode_reports(reader, EPOCH, VIEW, v.COUNT),
    ),
    "vote body": Codec(v.vote_bodies, encoded, VoteBody.decode),
    "timeout body": Codec(v.timeout_bodies, encoded, TimeoutBody.decode),
    "qc": Codec(v.qcs, encoded, lambda reader: QC.decode(reader, v.COUNT)),
    "tc": Codec(v.tcs, encoded, lambda reader: TC.decode(reader, v.COUNT)),
    "certificate": Codec(
        st.one_of(v.qcs, v.tcs), encode_certificate, lambda reader: decode_certificate(reader, v.COUNT)
    ),
    "header": Codec(v.headers, encoded, Header.decode),
    "tip": Codec(v.tips, encoded, lambda reader: Tip.decode(reader, v.COUNT)),
    "proposal": Codec(v.proposals, encoded, lambda reader: Proposal.decode(reader, v.COUNT)),
    "vote": Codec(v.votes, encoded, Vote.decode),
    "timeout": Codec(v.timeouts, encoded, lambda reader: Timeout.decode(reader, v.COUNT)),
    "proof of a fault": Codec(
        evidence.proofs, encode_proof, lambda reader: decode_proof(reader.fixed(reader.remaining), v.COUNT)
    ),
    "merkle path": Codec(
        st.lists(st.builds(PathStep, v.hashes, st.booleans()), max_size=5).map(tuple), encode_path, decode_path
    ),
}


def mutate(data: bytes, draw: st.DataObject) -> bytes:
    """One byte changed, removed, inserted or repeated; a piece moved; or the end cut off."""
    if not data:
        return draw.draw(st.binary(min_size=1, max_size=4), "instead of nothing")
    at = draw.draw(st.integers(0, len(data) - 1), "place")
    to = draw.draw(st.integers(at, min(len(data), at + 40)), "end")
    byte = draw.draw(st.binary(min_size=1, max_size=1), "byte")
    return draw.draw(
        st.sampled_from(
            [
                data[:at] + byte + data[at + 1 :],
                data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :],
                data[:at] + data[at + 1 :],
                data[:at] + byte + data[at:],
                data[:to] + data[at:to] + data[to:],
                data[to:] + data[:to],
                data[:at],
                data + byte,
            ]
        ),
        "mutant",
    )


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())
@given(data=st.data())
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_there_and_back(codec: Codec, data: st.DataObject) -> None:
    value = data.draw(codec.values)
    assert decode_whole(codec.encode(value), codec.decode) == value


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())
@given(data=st.data())
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_no_beginning_of_it_and_nothing_longer_is_accepted(codec: Codec, data: st.DataObject) -> None:
    whole = codec.encode(data.draw(codec.values))
    cut = whole[: data.draw(st.integers(0, len(whole) - 1), "length")]
    longer = whole + data.draw(st.binary(min_size=1, max_size=4), "behind")
    for changed in (cut, longer):
        with pytest.raises(DecodeError):
            decode_whole(changed, codec.decode)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())
@given(data=st.data())
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_whatever_is_accepted_is_the_one_encoding(codec: Codec, data: st.DataObject) -> None:
    mutant = mutate(codec.encode(data.draw(codec.values)), data)
    try:
        value = decode_whole(mutant, codec.decode)
    except DecodeError:
        return
    assert codec.encode(value) == mutant


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())
@given(data=st.binary(max_size=300))
@settings(max_examples=25)
def test_any_bytes_at_all_are_refused_or_the_one_encoding(codec: Codec, data: bytes) -> None:
    try:
        value = decode_whole(data, codec.decode)
    except DecodeError:
        return
    assert codec.encode(value) == data


@given(data=st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_compact_reports_are_canonical_and_rebuild_the_bytes_that_were_signed(data: st.DataObject) -> None:
    reports = data.draw(v.reports_of(EPOCH, VIEW))
    compact = encode_reports(reports, v.COUNT)

    def read(reader: Reader) -> tuple[LaneReport, ...]:
        return decode_reports(reader, EPOCH, VIEW, v.COUNT)

    assert [report.body for report in decode_whole(compact, read)] == [report.body for report in reports]
    mutant = mutate(compact, data)
    try:
        accepted = decode_whole(mutant, read)
    except DecodeError:
        return
    assert encode_reports(accepted, v.COUNT) == mutant


def report_of(validator: int, *listed: tuple[bytes, int]) -> LaneReport:
    row = LaneRow(Seq(0), tuple((Digest(digest * 32), age_ms) for digest, age_ms in listed))
    lanes = (row, LaneRow(Seq(0), ()))
    return LaneReport(EPOCH, VIEW, ValidatorIndex(validator), Milliseconds(5), NO_ANCHOR, lanes, bytes(65))


def test_the_layout_of_compact_reports() -> None:
    """Two lanes, the second empty; two reports that differ at seq 1: the tables, then offsets and ages by report."""
    compact = encode_reports((report_of(2, (b"\x0a", 7), (b"\x0c", 300)), report_of(4, (b"\x0b", 0))), 2)
    tables = u32(2) + u64(1) + b"\x02" + b"\x0a" * 32 + b"\x0b" * 32 + u64(2) + b"\x01" + b"\x0c" * 32 + u32(0)
    head = u64(5) + bytes(40) + bytes(65)
    empty_row = u64(0) + b"\x00"
    first = u16(2) + head + u64(0) + b"\x02" + b"\x00\x07" + b"\xac\x02" + empty_row
    second = u16(4) + head + u64(0) + b"\x01" + b"\x01\x00" + empty_row
    assert compact == tables + u32(2) + first + second


AT_ONE = b"\x02" + b"\x0a" * 32 + b"\x0b" * 32  # two digests at seq 1
AT_TWO = u64(2) + b"\x01" + b"\x0c" * 32
OTHER_FORMS = {
    "digests the other way round": (AT_ONE, b"\x02" + b"\x0b" * 32 + b"\x0a" * 32, "sorted"),
    "a digest twice": (AT_ONE, b"\x02" + b"\x0a" * 64, "sorted"),
    "a digest that nobody lists": (AT_ONE, b"\x03" + b"\x0a" * 32 + b"\x0b" * 32 + b"\x0d" * 32, "no report lists"),
    "no digest at a seq": (AT_TWO, u64(2) + b"\x00", "one digest or more"),
    "a seq twice": (AT_TWO, u64(1) + b"\x01" + b"\x0c" * 32, "sorted by seq"),
    "a seq that nobody lists": (AT_TWO, u64(3) + b"\x01" + b"\x0c" * 32, "lacks"),
    "an alternative that does not exist": (b"\x01\x01\x00", b"\x01\x02\x00", "alternative"),
    "a shorter row": (b"\x02\x00\x07\xac\x02", b"\x01\x00\x07", "no report lists"),
    "an age with a longer varint": (b"\x00\x07\xac\x02", b"\x00\x87\x00\xac\x02", "minimal"),
    "a validator twice": (u16(4) + u64(5), u16(2) + u64(5), "each once"),
    "validators the other way round": (u16(4) + u64(5), u16(1) + u64(5), "sorted by validator"),
    "more reports than validators": (u32(2) + u16(2), u32(3) + u16(2), "above its bound"),
}


@pytest.mark.parametrize(("old", "new", "why"), OTHER_FORMS.values(), ids=OTHER_FORMS.keys())
def test_no_other_form_of_compact_reports_is_accepted(old: bytes, new: bytes, why: str) -> None:
    compact = encode_reports((report_of(2, (b"\x0a", 7), (b"\x0c", 300)), report_of(4, (b"\x0b", 0))), 2)
    place = compact.index(old)
    altered = compact[:place] + new + compact[place + len(old) :]
    with pytest.raises(DecodeError, match=why):
        decode_whole(altered, lambda reader: decode_reports(reader, EPOCH, VIEW, 2))
