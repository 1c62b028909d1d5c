"""The annotated file: generated from the model, complete, and read back as it was written."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sequencer.node.config import NodeConfig, config_file_path, options, sections
from sequencer.node.config_file import effective_values, render_annotated, render_effective, toml_value, unit_of
from sequencer.node.config_loading import load_config

EXAMPLE = Path(__file__).parents[3] / "configs" / "config.toml"


def write(home, text):
    config_file_path(home).parent.mkdir(exist_ok=True)
    config_file_path(home).write_text(text)


def test_the_example_is_up_to_date():
    assert EXAMPLE.read_text() == render_annotated(), "run: sequencer config default > configs/config.toml"


def test_every_option_stands_in_it_commented_out_with_its_default():
    text = render_annotated()
    assert tomllib.loads(text) == {section: {} for section in sections()}
    for name, field in options():
        line = f"{name.rpartition('.')[2]} = {toml_value(field.default)}"
        assert f"\n# {line}\n" in text
        assert field.description


def test_with_its_comment_signs_removed_it_is_the_default(tmp_path):
    lines = [line.removeprefix("# ") if " = " in line else line for line in render_annotated().splitlines()]
    write(tmp_path, "\n".join(line for line in lines if not line.startswith("Each")))
    assert load_config(tmp_path) == NodeConfig(home=tmp_path)


def test_values_are_set_and_the_rest_stays_commented(tmp_path):
    peers = [{"index": 1, "address": "a:1"}, {"index": 2, "address": "b:2"}]
    write(tmp_path, render_annotated({"preset": "lan", "rpc.port": 7, "p2p.peers": peers}))
    assert tomllib.loads(config_file_path(tmp_path).read_text())["rpc"] == {"port": 7}
    config = load_config(tmp_path)
    assert config.rpc.port == 7
    assert config.preset == "lan"
    assert [peer.model_dump() for peer in config.p2p.peers] == peers


def test_an_unknown_option_is_not_written():
    with pytest.raises(KeyError, match=r"rpc\.prot"):
        render_annotated({"rpc.prot": 1})


def test_what_is_in_force_loads_as_the_same(tmp_path):
    write(tmp_path, 'preset = "devnet"\n[p2p]\npeers = [{ index = 3, address = "c:3" }]\n')
    config = load_config(tmp_path)
    write(tmp_path, render_effective(config, {name: "somewhere" for name, _ in options()}))
    assert load_config(tmp_path) == config
    assert effective_values(config)["p2p"]["peers"] == [{"index": 3, "address": "c:3"}]


@given(st.recursive(st.text() | st.integers(-(2**63), 2**63 - 1) | st.booleans(), st.lists))
def test_any_value_is_read_back(value):
    assert tomllib.loads(f"value = {toml_value(value)}")["value"] == value


def test_units():
    assert unit_of("view_timeout_max_ms") == "milliseconds"
    assert unit_of("batch_delay_min_ms") == "milliseconds"
    assert unit_of("ttl_s") == "seconds"
    assert unit_of("request_bytes_max") == unit_of("batch_bytes_target") == "bytes"
    assert unit_of("port") is None


def test_toml_has_no_none():
    with pytest.raises(TypeError):
        toml_value(None)
