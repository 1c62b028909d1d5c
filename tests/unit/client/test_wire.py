"""The JSON shapes: what is written is read back, and what contradicts itself or its bounds is refused."""

import json
from typing import Any

import pytest

from consensus.numbers import GENESIS_EPOCH, Milliseconds, NamespaceId, Seq, ValidatorIndex
from consensus.vocabulary.batch import transaction_id
from consensus.vocabulary.receipt import Receipt, ReceiptItem
from sequencer.client.errors import MalformedAnswer
from sequencer.client.fields import NUMBER_MAX, namespace_from_json, namespace_to_json
from sequencer.client.wire import (
    attestation_from_json,
    attestation_to_json,
    namespace_block_from_json,
    namespace_block_to_json,
    proof_from_json,
    proof_to_json,
    receipt_from_json,
    receipt_to_json,
)
from tests.chain_run import ChainRun
from tests.committee import FIRST, SECOND, Committee, Segment


def through_json(value: object) -> Any:
    return json.loads(json.dumps(value))


@pytest.fixture(scope="module")
def run() -> ChainRun:
    run = ChainRun(Committee())
    run.block(60, run.data(1, b"second", namespace=SECOND))
    mixed = [run.seal(0, Segment(FIRST, (b"a", b"bc"))), run.seal(0, Segment(FIRST, (b"lie",), claimed_count=5))]
    run.block(120, {0: mixed} | run.data(2, b"d"))
    return run


@pytest.fixture
def block(run: ChainRun) -> Any:
    return through_json(namespace_block_to_json(run.delivered(0)))


@pytest.fixture
def proof(run: ChainRun) -> Any:
    return through_json(proof_to_json(run.proof(2)))


def receipt_of(run: ChainRun) -> Receipt:
    batch = run.executed[FIRST][0].runs[0].digest
    items = (ReceiptItem(FIRST, 0, transaction_id(FIRST, 0, b"a"), 0),)
    unsigned = Receipt(
        run.committee.chain.chain_id, GENESIS_EPOCH, ValidatorIndex(0), Seq(1), batch, Milliseconds(5), items
    )
    return unsigned.sign(run.committee.chain, run.committee.node_keys[0])


def test_blocks_proofs_and_receipts_are_read_back(run: ChainRun, block: Any, proof: Any) -> None:
    assert namespace_block_from_json(block) == run.delivered(0)
    assert proof_from_json(proof, run.committee.chain) == run.proof(2)
    certificate = run.certificate(2)
    assert attestation_from_json(through_json(attestation_to_json(certificate)), run.committee.chain) == certificate
    receipt = receipt_of(run)
    assert receipt_from_json(through_json(receipt_to_json(receipt))) == receipt


def test_a_block_has_the_documented_shape(block: Any) -> None:
    assert set(block) == {
        "version", "namespace", "index", "height", "block_id", "prev_hash", "hash", "ts_ms", "l1_anchor", "tx_count",
        "byte_count", "data_root", "sections",
    }  # fmt: skip
    (section,) = block["sections"]
    assert section["section"] == "open"
    assert section["transactions"] == ["0x61", "0x6263", "0x64"]
    assert [run["item_count"] for run in section["runs"]] == [2, 0, 1]
    assert [run["data"] for run in section["runs"]] == [None, "0x000000036c6965", None]
    assert block["tx_count"] == 3


def test_a_proof_has_the_documented_shape(proof: Any) -> None:
    assert set(proof) == {"attestation", "path", "sides", "leaf"}
    assert proof["sides"] == ["right"]
    assert set(proof["leaf"]) == {"namespace", "index", "hash"}


@pytest.mark.parametrize(("identifier", "shown"), [(1001, 1001), (NUMBER_MAX, NUMBER_MAX), (2**53, "0x20000000000000")])
def test_a_namespace_is_a_number_where_it_fits(identifier: int, shown: object) -> None:
    assert namespace_to_json(NamespaceId(identifier)) == shown
    assert namespace_from_json(shown) == identifier


@pytest.mark.parametrize("value", [-1, 2**53, 1.0, True, None, "1001", "0x", "0x00", "0xg", "0x1" + "0" * 16, [1]])
def test_nothing_else_is_a_namespace(value: object) -> None:
    with pytest.raises(MalformedAnswer):
        namespace_from_json(value)


@pytest.mark.parametrize("field", ["height", "hash", "l1_anchor", "sections", "tx_count", "data_root"])
@pytest.mark.parametrize("value", [None, -1, "0x12", [], {}, True, 1.5, "text"])
def test_a_field_of_another_type_is_named(block: Any, field: str, value: object) -> None:
    block[field] = value
    with pytest.raises(MalformedAnswer, match=field):
        namespace_block_from_json(block)


def test_a_missing_field_is_named(block: Any) -> None:
    del block["prev_hash"]
    with pytest.raises(MalformedAnswer, match=r"prev_hash is missing"):
        namespace_block_from_json(block)


@pytest.mark.parametrize("value", [7, None, "text", []])
def test_an_answer_is_an_object(run: ChainRun, value: object) -> None:
    for read in (namespace_block_from_json, receipt_from_json, lambda v: proof_from_json(v, run.committee.chain)):
        with pytest.raises(MalformedAnswer):
            read(value)


def test_runs_and_transactions_account_for_each_other(block: Any) -> None:
    section = block["sections"][0]
    section["transactions"].append("0x65")
    with pytest.raises(MalformedAnswer, match="belong to no run"):
        namespace_block_from_json(block)
    del section["transactions"][-2:]
    with pytest.raises(MalformedAnswer, match="more items"):
        namespace_block_from_json(block)


def test_bytes_arrive_once(block: Any) -> None:
    block["sections"][0]["runs"][0]["data"] = "0x0000000161"
    with pytest.raises(MalformedAnswer, match="data"):
        namespace_block_from_json(block)


def test_only_the_open_section_is_known(block: Any) -> None:
    block["sections"][0]["section"] = "forced"
    with pytest.raises(MalformedAnswer, match="section"):
        namespace_block_from_json(block)


def test_a_path_has_a_side_for_every_step(run: ChainRun, proof: Any) -> None:
    for sides in ([], ["right", "left"], ["up"], [True]):
        proof["sides"] = sides
        with pytest.raises(MalformedAnswer):
            proof_from_json(proof, run.committee.chain)


def test_a_bitmap_covers_the_committee_and_no_more(run: ChainRun, proof: Any) -> None:
    for bitmap in ("0x", "0xe8", "0xe000"):  # none, a bit beyond four validators, a byte too many
        proof["attestation"]["bitmap"] = bitmap
        with pytest.raises(MalformedAnswer, match="bitmap"):
            proof_from_json(proof, run.committee.chain)
