"""The genesis: one encoding, every contradiction named, and a chain id that binds all of it."""

from dataclasses import replace
from typing import Any

import pytest

from consensus import limits
from consensus.errors import DecodeError, GenesisError
from consensus.genesis import ChainParameters, Genesis, Namespace, lane_report_batches_default
from consensus.namespace_terms import NamespaceTerms
from consensus.numbers import Milliseconds, NamespaceId, Stake
from consensus.signing import sha256
from consensus.validators import Validator
from consensus.vocabulary.certificates import genesis_qc
from tests.committee import Committee


@pytest.fixture(scope="module")
def chain() -> Genesis:
    return Committee().chain


def test_it_survives_encoding(chain: Genesis) -> None:
    assert Genesis.decode(chain.encode()) == chain
    assert chain.chain_id == sha256(chain.encode())


def test_every_byte_of_it_counts(chain: Genesis) -> None:
    encoded = chain.encode()
    for place in range(len(encoded)):
        flipped = encoded[:place] + bytes([encoded[place] ^ 1]) + encoded[place + 1 :]
        try:
            assert Genesis.decode(flipped).encode() == flipped
        except DecodeError:
            continue
    for malformed in (b"", encoded[:-1], encoded + b"\x00", b"\x02" + encoded[1:]):
        with pytest.raises(DecodeError):
            Genesis.decode(malformed)


def test_names_are_utf_8_and_bounded(chain: Genesis) -> None:
    named = replace(chain, name="x").encode()
    assert named[1:6] == b"\x00\x00\x00\x01x"
    with pytest.raises(DecodeError):
        Genesis.decode(named[:5] + b"\xff" + named[6:])
    with pytest.raises(DecodeError):
        Genesis.decode(replace(chain, name="x" * (limits.NAME_BYTES_MAX + 1)).encode())


def terms_of(*terms: NamespaceTerms) -> tuple[Namespace, ...]:
    return tuple(Namespace(NamespaceId(1 + place), "n", each) for place, each in enumerate(terms))


def test_a_chain_without_terms_has_the_encoding_it_always_had(chain: Genesis) -> None:
    assert chain.encode()[0] == 1
    assert all(namespace.terms == NamespaceTerms() for namespace in Genesis.decode(chain.encode()).namespaces)


def test_terms_are_part_of_the_chains_id(chain: Genesis) -> None:
    first, second, *_ = chain.namespaces
    limited = replace(first, terms=NamespaceTerms(1_000, 10, 100_000, 500, 250))
    changed = replace(chain, namespaces=(limited, second)).check()
    assert changed.encode()[0] == 2
    assert Genesis.decode(changed.encode()) == changed
    assert changed.chain_id != replace(chain, namespaces=(first, second)).chain_id
    assert limited.terms.encode() == bytes.fromhex("00000000000003e8 0000000a 00000000000186a0 000001f4 00fa")


def test_default_terms_have_no_second_encoding(chain: Genesis) -> None:
    encoded = chain.encode()
    start = encoded.index(b"".join(n.encode(with_terms=False) for n in chain.namespaces[:1]))
    forged = b"\x02" + encoded[1:start] + b"".join(n.encode(with_terms=True) for n in chain.namespaces)
    with pytest.raises(DecodeError, match="not the default"):
        Genesis.decode(forged)


def test_every_fault_of_terms_is_named_at_once(chain: Genesis) -> None:
    wrong = NamespaceTerms(0, 2**32, chain.parameters.tx_bytes_max, 0, 901)
    with pytest.raises(GenesisError) as refusal:
        replace(chain, namespaces=terms_of(wrong, NamespaceTerms(share_permille=1))).check()
    text = str(refusal.value)
    for name in ("bytes_per_s", "tx_per_s", "queue_bytes", "queue_tx", "share_permille"):
        assert f"namespace 1: {name} is " in text
    assert "share_permille of all namespaces is 902 together; at most 900" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "name has 1 to"),
        ({"name": "é" * 33}, "name has 1 to"),
        ({"time_ms": Milliseconds(0)}, "time_ms"),
        ({"time_ms": Milliseconds(2**53)}, "time_ms"),
        ({"validators": ()}, "validators: 1 to"),
        ({"namespaces": (Namespace(NamespaceId(2), "b"), Namespace(NamespaceId(1), "a"))}, "sorted by id"),
        ({"namespaces": (Namespace(NamespaceId(1), "a"), Namespace(NamespaceId(1), "a"))}, "sorted by id"),
        ({"namespaces": (Namespace(NamespaceId(0), "a"),)}, "reserved"),
        ({"namespaces": (Namespace(NamespaceId(2**63), "a"),)}, "reserved"),
        ({"namespaces": (Namespace(NamespaceId(1), ""),)}, "name has 1 to"),
    ],
)
def test_contradictions_are_named(chain: Genesis, change: dict[str, Any], message: str) -> None:
    with pytest.raises(GenesisError, match=message):
        replace(chain, **change).check()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tx_bytes_max": 0}, "tx_bytes_max"),
        ({"tx_bytes_max": limits.TX_BYTES_CEILING + 1}, "tx_bytes_max"),
        ({"batch_bytes_max": limits.BATCH_BYTES_FLOOR - 1}, "batch_bytes_max"),
        ({"batch_bytes_max": limits.BATCH_BYTES_CEILING + 1}, "batch_bytes_max"),
        ({"tx_bytes_max": 600_000}, "at least twice"),
        ({"lane_report_batches": 0}, "lane_report_batches"),
        ({"lane_report_batches": 65}, "lane_report_batches"),
        ({"attest_ms": 0}, "attest_ms"),
        ({"commit_bytes_max": 1_023}, "commit_bytes_max"),
        ({"commit_bytes_max": 120_001}, "commit_bytes_max"),
        ({"l1_data": 3}, "l1_data"),
        ({"anchor_step": 0}, "anchor_step"),
    ],
)
def test_parameters_keep_their_bounds(chain: Genesis, change: dict[str, Any], message: str) -> None:
    with pytest.raises(GenesisError, match=message):
        replace(chain, parameters=replace(ChainParameters(), **change)).check()


def changed_validator(chain: Genesis, **change: Any) -> Genesis:
    first: Validator = replace(chain.validators[0], **change)
    return replace(chain, validators=(first, *chain.validators[1:]))


def test_validators_keep_their_bounds(chain: Genesis) -> None:
    other = chain.validators[1]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"stake": Stake(0)}, "stake is at least 1"),
        ({"stake": Stake(limits.STAKE_TOTAL_MAX)}, "stay below"),
        ({"node_public_key": other.node_public_key}, "share one node_public_key"),
        ({"bls_public_key": other.bls_public_key, "possession": other.possession}, "share one bls_public_key"),
        ({"node_public_key": bytes(33)}, "not a compressed secp256k1 point"),
        ({"possession": other.possession}, "does not prove"),
        ({"bls_public_key": b"\xc0" + bytes(47)}, "bad_point"),
    ]
    for change, message in cases:
        with pytest.raises(GenesisError, match=message):
            changed_validator(chain, **change).check()


def test_all_problems_are_told_at_once(chain: Genesis) -> None:
    with pytest.raises(GenesisError) as caught:
        replace(changed_validator(chain, stake=Stake(0)), name="", time_ms=Milliseconds(0)).check()
    assert str(caught.value).count("\n- ") == 3


@pytest.mark.parametrize(("count", "batches"), [(1, 64), (16, 64), (17, 60), (100, 10), (128, 8)])
def test_the_lane_report_bound_shrinks_with_the_committee(count: int, batches: int) -> None:
    assert lane_report_batches_default(count) == batches


def test_a_quorum_of_the_longest_reports_fits_in_a_tip(chain: Genesis) -> None:
    count = len(chain.validators)
    certificates = 2 * count * (128 + 65)
    assert chain.tip_bytes_max >= count * chain.report_bytes_max + certificates


def test_the_genesis_block(chain: Genesis) -> None:
    qc = genesis_qc(chain.chain_id, chain.time_ms, chain.validator_set.count)
    assert (qc.body.view, qc.body.height, qc.body.ts_ms) == (0, 0, chain.time_ms)
    assert (qc.signers, qc.signatures) == ((), ())
    assert qc.encoded.endswith(bytes((chain.validator_set.count + 7) // 8))
