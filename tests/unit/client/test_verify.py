"""What the verifier accepts, and that it accepts nothing else."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from consensus.merkle import merkle_root
from consensus.numbers import (
    GENESIS_EPOCH,
    ZERO_HASH,
    Hash,
    Milliseconds,
    NamespaceId,
    NamespaceIndex,
    Seq,
    ValidatorIndex,
)
from consensus.vocabulary.attestation import Attestation, make_certificate
from consensus.vocabulary.batch import transaction_id
from consensus.vocabulary.block import NamespaceBlock, SectionKind, namespace_leaf
from consensus.vocabulary.receipt import Receipt, ReceiptItem
from sequencer.client.errors import ClientError, UnprovedAnswer
from sequencer.client.verify import NamespaceVerifier, VerifiedBlock, verify_position, verify_receipt
from sequencer.client.wire import (
    DeliveredBlock,
    NamespaceProof,
    namespace_block_from_json,
    namespace_block_to_json,
    proof_from_json,
    proof_to_json,
)
from tests.chain_run import ChainRun
from tests.committee import FIRST, SECOND, Committee, Segment

INERT = Segment(FIRST, (b"x", b"y"), claimed_count=1)


@pytest.fixture(scope="module")
def run() -> ChainRun:
    """Three blocks of FIRST at heights 1, 3 and 4; attested are 1, 3 (with two namespaces) and 4."""
    run = ChainRun(Committee())
    run.block(60, run.data(0, b"one", b"two"))
    run.block(70, run.data(1, b"other", namespace=SECOND))
    run.block(120, {2: [run.seal(2, Segment(FIRST, (b"three",))), run.seal(2, INERT)]} | run.data(3, b"four"))
    run.block(180, run.data(0, b"five"))
    assert sorted(run.attestations) == [1, 3, 4]
    return run


def verifier(run: ChainRun, **more: Any) -> NamespaceVerifier:
    return NamespaceVerifier(run.committee.chain, FIRST, **more)


def test_all_blocks_of_a_namespace_are_verified_with_one_proof(run: ChainRun) -> None:
    follower = verifier(run)
    blocks = follower.verify([run.delivered(index) for index in range(3)], run.proof(4))
    assert [block.transactions for block in blocks] == [(b"one", b"two"), (b"three", b"four"), (b"five",)]
    assert [len(run.items) for run in blocks[1].runs] == [1, 0, 1]  # the inert run in between
    assert (follower.next_index, follower.prev_hash, follower.height) == (3, run.executed[FIRST][2].hash, 4)


def test_following_goes_on_from_where_it_stood(run: ChainRun) -> None:
    follower = verifier(run)
    follower.verify([run.delivered(0)], run.proof(1))
    assert follower.height == 1
    follower.verify([run.delivered(1)], run.proof(3))
    resumed = verifier(run, from_index=follower.next_index, prev_hash=follower.prev_hash)
    assert [block.block.index for block in resumed.verify([run.delivered(2)], run.proof(4))] == [2]


def test_a_proof_without_new_blocks_shows_that_there_are_none(run: ChainRun) -> None:
    follower = verifier(run)
    follower.verify([run.delivered(0)], run.proof(1))
    assert follower.verify([], run.proof(1)) == ()
    with pytest.raises(UnprovedAnswer, match="gap"):  # at height 3 there is another one
        follower.verify([], run.proof(3))


def test_an_older_proof_takes_nothing_back() -> None:
    run = ChainRun(Committee())
    run.block(60, run.data(0, b"one"))
    run.block(120, run.data(0, b"other", namespace=SECOND))
    follower = verifier(run)
    follower.verify([run.delivered(0)], run.proof(2))
    assert follower.verify([], run.proof(1)) == ()
    assert (follower.next_index, follower.height) == (1, 2)


def test_a_client_may_start_in_the_middle_without_knowing_the_predecessor(run: ChainRun) -> None:
    follower = verifier(run, from_index=NamespaceIndex(1), prev_hash=None)
    assert len(follower.verify([run.delivered(1), run.delivered(2)], run.proof(4))) == 2


@pytest.mark.parametrize("indices", [[0], [0, 1], [1, 2], [0, 2], [0, 2, 1], [0, 1, 1, 2], [0, 0, 1, 2], [2], []])
def test_a_gap_is_never_accepted(run: ChainRun, indices: list[int]) -> None:
    follower = verifier(run)
    with pytest.raises(UnprovedAnswer, match="gap"):
        follower.verify([run.delivered(index) for index in indices], run.proof(4))
    assert (follower.next_index, follower.prev_hash, follower.height) == (0, ZERO_HASH, 0)


def test_blocks_beyond_the_attested_one_are_not_accepted(run: ChainRun) -> None:
    with pytest.raises(UnprovedAnswer, match="gap"):
        verifier(run).verify([run.delivered(0), run.delivered(1)], run.proof(1))


def test_another_history_does_not_fit(run: ChainRun) -> None:
    other = ChainRun(Committee())
    other.block(60, other.data(0, b"forged"))
    other.block(120, other.data(0, b"history"))
    with pytest.raises(UnprovedAnswer, match="broken_chain"):
        verifier(run).verify([other.delivered(0), run.delivered(1), run.delivered(2)], run.proof(4))
    with pytest.raises(UnprovedAnswer, match="broken_chain"):
        verifier(run).verify([other.delivered(0)], run.proof(1))
    with pytest.raises(UnprovedAnswer, match="broken_chain"):
        verifier(run, from_index=NamespaceIndex(1), prev_hash=Hash(b"\x01" * 32)).verify(
            [run.delivered(1)], run.proof(3)
        )


def test_another_namespace_does_not_pass(run: ChainRun) -> None:
    with pytest.raises(UnprovedAnswer, match="wrong_namespace"):
        verifier(run).verify([run.delivered(0, SECOND)], run.proof(4))
    with pytest.raises(UnprovedAnswer, match="wrong_namespace"):
        verifier(run).verify([run.delivered(0, SECOND)], run.proof(4, SECOND))
    with pytest.raises(UnprovedAnswer, match="wrong_namespace"):
        verifier(run).verify([run.delivered(0)], run.proof(4, SECOND))


def test_another_chain_does_not_pass(run: ChainRun) -> None:
    elsewhere = Committee(namespaces=(FIRST,))
    with pytest.raises(UnprovedAnswer):
        NamespaceVerifier(elsewhere.chain, FIRST).verify([run.delivered(0)], run.proof(1))


@pytest.mark.parametrize(("signers", "reason"), [((0, 1), "no_quorum"), ((), "no_quorum")])
def test_less_than_a_quorum_proves_nothing(run: ChainRun, signers: tuple[int, ...], reason: str) -> None:
    proof = run.proof(1)
    certificate = replace(run.certificate(1, (0, 1)), signers=tuple(ValidatorIndex(index) for index in signers))
    with pytest.raises(UnprovedAnswer, match=reason):
        verifier(run).verify([run.delivered(0)], replace(proof, certificate=certificate))


def test_signers_that_did_not_sign_prove_nothing(run: ChainRun) -> None:
    certificate = replace(run.certificate(1, (0, 1)), signers=run.certificate(1, (0, 1, 2)).signers)
    with pytest.raises(UnprovedAnswer, match="bad_signature"):
        verifier(run).verify([run.delivered(0)], replace(run.proof(1), certificate=certificate))


def test_a_real_run_declared_inert_and_an_inert_one_declared_real_are_refused(run: ChainRun) -> None:
    delivered = run.delivered(1)
    for place, count in ((0, 0), (1, 2)):
        runs = tuple(replace(item, item_count=count) if at == place else item for at, item in enumerate(delivered.runs))
        with pytest.raises(UnprovedAnswer, match="wrong_data"):
            verifier(run).verify([run.delivered(0), replace(delivered, runs=runs)], run.proof(3))


def test_run_borders_cannot_be_moved(run: ChainRun) -> None:
    delivered = run.delivered(0)
    (whole,) = delivered.runs
    first, second = whole.segment[:7], whole.segment[7:]
    parts = (replace(whole, item_count=1, segment=first), replace(whole, item_count=1, segment=second))
    with pytest.raises(UnprovedAnswer, match="wrong_data"):
        verifier(run).verify([replace(delivered, runs=parts)], run.proof(1))


# every field of the JSON, and every byte of it

ORIGIN = {"lane", "seq", "batch"}  # of a run: the node's word, and not passed on


def alterations(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """(path, other value) for every leaf of a JSON value, and every byte of every hex string."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not (key in ORIGIN and "runs" in path):
                yield from alterations(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from alterations(inner, (*path, place))
        yield path, value[:-1]
        yield path, [*value, value[-1]]
    elif isinstance(value, str) and value.startswith("0x"):
        for place in range(2, len(value), 2):
            flipped = int(value[place : place + 2], 16) ^ 1
            yield path, value[:place] + f"{flipped:02x}" + value[place + 2 :]
        yield path, value + "00"
        yield path, value[:-2]
    elif isinstance(value, int):
        yield path, value + 1
        yield path, max(value - 1, 0) if value else 2
    elif isinstance(value, str):
        yield path, {"left": "right", "right": "left"}.get(value, value + "x")
    else:
        yield path, "0x00"


def altered(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = other
    return changed


def test_every_altered_field_and_every_flipped_byte_is_refused(run: ChainRun) -> None:
    """Blocks 0 and 1 and their proof at height 3: one inert run, two namespaces, so a path of one step."""
    chain = run.committee.chain
    answer = json.loads(
        json.dumps(
            {
                "blocks": [namespace_block_to_json(run.delivered(index)) for index in (0, 1)],
                "proof": proof_to_json(run.proof(3)),
            }
        )
    )

    def check(shown: Any) -> None:
        blocks = [namespace_block_from_json(block) for block in shown["blocks"]]
        verifier(run).verify(blocks, proof_from_json(shown["proof"], chain))

    check(answer)
    count = 0
    for path, other in alterations(answer):
        count += 1
        with pytest.raises(ClientError):
            check(altered(answer, path, other))
    assert count > 800


# receipts


def receipt(run: ChainRun, lane: int, seq: int, items: list[ReceiptItem]) -> Receipt:
    digest = next(d for d, b in run.batches.items() if (b.header.author, b.header.seq) == (lane, seq))
    chain = run.committee.chain
    author = run.batches[digest].header.author
    unsigned = Receipt(chain.chain_id, GENESIS_EPOCH, author, Seq(seq), digest, Milliseconds(1), tuple(items))
    return unsigned.sign(chain, run.committee.node_keys[lane])


def item(body: bytes, index: int, namespace: NamespaceId = FIRST, kind: int = 0) -> ReceiptItem:
    return ReceiptItem(namespace, kind, transaction_id(namespace, kind, body), index)


def header_of(run: ChainRun, made: Receipt) -> bytes:
    return run.batches[made.batch].header.encoded


@pytest.fixture(scope="module")
def blocks(run: ChainRun) -> tuple[VerifiedBlock, ...]:
    return verifier(run).verify([run.delivered(index) for index in range(3)], run.proof(4))


def test_a_kept_promise_is_verified_to_the_position(run: ChainRun, blocks: tuple[VerifiedBlock, ...]) -> None:
    made = receipt(run, 0, 1, [item(b"two", 1), item(b"one", 0)])
    verify_receipt(run.committee.chain, made)
    for place, position in ((0, 1), (1, 0)):
        assert verify_position(run.committee.chain, made, place, header_of(run, made), blocks[0]) == position
    later = receipt(run, 3, 1, [item(b"four", 0)])
    position = verify_position(run.committee.chain, later, 0, header_of(run, later), blocks[1])
    assert blocks[1].transactions[position] == b"four"


@pytest.mark.parametrize("field", ["epoch", "lane", "seq", "batch", "received_ms", "items", "signature", "chain_id"])
def test_every_field_of_a_receipt_is_signed(run: ChainRun, field: str) -> None:
    made = receipt(run, 0, 1, [item(b"one", 0)])
    value = getattr(made, field)
    other: Any
    if isinstance(value, bytes):
        other = bytes([value[0] ^ 1]) + value[1:]
    elif isinstance(value, tuple):
        other = (*value, item(b"another", 1))
    else:
        other = value + 1
    with pytest.raises(UnprovedAnswer):
        verify_receipt(run.committee.chain, replace(made, **{field: other}))


def test_a_receipt_of_a_lane_that_does_not_exist_is_refused(run: ChainRun) -> None:
    made = replace(receipt(run, 0, 1, [item(b"one", 0)]), lane=ValidatorIndex(99))
    with pytest.raises(UnprovedAnswer):
        verify_receipt(run.committee.chain, made)


@pytest.mark.parametrize(
    "promised",
    [item(b"never sealed", 0), item(b"one", 1), item(b"one", 7), item(b"one", 0, SECOND), item(b"one", 0, kind=3)],
)
def test_a_broken_promise_convicts_the_author(
    run: ChainRun, blocks: tuple[VerifiedBlock, ...], promised: ReceiptItem
) -> None:
    made = receipt(run, 0, 1, [promised])
    with pytest.raises(UnprovedAnswer, match="receipt_contradicted"):
        verify_position(run.committee.chain, made, 0, header_of(run, made), blocks[0])


def test_a_promise_about_another_block_is_not_in_this_one(run: ChainRun, blocks: tuple[VerifiedBlock, ...]) -> None:
    made = receipt(run, 0, 1, [item(b"one", 0)])
    with pytest.raises(UnprovedAnswer, match="not_in_block"):
        verify_position(run.committee.chain, made, 0, header_of(run, made), blocks[1])
    other = receipt(run, 1, 1, [item(b"other", 0, SECOND)])
    with pytest.raises(UnprovedAnswer, match="not_in_block"):
        verify_position(run.committee.chain, other, 0, header_of(run, other), blocks[0])


def test_an_item_of_an_inert_run_has_no_position(run: ChainRun, blocks: tuple[VerifiedBlock, ...]) -> None:
    made = receipt(run, 2, 2, [item(b"x", 0)])
    with pytest.raises(UnprovedAnswer, match="not_in_block"):
        verify_position(run.committee.chain, made, 0, header_of(run, made), blocks[1])


def test_the_header_must_be_the_receipts_batch(run: ChainRun, blocks: tuple[VerifiedBlock, ...]) -> None:
    chain = run.committee.chain
    made = receipt(run, 0, 1, [item(b"one", 0)])
    header = header_of(run, made)
    for wrong in (b"", header + b"\x00", header[:-1], header_of(run, receipt(run, 0, 2, []))):
        with pytest.raises(UnprovedAnswer, match="wrong_batch"):
            verify_position(chain, made, 0, wrong, blocks[0])
    with pytest.raises(UnprovedAnswer, match="wrong_batch"):
        verify_position(chain, made, 1, header, blocks[0])


def test_a_position_without_a_signed_promise_is_none(run: ChainRun, blocks: tuple[VerifiedBlock, ...]) -> None:
    made = receipt(run, 0, 1, [item(b"one", 0)])
    forged = replace(made, signature=made.signature[:10] + bytes(55))
    with pytest.raises(UnprovedAnswer, match="bad_signature"):
        verify_position(run.committee.chain, forged, 0, header_of(run, made), blocks[0])


def test_a_receipt_with_another_place_than_its_batch_convicts(run: ChainRun, blocks: tuple[VerifiedBlock, ...]) -> None:
    honest = receipt(run, 0, 1, [item(b"one", 0)])
    lying = replace(honest, seq=Seq(9)).sign(run.committee.chain, run.committee.node_keys[0])
    with pytest.raises(UnprovedAnswer, match="receipt_contradicted"):
        verify_position(run.committee.chain, lying, 0, header_of(run, honest), blocks[0])


def attested(run: ChainRun, block: NamespaceBlock) -> tuple[DeliveredBlock, NamespaceProof]:
    """A block with the runs of block 0 that the whole committee attests, whatever it says."""
    block_hash = block.hash(run.committee.chain.domain)
    root = merkle_root([namespace_leaf(block.namespace, block.index, block_hash)])
    statement = Attestation(GENESIS_EPOCH, block.height, block.block_id, root)
    digest = statement.signing_digest(run.committee.chain.domain)
    shares = {ValidatorIndex(index): key.sign(digest) for index, key in enumerate(run.committee.bls_keys)}
    certificate = make_certificate(statement, shares, run.committee.count)
    delivered = replace(run.delivered(0), block=block, hash=block_hash)
    return delivered, NamespaceProof(certificate, (), block.namespace, block.index, block_hash)


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"item_count": 3}, "wrong_data"), ({"byte_count": 1}, "wrong_data"), ({"root": ZERO_HASH}, "wrong_data")],
)
def test_a_section_that_is_not_its_bytes_is_refused_although_it_is_attested(
    run: ChainRun, change: dict[str, Any], reason: str
) -> None:
    block = run.delivered(0).block
    section = replace(block.sections[0], **change)
    delivered, proof = attested(run, replace(block, sections=(section,), data_root=merkle_root([section.encode()])))
    with pytest.raises(UnprovedAnswer, match=reason):
        verifier(run).verify([delivered], proof)


def test_a_data_root_that_is_not_its_sections_is_refused_although_it_is_attested(run: ChainRun) -> None:
    delivered, proof = attested(run, replace(run.delivered(0).block, data_root=ZERO_HASH))
    with pytest.raises(UnprovedAnswer, match="wrong_data_root"):
        verifier(run).verify([delivered], proof)


def test_sections_that_are_not_in_use_are_refused_although_they_are_attested(run: ChainRun) -> None:
    block = run.delivered(0).block
    forced = replace(block.sections[0], section=SectionKind.FORCED)
    sections = (forced, block.sections[0])
    data_root = merkle_root([section.encode() for section in sections])
    delivered, proof = attested(run, replace(block, sections=sections, data_root=data_root))
    with pytest.raises(UnprovedAnswer, match="unknown_section"):
        verifier(run).verify([delivered], proof)


def test_a_delivered_block_names_its_own_hash(run: ChainRun) -> None:
    delivered: DeliveredBlock = replace(run.delivered(0), hash=Hash(b"\x02" * 32))
    with pytest.raises(UnprovedAnswer, match="wrong_hash"):
        verifier(run).verify([delivered], run.proof(1))
