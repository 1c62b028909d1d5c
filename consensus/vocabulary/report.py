"""A lane report: how far one validator holds every lane, when each new batch arrived, its clock and its L1 head.

Responsible for: the report and its signed bytes, and the compact form in which a tip carries a quorum of them.
Refuses to do: conclude anything from reports (`consensus/ordering`).

Invariants:
1. `lanes` has one row for every validator's lane, by index.
2. `base_seq` is the highest seq up to which the reporter holds, synced, every *committed* batch of the lane ▲
   (`replica/reporting.py` keeps it so).
3. The compact form is canonical: the reports are sorted by validator; per lane a table of (seq, digests), sorted,
   holds exactly the digests that some report lists; a report names an alternative only where a seq has several.
   Decoding rebuilds the very bytes that each reporter signed.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property

from consensus import limits
from consensus.encoding import Reader, sequence, u8, u16, u32, u64, varint
from consensus.errors import DecodeError
from consensus.genesis import Genesis, lane_report_batches_default
from consensus.numbers import Digest, Epoch, Hash, Milliseconds, Seq, ValidatorIndex, View
from consensus.signing import SIGNATURE_BYTES, Kind, NodeKey
from consensus.vocabulary.anchor import Anchor

_SEQ_MAX = 2**63 - 1
_DIGESTS_PER_SEQ_MAX = limits.VALIDATORS_MAX


@dataclass(frozen=True, slots=True)
class LaneRow:
    """One lane: the base, then for each later contiguous batch held its digest and age (u32 ms) at `sent_ms`."""

    base_seq: Seq
    batches: tuple[tuple[Digest, int], ...]

    @property
    def last_seq(self) -> int:
        """The last seq held without a gap."""
        return self.base_seq + len(self.batches)

    def encode(self) -> bytes:
        """base_seq ‖ list of (digest, age_ms)."""
        return u64(self.base_seq) + sequence([digest + u32(age_ms) for digest, age_ms in self.batches])

    @staticmethod
    def decode(reader: Reader) -> "LaneRow":
        """The inverse of `encode`."""
        base_seq = _read_base(reader)
        return LaneRow(base_seq, reader.sequence(limits.LANE_REPORT_BATCHES_CEILING, _read_listed))


def _read_base(reader: Reader) -> Seq:
    base_seq = reader.u64()
    if base_seq > _SEQ_MAX:
        raise DecodeError("a lane seq stays below 2^63")
    return Seq(base_seq)


def _read_listed(reader: Reader) -> tuple[Digest, int]:
    return Digest(reader.fixed(32)), reader.u32()


@dataclass(frozen=True)
class LaneReport:
    """A vote extension for `view`: sent with the vote of view − 1, on entering, and while the leader waits."""

    epoch: Epoch
    view: View
    validator: ValidatorIndex
    sent_ms: Milliseconds
    l1_final: Anchor
    lanes: tuple[LaneRow, ...]
    signature: bytes = b""

    @cached_property
    def body(self) -> bytes:
        """The signed bytes."""
        return (
            u64(self.epoch)
            + u64(self.view)
            + u16(self.validator)
            + u64(self.sent_ms)
            + self.l1_final.encode()
            + sequence([row.encode() for row in self.lanes])
        )

    @property
    def encoded(self) -> bytes:
        """body ‖ signature."""
        return self.body + self.signature

    @staticmethod
    def decode(reader: Reader) -> "LaneReport":
        """Reads a report; raises `DecodeError`."""
        epoch, view, validator = Epoch(reader.u64()), View(reader.u64()), ValidatorIndex(reader.u16())
        sent_ms = read_time(reader)
        return LaneReport(
            epoch,
            view,
            validator,
            sent_ms,
            Anchor.decode(reader),
            reader.sequence(limits.VALIDATORS_MAX, LaneRow.decode),
            reader.fixed(SIGNATURE_BYTES),
        )

    def signing_digest(self, chain: Genesis) -> Hash:
        """What the reporter signs."""
        return chain.domain.digest(Kind.LANE_REPORT, self.epoch, self.body)

    def sign(self, chain: Genesis, key: NodeKey) -> "LaneReport":
        """The same report with its signature."""
        return LaneReport(
            self.epoch,
            self.view,
            self.validator,
            self.sent_ms,
            self.l1_final,
            self.lanes,
            key.sign(self.signing_digest(chain)),
        )


def read_time(reader: Reader) -> Milliseconds:
    """A u64 time within TIMESTAMP_MS_MAX, so that no later sum or JSON number overflows."""
    value = reader.u64()
    if value > limits.TIMESTAMP_MS_MAX:
        raise DecodeError("a time beyond the year 287,000")
    return Milliseconds(value)


def _lane_table(reports: tuple[LaneReport, ...], lane: int) -> dict[int, list[Digest]]:
    """seq → the digests that some report lists there, sorted."""
    table: dict[int, set[Digest]] = {}
    for report in reports:
        row = report.lanes[lane]
        for place, (digest, _) in enumerate(row.batches, 1):
            table.setdefault(row.base_seq + place, set()).add(digest)
    return {seq: sorted(table[seq]) for seq in sorted(table)}


def encode_reports(reports: tuple[LaneReport, ...], count: int) -> bytes:
    """The compact form of reports over `count` lanes, sorted by validator. See invariant 3."""
    tables = [_lane_table(reports, lane) for lane in range(count)]
    parts = [
        sequence([u64(seq) + u8(len(found)) + b"".join(found) for seq, found in table.items()]) for table in tables
    ]
    parts.append(u32(len(reports)))
    for report in reports:
        parts.append(u16(report.validator) + u64(report.sent_ms) + report.l1_final.encode() + report.signature)
        for table, row in zip(tables, report.lanes, strict=True):
            parts.append(u64(row.base_seq) + varint(len(row.batches)))
            for place, (digest, age_ms) in enumerate(row.batches, 1):
                alternatives = table[row.base_seq + place]
                if len(alternatives) > 1:
                    parts.append(u8(alternatives.index(digest)))
                parts.append(varint(age_ms))
    return b"".join(parts)


class _Table:
    """One lane's digests while compact reports are decoded; notes which of them were used."""

    def __init__(self, reader: Reader, rows_max: int) -> None:
        self.digests: dict[int, tuple[Digest, ...]] = {}
        self.unused: set[tuple[int, int]] = set()
        last = 0
        for _ in range(reader.count(rows_max)):
            seq, found_count = reader.u64(), reader.u8()
            if seq <= last or not 1 <= found_count <= _DIGESTS_PER_SEQ_MAX:
                raise DecodeError("a lane table is sorted by seq, with one digest or more each")
            found = tuple(Digest(reader.fixed(32)) for _ in range(found_count))
            if any(a >= b for a, b in itertools.pairwise(found)):
                raise DecodeError("the digests of a seq are sorted and distinct")
            self.digests[seq] = found
            self.unused.update((seq, place) for place in range(found_count))
            last = seq

    def row(self, reader: Reader, batches_max: int) -> LaneRow:
        """Reads one report's row of this lane."""
        base_seq = _read_base(reader)
        listed_count = reader.varint()
        if listed_count > batches_max:
            raise DecodeError("a report lists more batches than its bound")
        batches = []
        for seq in range(base_seq + 1, base_seq + 1 + listed_count):
            found = self.digests.get(seq)
            if found is None:
                raise DecodeError("a report lists a seq that the table lacks")
            place = reader.u8() if len(found) > 1 else 0
            if place >= len(found):
                raise DecodeError("a report names an alternative that the table lacks")
            self.unused.discard((seq, place))
            batches.append((found[place], reader.varint()))
        return LaneRow(base_seq, tuple(batches))


def decode_reports(reader: Reader, epoch: Epoch, view: View, count: int) -> tuple[LaneReport, ...]:
    """Reads the compact form of reports for `view` by `count` validators. Raises `DecodeError`."""
    batches_max = lane_report_batches_default(count)
    tables = [_Table(reader, count * batches_max) for _ in range(count)]
    reports: list[LaneReport] = []
    for _ in range(reader.count(count)):
        validator, sent_ms, l1_final = ValidatorIndex(reader.u16()), read_time(reader), Anchor.decode(reader)
        signature = reader.fixed(SIGNATURE_BYTES)
        lanes = tuple(table.row(reader, batches_max) for table in tables)
        if reports and reports[-1].validator >= validator:
            raise DecodeError("reports are sorted by validator, each once")
        reports.append(LaneReport(epoch, view, validator, sent_ms, l1_final, lanes, signature))
    if any(table.unused for table in tables):
        raise DecodeError("a lane table holds a digest that no report lists")
    return tuple(reports)
