"""`sequencer l1` against a real L1."""

import json
import signal
import socket
import subprocess
import sys
import tomllib

import pytest

from sequencer.cli.main import main
from sequencer.keys.key_files import KeyKind, load_secret
from sequencer.l1.transactions import address_of
from tests.anvil import RICH_SECRET, ask
from tests.integration.cli.devnet_process import eventually

pytestmark = pytest.mark.e2e
L1_CHAIN_ID = 31337


@pytest.fixture
def network(tmp_path):
    directory = tmp_path / "net"
    options = ["--output", str(directory), "--validators", "2", "--l1-chain-id", str(L1_CHAIN_ID)]
    assert main(["testnet", *options]) == 0
    return directory


@pytest.fixture
def rich_key(tmp_path):
    path = tmp_path / "rich.key"
    path.write_text(RICH_SECRET.hex())
    path.chmod(0o600)
    return path


def run(capsys, *arguments, code=0):
    capsys.readouterr()
    assert main(["l1", *arguments]) == code
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return json.loads(shown.out) if "--json" in arguments and code == 0 else shown.err


def genesis_of(network):
    return str(network / "validator-0" / "config" / "genesis.toml")


def configure(home, **values):
    config = home / "config" / "config.toml"
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
    config.write_text(config.read_text().replace("[l1]\n", f"[l1]\n{lines}", 1))


def test_an_operator_deploys_and_checks(network, make_anvil, rich_key, capsys):
    anvil = make_anvil(block_time_s=1)
    options = ("--genesis", genesis_of(network), "--l1", anvil.url, "--key", str(rich_key), "--json")
    deployed = run(capsys, "deploy", *options)
    home = network / "validator-1"
    assert "has no L1" in run(capsys, "check", "--home", str(home), code=2)
    configure(home, url=anvil.url, inbox=deployed["inbox"])
    capsys.readouterr()
    assert main(["l1", "check", "--home", str(home), "--json"]) == 0
    shown = capsys.readouterr()
    checked = json.loads(shown.out)
    poster = address_of(load_secret(home / "keys", KeyKind.POSTER))
    assert (checked["next_index"], checked["next_height"], checked["balance_wei"]) == (1, 1, 0)
    assert checked["poster"] == f"0x{poster.hex()}"
    assert "is empty: fund it" in shown.err
    anvil.fund(poster, 5)
    assert run(capsys, "check", "--home", str(home), "--json")["balance_wei"] == 5


def test_what_is_wrong_is_said(network, make_anvil, rich_key, capsys, tmp_path):
    anvil = make_anvil(block_time_s=1)
    deploy = ("deploy", "--genesis", genesis_of(network))
    poor = network / "validator-0" / "keys" / "poster.key"
    assert "fund it" in run(capsys, *deploy, "--l1", anvil.url, "--key", str(poor), code=2)
    other = make_anvil(chain_id=5)
    assert "name another L1" in run(capsys, *deploy, "--l1", other.url, "--key", str(rich_key), code=2)
    assert "127.0.0.1" in run(capsys, *deploy, "--l1", "http://127.0.0.1:1", "--key", str(rich_key), code=1)
    rich_key.chmod(0o644)
    assert "chmod" in run(capsys, *deploy, "--l1", anvil.url, "--key", str(rich_key), code=2)
    home = network / "validator-0"
    configure(home, url=anvil.url, inbox=f"0x{'11' * 20}")
    assert "not this chain's Inbox" in run(capsys, "check", "--home", str(home), code=2)
    assert main(["testnet", "--output", str(tmp_path / "alone"), "--validators", "1"]) == 0
    alone = ("deploy", "--genesis", genesis_of(tmp_path / "alone"), "--l1", anvil.url, "--key", str(rich_key))
    assert "names no L1" in run(capsys, *alone, code=2)


def test_a_network_in_one_directory_is_prepared_once(network, make_anvil, capsys):
    anvil = make_anvil(block_time_s=1)
    prepare = ("prepare", "--network", str(network), "--l1", anvil.url, "--json")
    first = run(capsys, *prepare)
    for index in (0, 1):
        home = network / f"validator-{index}"
        config = tomllib.loads((home / "config" / "config.toml").read_text())
        assert config["l1"] == {"url": anvil.url, "inbox": first["inbox"]}
        assert run(capsys, "check", "--home", str(home), "--json")["balance_wei"] > 10**18
    assert run(capsys, *prepare) == first
    stranger = make_anvil(block_time_s=1)
    said = run(capsys, "prepare", "--network", str(network), "--l1", stranger.url, code=2)
    assert "not the L1 that the validators know" in said


def test_an_l1_for_containers_carries_on(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "sequencer.l1dev", "run", "--directory", str(tmp_path / "l1"), "--port", str(port)]
    blocks = []
    for _ in range(2):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            try:
                assert "listens" in process.stderr.readline()
                ask(url, "anvil_mine", "0x3")
                blocks.append(ask(url, "eth_getBlockByNumber", "0x3", False)["hash"])
            finally:
                process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    assert blocks[0] == blocks[1]


def test_an_l1_for_containers_that_dies_ends_in_1(tmp_path):
    command = [sys.executable, "-m", "sequencer.l1dev", "run", "--directory", str(tmp_path / "l1"), "--port", "0"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command[-1] = str(taken.getsockname()[1])
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "cannot be used" in ended.stderr
    assert "Traceback" not in ended.stderr
    eventually(lambda: not (tmp_path / "l1" / "draft.json").exists(), "nothing is left")
