"""The golden vectors are what the code makes, and what a client accepts and refuses."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from consensus.bls import BlsPublicKey, is_aggregate_signature, is_signature
from consensus.encoding import Reader, decode_whole
from consensus.errors import DecodeError, InvalidObject
from consensus.evidence.check import Offence, check_proof
from consensus.evidence.proofs import Proof, decode_proof
from consensus.genesis import Genesis
from consensus.numbers import NamespaceId, NamespaceIndex
from consensus.signing import is_signature as is_node_signature
from consensus.vocabulary.payload import decode_payload
from sequencer.client.errors import ClientError
from sequencer.client.verify import NamespaceVerifier, verify_position
from sequencer.client.wire import namespace_block_from_json, proof_from_json, receipt_from_json
from tests.vectors.generate import FILES, render

FOLDER = Path(__file__).parent


def load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def data(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_what_the_code_makes(name: str) -> None:
    """If the protocol was meant to change, run `python -m tests.vectors.generate` and say so in the changelog."""
    assert (FOLDER / name).read_text(encoding="utf-8") == render(FILES[name]())


def test_no_file_lies_beside_them_unmade() -> None:
    assert {path.name for path in FOLDER.glob("*.json")} == set(FILES)


def verify(vectors: Any, answer: Any) -> list[list[str]]:
    chain = Genesis.decode(data(vectors["genesis"])).check()
    verifier = NamespaceVerifier(chain, NamespaceId(vectors["namespace"]))
    blocks = [namespace_block_from_json(block) for block in answer["blocks"]]
    verified = verifier.verify(blocks, proof_from_json(answer["proof"], chain))
    return [[transaction.decode() for transaction in block.transactions] for block in verified]


def test_a_client_accepts_the_namespace() -> None:
    vectors = load("namespace.json")
    answer = {"blocks": [block["json"] for block in vectors["blocks"]], "proof": vectors["proofs"][-1]["json"]}
    assert verify(vectors, answer) == vectors["transactions"]


@pytest.mark.parametrize("case", load("namespace.json")["refused"], ids=lambda case: case["why"])
def test_a_client_refuses_what_the_vectors_call_wrong(case: Any) -> None:
    with pytest.raises(ClientError):
        verify(load("namespace.json"), case["answer"])


def test_a_client_finds_the_position_of_the_receipt() -> None:
    vectors, chain_vectors = load("receipt.json"), load("namespace.json")
    chain = Genesis.decode(data(vectors["genesis"]))
    blocks = [namespace_block_from_json(block["json"]) for block in chain_vectors["blocks"]]
    verifier = NamespaceVerifier(chain, NamespaceId(chain_vectors["namespace"]), NamespaceIndex(0))
    verified = verifier.verify(blocks, proof_from_json(chain_vectors["proofs"][-1]["json"], chain))
    receipt = receipt_from_json(vectors["receipt"])
    block = verified[vectors["namespace_index"]]
    assert verify_position(chain, receipt, 0, data(vectors["batch_header"]), block) == vectors["position"]


def test_signatures_verify_and_refused_forms_do_not() -> None:
    vectors = load("secp256k1.json")
    key = data(vectors["public_key"])
    for signed in vectors["signed"]:
        assert is_node_signature(key, data(signed["digest"]), data(signed["signature"]))
    for form in vectors["refused"]:
        assert not is_node_signature(key, data(form["digest"]), data(form["signature"])), form["why"]


def test_bls_signatures_verify_and_refused_forms_do_not() -> None:
    vectors = load("bls.json")
    digest = data(vectors["digest"])
    keys = [BlsPublicKey(data(key["public_key"])) for key in vectors["keys"]]
    for key, entry in zip(keys, vectors["keys"], strict=True):
        assert is_signature(key, digest, data(entry["signature"]))
    assert is_aggregate_signature(keys, digest, data(vectors["aggregate"]))
    for form in vectors["public_keys_refused"]:
        with pytest.raises(InvalidObject):
            BlsPublicKey(data(form["encoded"]))
    for form in vectors["signatures_refused"]:
        assert not is_signature(keys[0], digest, data(form["encoded"])), form["why"]


def test_refused_encodings_are_refused() -> None:
    vectors = load("encoding.json")
    for encoded in vectors["varint_refused"]:
        with pytest.raises(DecodeError):
            decode_whole(data(encoded), Reader.varint)
    for case in vectors["bitmap_refused"]:
        with pytest.raises(DecodeError):
            read_bitmap(case)


def read_bitmap(case: Any) -> None:
    reader = Reader(data(case["encoded"]))
    reader.bitmap(case["size"])
    reader.finish()


@pytest.mark.parametrize("case", load("evidence.json")["proofs"], ids=lambda case: case["what"])
def test_evidence_convicts_whom_the_vectors_say(case: Any) -> None:
    chain = Genesis.decode(data(load("evidence.json")["genesis"])).check()
    offence = check_proof(decode_proof(data(case["encoded"]), chain.validator_set.count), chain)
    assert offence == Offence(case["rule"], case["validator"], case["place"])
    assert offence.encode() == data(case["offence_encoded"])


def test_evidence_of_every_kind_is_there() -> None:
    count = len(Genesis.decode(data(load("evidence.json")["genesis"])).validators)
    kinds = {type(decode_proof(data(case["encoded"]), count)) for case in load("evidence.json")["proofs"]}
    assert kinds == set(get_args(Proof))


@pytest.mark.parametrize("case", load("evidence.json")["refused"], ids=lambda case: case["why"])
def test_evidence_that_convicts_nobody(case: Any) -> None:
    chain = Genesis.decode(data(load("evidence.json")["genesis"])).check()
    with pytest.raises(InvalidObject):
        check_proof(decode_proof(data(case["encoded"]), chain.validator_set.count), chain)


def test_payloads_are_read_and_refused_forms_are_not() -> None:
    vectors = load("l1.json")
    first = decode_payload(data(vectors["batches"][0]["payload"]))
    assert first.holds_same(decode_payload(data(vectors["compressed_of_the_first"])))
    for form in vectors["payloads_refused"]:
        with pytest.raises(DecodeError):
            assert not first.holds_same(decode_payload(data(form["payload"]))), form["why"]
