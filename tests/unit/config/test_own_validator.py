"""Keys, genesis and configuration have to fit together."""

import pytest

from sequencer.cli.homes import NetworkPlan, make_network, validator_home, write_home
from sequencer.keys.errors import GenesisFileError, KeyFileError
from sequencer.keys.key_files import KeyKind, create_key, key_path, new_secret
from sequencer.node.config_loading import load_config
from sequencer.node.errors import ConfigError
from sequencer.node.own_validator import load_validator

COUNT = 3


def settings(own):
    peers = [{"index": index, "address": f"validator-{index}:9000"} for index in range(COUNT) if index != own]
    return {"p2p.peers": peers}


@pytest.fixture
def network(tmp_path):
    make_network(tmp_path, NetworkPlan("test", [(1, "one")], [settings(index) for index in range(COUNT)]))
    return tmp_path


def test_a_validator_finds_its_place(network):
    for index in range(COUNT):
        own = load_validator(load_config(validator_home(network, index)))
        assert own.index == index
        assert own.genesis.validators[index].node_public_key == own.node_key.public_key
        assert own.genesis.validators[index].bls_public_key == own.bls_key.public_key


@pytest.mark.parametrize(
    ("kind", "word"), [(KeyKind.NODE, "not a validator of this chain"), (KeyKind.BLS, "BLS key is not the one")]
)
def test_a_key_of_somebody_else(network, kind, word):
    home = validator_home(network, 0)
    key_path(home / "keys", kind).unlink()
    create_key(home / "keys", kind, new_secret(kind))
    with pytest.raises(ConfigError, match=word):
        load_validator(load_config(home))


def test_what_is_missing_is_named(network):
    home = validator_home(network, 1)
    key_path(home / "keys", KeyKind.BLS).unlink()
    with pytest.raises(KeyFileError, match=r"bls\.key is missing"):
        load_validator(load_config(home))
    (home / "config" / "genesis.toml").unlink()
    with pytest.raises(GenesisFileError, match=r"genesis\.toml is missing"):
        load_validator(load_config(home))


def test_peers_that_do_not_fit_the_genesis(network):
    home = validator_home(network, 0)
    write_home(
        home, {"p2p.peers": [{"index": 7, "address": "a:1"}], "mempool.batch_bytes_target": 8 * 1024 * 1024}, None
    )
    with pytest.raises(ConfigError) as refusal:
        load_validator(load_config(home))
    faults = "\n".join(refusal.value.problems)
    assert "there is no validator 7" in faults
    assert "no address of validator 1, 2" in faults
    assert "batch_bytes_target" in faults


def test_a_queue_that_the_longest_transaction_never_fits(network):
    home = validator_home(network, 0)
    write_home(home, {**settings(0), "mempool.queue_bytes": 64 * 1024}, None)
    with pytest.raises(ConfigError) as refusal:
        load_validator(load_config(home))
    assert "queue_bytes (65536)" in "\n".join(refusal.value.problems)
    write_home(home, {**settings(0), "mempool.queue_bytes": 64 * 1024 + 4}, None)
    assert load_validator(load_config(home)).index == 0


def test_an_entry_for_the_node_itself_is_harmless(network):
    home = validator_home(network, 0)
    everyone = [{"index": index, "address": f"validator-{index}:9000"} for index in range(COUNT)]
    write_home(home, {"p2p.peers": everyone}, None)
    assert load_validator(load_config(home)).index == 0
