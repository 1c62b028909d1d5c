"""Where a configuration's values come from, and what is refused."""

import pytest

from sequencer.node.addresses import split_address
from sequencer.node.config import PRESETS, NodeConfig, config_file_path, options
from sequencer.node.config_loading import load_config, load_with_origins, values_in_file
from sequencer.node.errors import ConfigError


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch):
    import os

    for name in list(os.environ):
        if name.startswith("SEQUENCER_"):
            monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path):
    config_file_path(tmp_path).parent.mkdir()
    config_file_path(tmp_path).write_text("")
    return tmp_path


def write(home, text):
    config_file_path(home).write_text(text)


def problems_of(home, flags=None):
    with pytest.raises(ConfigError) as refusal:
        load_config(home, flags)
    return refusal.value.problems


def test_an_empty_file_gives_the_defaults(home):
    loaded = load_with_origins(home)
    assert loaded.config == NodeConfig(home=home)
    assert set(loaded.origins.values()) == {"default"}
    assert set(loaded.origins) == {name for name, _ in options()}


def test_precedence_is_flag_environment_file_preset_default(home, monkeypatch):
    write(home, 'preset = "lan"\n[consensus]\nidle_interval_ms = 40\nreport_delay_ms = 2\n[rpc]\nport = 1\n')
    monkeypatch.setenv("SEQUENCER_RPC__PORT", "2")
    monkeypatch.setenv("SEQUENCER_CONSENSUS__REPORT_DELAY_MS", "3")
    loaded = load_with_origins(home, {"rpc.port": 4})
    origins = {name.partition(".")[2]: origin for name, origin in loaded.origins.items() if origin != "default"}
    assert origins == {
        "": "config.toml",  # the preset itself
        "idle_interval_ms": "config.toml",
        "report_delay_ms": "environment",
        "port": "flag",
        "view_timeout_ms": "preset lan",
        "view_timeout_max_ms": "preset lan",
        "min_block_interval_loaded_ms": "preset lan",
    }
    assert loaded.config.rpc.port == 4
    assert loaded.config.consensus.report_delay_ms == 3
    assert loaded.config.consensus.idle_interval_ms == 40
    assert loaded.config.consensus.view_timeout_ms == 250
    assert loaded.config.mempool.ttl_s == 30


def test_the_preset_can_come_from_any_layer(home, monkeypatch):
    write(home, 'preset = "lan"\n')
    assert load_config(home).consensus.view_timeout_ms == 250
    monkeypatch.setenv("SEQUENCER_PRESET", "devnet")
    assert load_config(home).node.tx_index == "all"
    assert load_config(home, {"preset": "default"}).node.tx_index == "own"


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid(home, preset):
    assert load_config(home, {"preset": preset}).preset == preset


def test_all_faults_at_once(home, monkeypatch):
    write(
        home,
        'colour = "red"\nhome = "/elsewhere"\n[rpc]\nport = 70000\nhots = "x"\n[node]\nfailpoints = ["a"]\n'
        '[p2p]\npeers = [{ index = 1, address = "nowhere" }]\n[weather]\nwind = 1\n',
    )
    monkeypatch.setenv("SEQUENCER_METRICS__PORT", "many")
    monkeypatch.setenv("SEQUENCER_METRIC__PORT", "1")
    monkeypatch.setenv("SEQUENCER_LOGGING__COLOUR", "1")
    found = "\n".join(problems_of(home, {"consensus.idle_interval_ms": 250}))
    for place in (
        "colour (config.toml): no such option",
        "home (config.toml): stands on the command line",
        "rpc.port (config.toml): ",
        "rpc.hots (config.toml): no such option",
        "node: failpoints are refused",
        "p2p.peers[0].address (config.toml): an address is host:port",
        "weather (config.toml): no such option",
        "metrics.port (environment): ",
        "SEQUENCER_METRIC__PORT (environment): no such option",
        "logging.colour (environment): no such option",
        "consensus: idle_interval_ms (250) must be below a quarter",
    ):
        assert place in found


@pytest.mark.parametrize(
    ("section", "text", "word"),
    [
        ("consensus", "view_timeout_ms = 800", "quarter"),
        ("consensus", "view_timeout_max_ms = 900", "view_timeout_max_ms"),
        ("consensus", "min_block_interval_loaded_ms = 250", "quarter"),
        ("consensus", "min_block_interval_loaded_ms = 4", "min_block_interval_loaded_ms"),
        ("consensus", "min_block_interval_ms = 220\nmin_block_interval_loaded_ms = 220", "idle_interval_ms"),
        ("mempool", "batch_delay_min_ms = 41", "batch_delay"),
        ("p2p", "heartbeat_s = 2", "silence_s"),
        ("p2p", 'peers = [{ index = 1, address = "a:1" }, { index = 1, address = "b:1" }]', "index 1"),
        ("p2p", 'peers = [{ index = 1, address = "a:1" }, { index = 2, address = "a:1" }]', "address a:1"),
        ("p2p", "peers = [{ index = 128, address = 'a:1' }]", "128"),
        ("node", 'tx_index = "some"', "tx_index"),
        ("logging", 'level = "loud"', "level"),
    ],
)
def test_contradictions(home, section, text, word):
    write(home, f"[{section}]\n{text}\n")
    (problem,) = problems_of(home)
    assert section in problem
    assert word in problem


def test_failpoints_on_a_development_network(home):
    assert load_config(home, {"preset": "devnet", "node.failpoints": ["a"]}).node.failpoints == ("a",)


def test_a_file_that_cannot_be_read(home, tmp_path):
    write(home, "[rpc\n")
    assert "line 1" in problems_of(home)[0]
    config_file_path(home).write_bytes(b"\xff")
    assert "utf-8" in problems_of(home)[0]
    assert "sequencer init" in problems_of(tmp_path / "nowhere")[0]


@pytest.mark.parametrize("text", ["rpc = 1", "rpc = []", "preset = []", "preset = 1", "[[rpc]]", 'preset = "none"'])
def test_nonsense_is_refused_without_another_error(home, text):
    write(home, text)
    assert problems_of(home)


def test_a_broken_list_in_the_environment(home, monkeypatch):
    monkeypatch.setenv("SEQUENCER_P2P__PEERS", "[")
    (problem,) = problems_of(home)
    assert problem.startswith("p2p.peers (environment): ")


@pytest.mark.parametrize("text", ["[", "1", "[]", "{", "x"])
def test_a_broken_section_in_the_environment(home, monkeypatch, text):
    monkeypatch.setenv("SEQUENCER_P2P", text)
    assert problems_of(home)


def test_a_list_in_the_environment(home, monkeypatch):
    monkeypatch.setenv("SEQUENCER_P2P__PEERS", '[{"index": 1, "address": "[::1]:9000"}]')
    (peer,) = load_config(home).p2p.peers
    assert (peer.host, peer.port) == ("::1", 9000)


def test_a_configuration_does_not_change(home):
    config = load_config(home)
    with pytest.raises(ValueError, match="frozen"):
        config.rpc.port = 1
    with pytest.raises(ValueError, match="frozen"):
        config.rpc = config.rpc


def test_the_paths_of_a_home(home):
    config = load_config(home)
    paths = (config.config_file, config.genesis_file, config.keys_dir, config.data_dir, config.lock_file)
    names = ["config/config.toml", "config/genesis.toml", "keys", "data", "LOCK"]
    assert [str(path.relative_to(home)) for path in paths] == names


@pytest.mark.parametrize(
    "text", ["host", "host:", ":1", "host:0", "host:65536", "::1:9000", "a b:1", "a/b:1", "host:٣"]
)
def test_addresses_that_are_none(text):
    with pytest.raises(ValueError, match=r"address|port"):
        split_address(text)


def test_addresses():
    assert split_address("validator-0.example:9000") == ("validator-0.example", 9000)
    assert split_address("[2001:db8::1]:1") == ("2001:db8::1", 1)


def test_values_in_file(home):
    write(home, 'preset = "lan"\n[rpc]\nport = 1\n')
    assert values_in_file(home) == {"preset": "lan", "rpc.port": 1}
