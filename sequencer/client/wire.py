"""The JSON shapes of attestations, proofs, namespace blocks and receipts: one definition for node and client.

Responsible for: writing typed objects as JSON values and reading them back.
Refuses to do: verify anything (`verify.py`); an object that was read is only well-formed.

Invariants:
1. Reading what was written gives the same object. Errors are `MalformedAnswer`.
2. A redundant field (version, counts) that contradicts the rest is malformed.
3. A section's bytes arrive once: `transactions` in order, and `runs` that say how they are grouped. A run of
   `item_count` ≥ 1 takes the next that many transactions, and its bytes are those, each behind its u32 length. An inert
   run has `item_count` 0 and its bytes in `data`, which is null otherwise.
4. `lane`, `seq` and `batch` of a run say where it came from. They are the node's word: no root covers them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus import bls
from consensus.encoding import Reader, bitmap
from consensus.errors import DecodeError
from consensus.genesis import Genesis
from consensus.merkle import PATH_STEPS_MAX, Path, PathStep
from consensus.numbers import (
    BlockId,
    Digest,
    Epoch,
    Hash,
    Height,
    Milliseconds,
    NamespaceId,
    NamespaceIndex,
    Seq,
    ValidatorIndex,
)
from consensus.signing import SIGNATURE_BYTES
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.attestation import ATTESTATION_VERSION, Attestation, AttestationCertificate
from consensus.vocabulary.batch import frame_items, parse_segment
from consensus.vocabulary.block import NAMESPACE_BLOCK_VERSION, NamespaceBlock, Section, SectionKind
from consensus.vocabulary.receipt import RECEIPT_VERSION, Receipt, ReceiptItem
from sequencer.client.errors import MalformedAnswer
from sequencer.client.fields import Fields, JsonObject, as_bytes, namespace_to_json, to_hex

_U8_MAX = 2**8 - 1
_U16_MAX = 2**16 - 1
_U32_MAX = 2**32 - 1
_SIDES = {True: "left", False: "right"}


@dataclass(frozen=True, slots=True)
class DeliveredRun:
    """One segment of open transactions as a block contains it. `item_count` 0 means inert."""

    lane: ValidatorIndex
    seq: Seq
    batch: Digest
    item_count: int
    segment: bytes  # u32 length ‖ item, repeated, if it is not inert


@dataclass(frozen=True, slots=True)
class DeliveredBlock:
    """A namespace block, the hash that the node states for it, and the runs of its open section in order."""

    block: NamespaceBlock
    hash: Hash
    runs: tuple[DeliveredRun, ...]


@dataclass(frozen=True, slots=True)
class NamespaceProof:
    """That `hash` is `namespace`'s newest block, number `index`, up to the attested height."""

    certificate: AttestationCertificate
    path: Path
    namespace: NamespaceId
    index: NamespaceIndex
    hash: Hash


def anchor_to_json(anchor: Anchor) -> JsonObject:
    """`{number, hash}`."""
    return {"number": anchor.number, "hash": to_hex(anchor.hash)}


def anchor_from_json(fields: Fields) -> Anchor:
    """The inverse of `anchor_to_json`."""
    return Anchor(fields.number("number"), fields.hash("hash"))


def attestation_to_json(certificate: AttestationCertificate) -> JsonObject:
    """An attestation with its certificate's bitmap and aggregate signature."""
    attestation = certificate.attestation
    return {
        "version": ATTESTATION_VERSION,
        "epoch": attestation.epoch,
        "height": attestation.height,
        "block_id": to_hex(attestation.block_id),
        "namespaces_root": to_hex(attestation.namespaces_root),
        "state_root": to_hex(attestation.state_root),
        "forced_cursor": attestation.forced_cursor,
        "aux_root": to_hex(attestation.aux_root),
        "bitmap": to_hex(bitmap(certificate.signers, certificate.count)),
        "signature": to_hex(certificate.signature),
    }


def attestation_from_json(value: object, chain: Genesis) -> AttestationCertificate:
    """The inverse of `attestation_to_json`; the chain says how many validators the bitmap covers."""
    fields = Fields(value, "attestation")
    fields.constant("version", ATTESTATION_VERSION)
    attestation = Attestation(
        Epoch(fields.number("epoch")),
        Height(fields.number("height")),
        BlockId(fields.hash("block_id")),
        fields.hash("namespaces_root"),
        fields.hash("state_root"),
        fields.number("forced_cursor"),
        fields.hash("aux_root"),
    )
    count = chain.validator_set.count
    reader = Reader(fields.data("bitmap", (count + 7) // 8))
    try:
        signers = tuple(ValidatorIndex(index) for index in reader.bitmap(count))
    except DecodeError as error:
        raise MalformedAnswer(f"attestation.bitmap: {error}") from error
    return AttestationCertificate(attestation, signers, fields.data("signature", bls.SIGNATURE_BYTES), count)


def proof_to_json(proof: NamespaceProof) -> JsonObject:
    """`{attestation, path, sides, leaf}`; sides[i] is where path[i] stands, seen from the leaf upwards."""
    return {
        "attestation": attestation_to_json(proof.certificate),
        "path": [to_hex(step.sibling) for step in proof.path],
        "sides": [_SIDES[step.is_left] for step in proof.path],
        "leaf": {
            "namespace": namespace_to_json(proof.namespace),
            "index": proof.index,
            "hash": to_hex(proof.hash),
        },
    }


def proof_from_json(value: object, chain: Genesis) -> NamespaceProof:
    """The inverse of `proof_to_json`."""
    fields = Fields(value, "proof")
    siblings = fields.items("path", lambda item, name: Hash(as_bytes(item, name, 32)))
    sides = fields.items("sides", _read_side)
    if len(siblings) != len(sides) or len(siblings) > PATH_STEPS_MAX:
        raise MalformedAnswer(f"proof.path and proof.sides have one length of at most {PATH_STEPS_MAX}")
    leaf = fields.object("leaf")
    return NamespaceProof(
        attestation_from_json(fields["attestation"], chain),
        tuple(PathStep(sibling, is_left) for sibling, is_left in zip(siblings, sides, strict=True)),
        leaf.namespace(),
        NamespaceIndex(leaf.number("index")),
        leaf.hash("hash"),
    )


def _read_side(value: object, name: str) -> bool:
    if value not in ("left", "right"):
        raise MalformedAnswer(f"{name} is left or right")
    return value == "left"


def namespace_block_to_json(delivered: DeliveredBlock) -> JsonObject:
    """A namespace block with the bytes of its open section."""
    block = delivered.block
    return {
        "version": NAMESPACE_BLOCK_VERSION,
        "namespace": namespace_to_json(block.namespace),
        "index": block.index,
        "height": block.height,
        "block_id": to_hex(block.block_id),
        "prev_hash": to_hex(block.prev_hash),
        "hash": to_hex(delivered.hash),
        "ts_ms": block.ts_ms,
        "l1_anchor": anchor_to_json(block.l1_anchor),
        "tx_count": sum(section.item_count for section in block.sections),
        "byte_count": sum(section.byte_count for section in block.sections),
        "data_root": to_hex(block.data_root),
        "sections": [_section_to_json(section, delivered.runs) for section in block.sections],
    }


def _section_to_json(section: Section, runs: Sequence[DeliveredRun]) -> JsonObject:
    if section.section != SectionKind.OPEN:
        raise ValueError(f"section {section.section} is not in use")
    transactions: list[str] = []
    for run in runs:
        if run.item_count:
            items = parse_segment(run.segment, run.item_count, len(run.segment))
            if items is None:
                raise ValueError("a run that is not inert has the items that it states")
            transactions.extend(to_hex(item) for item in items)
    return {
        "section": section.section.name.lower(),
        "item_count": section.item_count,
        "byte_count": section.byte_count,
        "root": to_hex(section.root),
        "runs": [
            {
                "lane": run.lane,
                "seq": run.seq,
                "batch": to_hex(run.batch),
                "item_count": run.item_count,
                "data": None if run.item_count else to_hex(run.segment),
            }
            for run in runs
        ],
        "transactions": transactions,
    }


def namespace_block_from_json(value: object) -> DeliveredBlock:
    """The inverse of `namespace_block_to_json`."""
    fields = Fields(value, "block")
    fields.constant("version", NAMESPACE_BLOCK_VERSION)
    sections = fields.items("sections", _section_from_json)
    if len(sections) != 1:
        raise MalformedAnswer("block.sections holds the open section")
    section, runs = sections[0]
    fields.constant("tx_count", section.item_count)
    fields.constant("byte_count", section.byte_count)
    block = NamespaceBlock(
        fields.namespace(),
        NamespaceIndex(fields.number("index")),
        fields.hash("prev_hash"),
        Height(fields.number("height")),
        BlockId(fields.hash("block_id")),
        Milliseconds(fields.number("ts_ms")),
        anchor_from_json(fields.object("l1_anchor")),
        (section,),
        fields.hash("data_root"),
    )
    return DeliveredBlock(block, fields.hash("hash"), runs)


def _section_from_json(value: object, name: str) -> tuple[Section, tuple[DeliveredRun, ...]]:
    fields = Fields(value, name)
    fields.constant("section", "open")
    transactions = fields.items("transactions", as_bytes)
    runs: list[DeliveredRun] = []
    taken = 0
    for run in fields.items("runs", Fields):
        item_count = run.number("item_count", _U32_MAX)
        if item_count > len(transactions) - taken:
            raise MalformedAnswer(f"{name}.runs name more items than {name}.transactions has")
        items = transactions[taken : taken + item_count]
        taken += item_count
        if item_count:
            run.constant("data", None)
        segment = frame_items(items) if item_count else run.data("data")
        lane, seq = ValidatorIndex(run.number("lane", _U16_MAX)), Seq(run.number("seq"))
        runs.append(DeliveredRun(lane, seq, Digest(run.hash("batch")), item_count, segment))
    if taken != len(transactions):
        raise MalformedAnswer(f"{name}.transactions has items that belong to no run")
    item_count, byte_count = fields.number("item_count", _U32_MAX), fields.number("byte_count")
    return Section(SectionKind.OPEN, item_count, byte_count, fields.hash("root")), tuple(runs)


def receipt_to_json(receipt: Receipt) -> JsonObject:
    """A signed receipt."""
    return {
        "version": RECEIPT_VERSION,
        "chain_id": to_hex(receipt.chain_id),
        "epoch": receipt.epoch,
        "lane": receipt.lane,
        "seq": receipt.seq,
        "batch": to_hex(receipt.batch),
        "received_ms": receipt.received_ms,
        "items": [
            {
                "hash": to_hex(item.hash),
                "namespace": namespace_to_json(item.namespace),
                "kind": item.kind,
                "index": item.index,
            }
            for item in receipt.items
        ],
        "signature": to_hex(receipt.signature),
    }


def receipt_from_json(value: object) -> Receipt:
    """The inverse of `receipt_to_json`."""
    fields = Fields(value, "receipt")
    fields.constant("version", RECEIPT_VERSION)
    return Receipt(
        fields.hash("chain_id"),
        Epoch(fields.number("epoch")),
        ValidatorIndex(fields.number("lane", _U16_MAX)),
        Seq(fields.number("seq")),
        Digest(fields.hash("batch")),
        Milliseconds(fields.number("received_ms")),
        tuple(fields.items("items", _receipt_item_from_json)),
        fields.data("signature", SIGNATURE_BYTES),
    )


def _receipt_item_from_json(value: object, name: str) -> ReceiptItem:
    fields = Fields(value, name)
    return ReceiptItem(
        fields.namespace(), fields.number("kind", _U8_MAX), fields.hash("hash"), fields.number("index", _U32_MAX)
    )
