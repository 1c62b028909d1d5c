"""The second verifier of `independent.py` against the vectors.

It shows that the page and the vectors are enough, and that the first verifier is not merely consistent with itself.
"""

from typing import Any

import pytest

from tests.vectors.independent import (
    PREFIX,
    Bls,
    Chain,
    big,
    check_answer,
    is_signed_by,
    load,
    raw,
    receipt_digest,
    sha,
    transaction_hash,
)


def test_the_genesis_is_read_and_its_keys_are_possessed() -> None:
    vectors = load("genesis.json")
    for case in vectors:
        chain = Chain(raw(case["encoded"]))
        assert chain.id == raw(case["chain_id"])
        shown = case["fields"]["namespaces"]
        assert [name for _, name in chain.namespaces] == [item["name"] for item in shown]
        for terms, item in zip(chain.terms, shown, strict=True):
            assert terms in (None, list(item["terms"].values()))
    _, _, key, possession = Chain(raw(vectors[0]["encoded"])).validators[0]
    assert Bls.PopVerify(key, possession)


def test_the_namespace_is_accepted() -> None:
    vectors = load("namespace.json")
    chain = Chain(raw(vectors["genesis"]))
    answer = {"blocks": [block["json"] for block in vectors["blocks"]], "proof": vectors["proofs"][-1]["json"]}
    found = check_answer(chain, vectors["namespace"], answer)
    assert [[item.decode() for item in block] for block in found] == vectors["transactions"]


@pytest.mark.parametrize("case", load("namespace.json")["refused"], ids=lambda case: case["why"])
def test_every_wrong_answer_is_refused(case: Any) -> None:
    vectors = load("namespace.json")
    with pytest.raises(AssertionError):
        check_answer(Chain(raw(vectors["genesis"])), vectors["namespace"], case["answer"])


def test_the_receipt_was_kept() -> None:
    vectors, namespace = load("receipt.json"), load("namespace.json")
    chain, receipt, header = Chain(raw(vectors["genesis"])), vectors["receipt"], raw(vectors["batch_header"])
    (item,) = receipt["items"]
    body = (
        big(1, 1) + raw(receipt["chain_id"]) + big(receipt["epoch"], 8) + big(receipt["lane"], 2)
        + big(receipt["seq"], 8) + raw(receipt["batch"]) + big(receipt["received_ms"], 8) + big(1, 4)
        + big(item["namespace"], 8) + big(item["kind"], 1) + raw(item["hash"]) + big(item["index"], 4)
    )  # fmt: skip
    assert raw(receipt["chain_id"]) == chain.id
    digest = receipt_digest(chain, receipt["epoch"], body)
    assert is_signed_by(chain.validators[receipt["lane"]][1], digest, raw(receipt["signature"]))

    assert sha(header) == raw(receipt["batch"])
    assert header[9:19] == big(receipt["lane"], 2) + big(receipt["seq"], 8)
    entry = header[63:]  # behind version, epoch, author, seq, prev_digest, created_ms and a count of 1
    assert entry[:9] == big(item["namespace"], 8) + big(item["kind"], 1)
    block = namespace["blocks"][vectors["namespace_index"]]
    hashes = [sha(raw(segment["data"])) for segment in block["segments"]]
    assert hashes[2] == entry[17:49]
    transaction = block["json"]["sections"][0]["transactions"][vectors["position"]]
    assert transaction_hash(item["namespace"], item["kind"], raw(transaction)) == raw(item["hash"])


def test_node_signatures() -> None:
    vectors = load("secp256k1.json")
    key = raw(vectors["public_key"])
    for signed in vectors["signed"]:
        digest = sha(
            PREFIX, big(signed["number"], 1), raw(vectors["chain_id"]), big(vectors["epoch"], 8), raw(vectors["body"])
        )
        assert digest == raw(signed["digest"])
        assert is_signed_by(key, digest, raw(signed["signature"]))
    for form in vectors["refused"]:
        assert not is_signed_by(key, raw(form["digest"]), raw(form["signature"]))
