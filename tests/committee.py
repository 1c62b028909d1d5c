"""A committee with fixed keys for tests, and a chain of tips whose reports list given batches.

The tips are what execution sees: their reports, headers and parents are right; nobody votes for them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from consensus.bls import BlsKey
from consensus.genesis import ChainParameters, Genesis, Namespace, lane_report_batches_default
from consensus.numbers import (
    GENESIS_EPOCH,
    ZERO_HASH,
    Digest,
    Epoch,
    Height,
    Milliseconds,
    NamespaceId,
    Seq,
    Stake,
    ValidatorIndex,
    View,
)
from consensus.ordering.blocktime import block_anchor, block_time
from consensus.ordering.cut import determine_cut
from consensus.signing import NodeKey, sha256
from consensus.validators import Validator
from consensus.vocabulary.anchor import NO_ANCHOR, Anchor
from consensus.vocabulary.batch import Batch, BatchHeader, SegmentEntry, frame_items, seal_batch
from consensus.vocabulary.certificates import QC, VoteBody, genesis_qc
from consensus.vocabulary.report import LaneReport, LaneRow
from consensus.vocabulary.tip import Header, Tip, fresh_hash

GENESIS_MS = Milliseconds(1_700_000_000_000)
FIRST, SECOND = NamespaceId(1001), NamespaceId(1002)
ATTEST_MS = 50


def secret(label: str, index: int) -> bytes:
    """32 bytes below either curve's order, the same in every run."""
    return b"\x00" + hashlib.sha256(f"{label} {index}".encode()).digest()[1:]


@dataclass(frozen=True)
class Segment:
    """A segment to seal; `claimed_count` lies about the items if given, `raw` is used instead of framed items."""

    namespace: NamespaceId
    items: tuple[bytes, ...] = ()
    kind: int = 0
    claimed_count: int | None = None
    raw: bytes | None = None

    @property
    def data(self) -> bytes:
        return frame_items(list(self.items)) if self.raw is None else self.raw

    def entry(self) -> SegmentEntry:
        count = len(self.items) if self.claimed_count is None else self.claimed_count
        return SegmentEntry(self.namespace, self.kind, count, len(self.data), sha256(self.data))


class Committee:
    """Validators with fixed keys, and their genesis."""

    def __init__(self, stakes: Sequence[int] = (1, 1, 1, 1), namespaces: Sequence[int] = (FIRST, SECOND)) -> None:
        self.node_keys = [NodeKey(secret("node", index)) for index in range(len(stakes))]
        self.bls_keys = [BlsKey(secret("bls", index)) for index in range(len(stakes))]
        self.chain = Genesis(
            name="test",
            time_ms=GENESIS_MS,
            l1_chain_id=0,
            parameters=ChainParameters(
                attest_ms=ATTEST_MS, lane_report_batches=lane_report_batches_default(len(stakes))
            ),
            validators=tuple(
                Validator(Stake(stake), node.public_key, bls.public_key, bls.prove_possession())
                for stake, node, bls in zip(stakes, self.node_keys, self.bls_keys, strict=True)
            ),
            namespaces=tuple(Namespace(NamespaceId(item), f"rollup {item}") for item in namespaces),
        ).check()
        self.count = len(stakes)

    def seal(self, author: int, seq: int, prev_digest: Digest, segments: Sequence[Segment]) -> Batch:
        """A signed batch."""
        ordered = sorted(segments, key=lambda segment: (segment.namespace, segment.kind))
        entries = tuple(segment.entry() for segment in ordered)
        lane = ValidatorIndex(author)
        header = BatchHeader(GENESIS_EPOCH, lane, Seq(seq), prev_digest, Milliseconds(GENESIS_MS + seq), entries)
        return seal_batch(self.chain, self.node_keys[author], header, [segment.data for segment in ordered])


class LaneWriter:
    """Seals one author's batches one behind the other."""

    def __init__(self, committee: Committee, author: int) -> None:
        self._committee, self._author = committee, author
        self._seq, self._digest = 0, Digest(ZERO_HASH)

    def seal(self, *segments: Segment) -> Batch:
        self._seq += 1
        batch = self._committee.seal(self._author, self._seq, self._digest, segments)
        self._digest = batch.digest
        return batch


class TipBuilder:
    """A chain of committed tips, each ordering the batches that every validator is said to hold."""

    def __init__(self, committee: Committee) -> None:
        self._committee = committee
        chain = committee.chain
        self._justify = genesis_qc(chain.chain_id, chain.time_ms, committee.count)
        self._bases = [0] * committee.count

    def tip(self, ts_ms: int, batches: Mapping[int, Sequence[Batch]] | None = None, anchor: Anchor = NO_ANCHOR) -> Tip:
        """The next tip, at `ts_ms` after the genesis, with these further batches by lane, which is their order, too."""
        held = batches or {}
        view = View(self._justify.view + 1)
        sent_ms = Milliseconds(GENESIS_MS + ts_ms)
        rows = tuple(
            LaneRow(
                Seq(base),
                tuple((batch.digest, 9000 - 64 * lane - place) for place, batch in enumerate(held.get(lane, ()))),
            )
            for lane, base in enumerate(self._bases)
        )
        reports = tuple(
            LaneReport(GENESIS_EPOCH, view, ValidatorIndex(index), sent_ms, anchor, rows, bytes(65))
            for index in range(self._committee.count)
        )
        tip = self._finish(view, reports)
        for lane, added in held.items():
            self._bases[lane] += len(added)
        body = VoteBody(GENESIS_EPOCH, view, tip.id, view, tip.header.height, self._justify.view, tip.header.ts_ms)
        self._justify = QC(body, (), (), self._committee.count)
        return tip

    def _finish(self, view: View, reports: tuple[LaneReport, ...]) -> Tip:
        validators, justify = self._committee.chain.validator_set, self._justify
        header = Header(
            Epoch(0),
            view,
            Height(justify.body.height + 1),
            justify.body.block_id,
            justify.hash,
            validators.leader(view),
            block_time(reports, justify.body.ts_ms, validators),
            block_anchor(reports, validators),
            determine_cut(reports, validators).root(),
            ZERO_HASH,
            fresh_hash(None),
        )
        tip = Tip(header, bytes(65), justify, reports, None, self._committee.count)
        return replace(tip, header=replace(header, reports_hash=sha256(tip.reports_encoded)))
