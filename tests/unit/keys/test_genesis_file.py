"""The TOML form of a genesis: it comes back as it went, and every fault is reported at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.bls import BlsKey
from consensus.genesis import ChainParameters, Genesis, Namespace, lane_report_batches_default
from consensus.namespace_terms import NamespaceTerms
from consensus.numbers import Milliseconds, NamespaceId, Stake
from consensus.signing import NodeKey
from consensus.validators import Validator
from sequencer.keys.errors import GenesisFileError
from sequencer.keys.genesis_file import load_genesis, parse_genesis, parse_public_keys, render_genesis

VALIDATORS = tuple(
    Validator(Stake(index), node.public_key, bls.public_key, bls.prove_possession())
    for index in range(1, 5)
    for node, bls in [(NodeKey(bytes([index]) * 32), BlsKey(bytes([index]) * 32))]
)


def example(**changes):
    fields = {
        "name": "example",
        "time_ms": Milliseconds(1_700_000_000_000),
        "l1_chain_id": 0,
        "parameters": ChainParameters(),
        "validators": VALIDATORS,
        "namespaces": (Namespace(NamespaceId(1001), "alpha"), Namespace(NamespaceId(1002), "beta")),
    }
    return Genesis(**{**fields, **changes})


def test_it_comes_back_as_it_went(tmp_path):
    genesis = example(parameters=ChainParameters(anchor_step=4, l1_data=2), l1_chain_id=31337)
    path = tmp_path / "genesis.toml"
    path.write_text(render_genesis(genesis))
    assert load_genesis(path).encode() == genesis.encode()
    assert f"# Chain id: 0x{genesis.chain_id.hex()}" in path.read_text()


@given(st.text(min_size=1, max_size=16), st.text(min_size=1, max_size=16))
def test_any_name_survives(chain, namespace):
    genesis = example(name=chain, validators=VALIDATORS[:1], namespaces=(Namespace(NamespaceId(1), namespace),))
    assert parse_genesis(render_genesis(genesis)).chain_id == genesis.chain_id


def test_comments_and_layout_do_not_change_the_chain():
    text = render_genesis(example())
    assert parse_genesis("# more\n" + text.replace(" = ", "   =   ")).chain_id == example().chain_id


def test_only_terms_that_are_not_the_default_are_written():
    terms = NamespaceTerms(bytes_per_s=1_000_000, share_permille=200)
    genesis = example(namespaces=(Namespace(NamespaceId(1), "a", terms), Namespace(NamespaceId(2), "b")))
    text = render_genesis(genesis)
    assert parse_genesis(text) == genesis
    assert text.count("bytes_per_s = 1000000  # ") == text.count("share_permille = 200  # ") == 1
    assert "tx_per_s" not in text
    assert "queue" not in text


def test_all_faults_of_terms_at_once():
    text = render_genesis(example()).replace("id = 1002", 'id = 1002\ntx_per_s = -1\nqueue_tx = "many"\nqueue_byte = 5')
    with pytest.raises(GenesisFileError) as refusal:
        parse_genesis(text)
    assert [problem.split(":")[0] for problem in refusal.value.problems] == [
        "namespaces[1].queue_byte",
        "namespaces[1].tx_per_s",
        "namespaces[1].queue_tx",
    ]


def test_parameters_may_be_left_out():
    text = render_genesis(example())
    start, end = text.index("[parameters]"), text.index("[[validators]]")
    assert parse_genesis(text[:start] + text[end:]).parameters == ChainParameters(
        lane_report_batches=lane_report_batches_default(4)
    )


def test_all_faults_of_the_form_at_once():
    text = render_genesis(example())
    text = text.replace('name = "example"', "nickname = 1").replace("stake = 1\n", 'stake = "much"\n')
    text = text.replace("attest_ms = 50", "attest_ms = -1").replace('"prefer"', '"maybe"')
    text = text.replace(VALIDATORS[1].possession.hex(), "12").replace('name = "beta"', "name = 7")
    with pytest.raises(GenesisFileError) as refusal:
        parse_genesis(text)
    assert {problem.split(":")[0] for problem in refusal.value.problems} == {
        "nickname",
        "name",
        "parameters.attest_ms",
        "parameters.l1_data",
        "validators[0].stake",
        "validators[1].possession",
        "namespaces[1].name",
    }


def test_all_contradictions_of_the_content_at_once():
    text = render_genesis(example())
    first, second = VALIDATORS[0], VALIDATORS[1]
    text = text.replace(second.node_public_key.hex(), first.node_public_key.hex())
    text = text.replace(second.possession.hex(), first.possession.hex()).replace("id = 1002", "id = 1001")
    with pytest.raises(GenesisFileError) as refusal:
        parse_genesis(text)
    assert len(refusal.value.problems) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name =",
        "validators = 1",
        "validators = [1]",
        "parameters = 1",
        "namespaces = {}",
        "name = true\ntime_ms = true",
        "[[validators]]\n" * 129,
        "time_ms = 99999999999999999999999999999",
    ],
)
def test_nonsense_is_refused_without_another_error(text):
    with pytest.raises(GenesisFileError):
        parse_genesis(text)


@given(st.text(max_size=200))
def test_no_text_raises_anything_else(text):
    with pytest.raises(GenesisFileError):
        parse_genesis(text)


def test_a_missing_or_unreadable_file(tmp_path):
    with pytest.raises(GenesisFileError, match="is missing"):
        load_genesis(tmp_path / "genesis.toml")
    with pytest.raises(GenesisFileError, match="cannot be read"):
        load_genesis(tmp_path)
    (tmp_path / "genesis.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(GenesisFileError, match="UTF-8"):
        load_genesis(tmp_path / "genesis.toml")


def test_public_keys_of_one_validator():
    wanted = VALIDATORS[2]
    entry = {
        "node_public_key": "0x" + wanted.node_public_key.hex(),
        "bls_public_key": "0x" + wanted.bls_public_key.hex(),
        "possession": "0x" + wanted.possession.hex(),
        "peer_id": "not looked at",
    }
    assert parse_public_keys(entry, wanted.stake, "file") == wanted
    with pytest.raises(GenesisFileError, match="possession: missing"):
        parse_public_keys({name: entry[name] for name in entry if name != "possession"}, 1, "file")
