"""Vectors of a whole chain as a client sees it: blocks, proofs and receipts, right ones and wrong ones."""

import copy
from collections.abc import Callable
from typing import Any

from consensus.numbers import GENESIS_EPOCH, Milliseconds, Seq, ValidatorIndex
from consensus.vocabulary.attestation import AttestationCertificate
from consensus.vocabulary.batch import transaction_id
from consensus.vocabulary.block import namespace_leaf
from consensus.vocabulary.receipt import Receipt, ReceiptItem
from sequencer.client.fields import to_hex
from sequencer.client.wire import namespace_block_to_json, proof_to_json, receipt_to_json
from tests.chain_run import ChainRun
from tests.committee import FIRST, SECOND, Committee, Segment


def chain_run(committee: Committee | None = None) -> ChainRun:
    """Four blocks: two namespaces, two batches in one block, an inert run, a foreign segment, an idle end."""
    run = ChainRun(committee or Committee())
    run.block(60, run.data(0, b"one", b"two"))
    run.block(70, run.data(1, b"other", namespace=SECOND))
    real = run.seal(2, Segment(FIRST, (b"three",)))
    inert = run.seal(2, Segment(FIRST, (b"x", b"y"), claimed_count=1), Segment(FIRST, (b"later",), kind=1))
    run.block(120, {2: [real, inert]} | run.data(3, b"four"))
    run.block(130, run.data(0, b"five"))
    run.block(140)
    return run


def _block(run: ChainRun, index: int) -> Any:
    delivered = run.delivered(index)
    return {
        "json": namespace_block_to_json(delivered),
        "encoded": to_hex(delivered.block.encode()),
        "hash": to_hex(delivered.hash),
        "sections_encoded": [to_hex(section.encode()) for section in delivered.block.sections],
        "segments": [{"data": to_hex(r.segment), "is_inert": r.item_count == 0} for r in delivered.runs],
    }


def _proof(run: ChainRun, height: int) -> Any:
    proof = run.proof(height)
    certificate: AttestationCertificate = proof.certificate
    return {
        "json": proof_to_json(proof),
        "leaf_encoded": to_hex(namespace_leaf(proof.namespace, proof.index, proof.hash)),
        "attestation_encoded": to_hex(certificate.attestation.encode()),
        "signing_digest": to_hex(certificate.attestation.signing_digest(run.committee.chain.domain)),
        "certificate_encoded": to_hex(certificate.encode()),
    }


def _changed(answer: Any, change: Callable[[Any], None]) -> Any:
    changed = copy.deepcopy(answer)
    change(changed)
    return changed


def namespace() -> Any:
    """All blocks of one namespace with the proof of the newest, and answers that must be refused."""
    run = chain_run()
    heights = sorted(run.attestations)
    blocks = [_block(run, index) for index in range(len(run.executed[FIRST]))]
    answer = {"blocks": [block["json"] for block in blocks], "proof": _proof(run, heights[-1])["json"]}

    def swap_inert(shown: Any) -> None:
        runs = shown["blocks"][1]["sections"][0]["runs"]
        section = shown["blocks"][1]["sections"][0]
        runs[0], runs[1] = (
            {**runs[0], "item_count": 0, "data": "0x000000057468726565"},
            {**runs[1], "item_count": 2, "data": None},
        )
        section["transactions"] = ["0x78", "0x79", section["transactions"][1]]

    refused: dict[str, Callable[[Any], None]] = {
        "a block is left out": lambda shown: shown["blocks"].pop(1),
        "the newest block is withheld": lambda shown: shown["blocks"].pop(),
        "a transaction is replaced": lambda shown: shown["blocks"][0]["sections"][0]["transactions"].reverse(),
        "an inert run is given items, and a real one is declared inert": swap_inert,
        "an older proof": lambda shown: shown.update(proof=_proof(run, heights[0])["json"]),
        "another side": lambda shown: shown["proof"].update(sides=["left"]),
        "less than a quorum": lambda shown: shown["proof"]["attestation"].update(bitmap="0xc0"),
        "a signer that did not sign": lambda shown: shown["proof"]["attestation"].update(bitmap="0xf0"),
    }
    return {
        "genesis": to_hex(run.committee.chain.encode()),
        "chain_id": to_hex(run.committee.chain.chain_id),
        "namespace": FIRST,
        "attested_heights": heights,
        "blocks": blocks,
        "transactions": [["one", "two"], ["three", "four"], ["five"]],
        "proofs": [_proof(run, height) for height in heights],
        "refused": [{"why": why, "answer": _changed(answer, change)} for why, change in refused.items()],
    }


def receipt() -> Any:
    """A receipt, its batch's header, and where its item stands in the namespace's second block."""
    run = chain_run()
    chain = run.committee.chain
    batch = next(b for b in run.batches.values() if (b.header.author, b.header.seq) == (3, 1))
    items = (ReceiptItem(FIRST, 0, transaction_id(FIRST, 0, b"four"), 0),)
    signed = Receipt(
        chain.chain_id, GENESIS_EPOCH, ValidatorIndex(3), Seq(1), batch.digest, Milliseconds(1_700_000_000_100), items
    ).sign(chain, run.committee.node_keys[3])
    return {
        "genesis": to_hex(chain.encode()),
        "receipt": receipt_to_json(signed),
        "encoded": to_hex(signed.encode()),
        "batch_header": to_hex(batch.header.encoded),
        "namespace_index": 1,
        "position": 1,
    }
