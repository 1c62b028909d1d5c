"""`sequencer devnet` as a real process with real children; only what the children do is a stand-in."""

import os
import re
import signal
import socket
from pathlib import Path

import pytest

from sequencer.cli.devnet import Wishes, prepare
from sequencer.cli.errors import UsageFault
from sequencer.keys.genesis_file import load_genesis
from tests.integration.cli.devnet_process import PATIENCE_S, Devnet, eventually, is_alive, pids


@pytest.fixture
def start(tmp_path):
    started = []

    def run(*arguments, home=tmp_path / "net"):
        started.append(Devnet(home, "--l1", "none", *arguments))
        return started[-1]

    yield run
    for devnet in started:
        devnet.stop(signal.SIGKILL)


def made(tmp_path, count):
    """A network that was never started, where `start` looks for one."""
    home = tmp_path / "net"
    prepare(home, Wishes(count, base_port=0, l1="none"))
    return home


def test_where_data_goes_stands_in_the_genesis_and_stays(tmp_path):
    home = tmp_path / "net"
    network = prepare(home, Wishes(1, base_port=0, l1="none", l1_data="held"))
    assert load_genesis(network.home(0) / "config" / "genesis.toml").parameters.l1_data == 2
    prepare(home, Wishes(l1_data="held"))
    with pytest.raises(UsageFault, match="--l1-data held"):
        prepare(home, Wishes(l1_data="prefer"))
    with pytest.raises(UsageFault, match="prefer, require, held"):
        prepare(tmp_path / "other", Wishes(1, base_port=0, l1="none", l1_data="blob"))


def test_it_comes_up_says_where_everything_is_and_stops(start):
    devnet = start("--base-port", "0", "--validators", "3", "--namespace", "7:seven")
    description = devnet.description()
    assert set(description) == {"chain_id", "genesis_hash", "validators", "l1", "contracts", "namespaces", "accounts"}
    assert description["namespaces"] == [{"id": 7, "name": "seven"}]
    assert [validator["index"] for validator in description["validators"]] == [0, 1, 2]
    assert all(is_alive(pid) for pid in pids(description))
    first = description["validators"][0]
    assert Path(first["home"]) == devnet.home / "validator-0"
    assert first["peer_id"].startswith("16Uiu2HA")
    shown = eventually(lambda: "42" in devnet.shown() and devnet.shown(), "the status line")
    for text in (*(validator["rpc"] for validator in description["validators"]), "seq_sendTransaction", "namespace 7"):
        assert text in shown

    assert devnet.stop(signal.SIGINT) == 0
    assert not any(is_alive(pid) for pid in pids(description))
    assert not (devnet.home / "devnet.json").exists()
    assert "a line of its log" in (devnet.home / "validator-2" / "node.log").read_text()


def test_a_second_start_carries_on_and_reset_begins_anew(start):
    first = start("--base-port", "0", "--validators", "2")
    before = first.description()
    assert first.stop() == 0
    second = start()
    after = second.description()
    assert "carrying on" in second.shown()
    assert after["chain_id"] == before["chain_id"]
    assert [validator["rpc"] for validator in after["validators"]] == [
        validator["rpc"] for validator in before["validators"]
    ]
    assert second.stop() == 0

    third = start("--validators", "3")
    assert third.process.wait(PATIENCE_S) == 2
    assert "has 2 validators, not 3" in third.shown()
    assert "--reset" in third.shown()
    fourth = start("--namespace", "9:nine")
    assert fourth.process.wait(PATIENCE_S) == 2
    assert "--reset" in fourth.shown()

    fifth = start("--validators", "1", "--reset", "--base-port", "0")
    description = fifth.description()
    assert description["chain_id"] != before["chain_id"]
    assert len(description["validators"]) == 1
    assert not (fifth.home / "validator-1").exists()


def test_other_ports_keep_what_was_set(start):
    first = start("--base-port", "0", "--validators", "2", "--set", "mempool.ttl_s=7")
    before = first.description()
    assert first.stop() == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        config = first.home / "validator-0" / "config" / "config.toml"
        rpc = before["validators"][0]["rpc"].rpartition(":")[2]
        config.write_text(config.read_text().replace(f"port = {rpc}", f"port = {number}"))
        blocked = start()
        assert blocked.process.wait(PATIENCE_S) == 2
        assert re.search(rf"something listens on port .*\b{number}\b.* already", blocked.shown())
        moved = start("--base-port", "0")
        assert moved.description()["chain_id"] == before["chain_id"]
    assert "\nttl_s = 7" in config.read_text()


def test_ports_that_are_taken_are_one_message(start):
    with socket.create_server(("127.0.0.1", 0)) as first:
        number = first.getsockname()[1]
        devnet = start("--base-port", str(number - 2), "--validators", "1")
        assert devnet.process.wait(PATIENCE_S) == 2
    assert re.search(rf"something listens on port .*\b{number}\b.* already", devnet.shown())
    assert "--base-port" in devnet.shown()
    assert not (devnet.home / "validator-0").exists()


def test_one_devnet_per_directory(start):
    first = start("--base-port", "0", "--validators", "1")
    first.description()
    second = start("--reset")
    assert second.process.wait(PATIENCE_S) == 2
    assert f"process {first.process.pid}" in second.shown()
    assert first.process.poll() is None


def test_a_validator_that_dies_is_reported_and_the_others_go_on(start):
    devnet = start("--base-port", "0", "--validators", "4")
    description = devnet.description()
    os.kill(pids(description)[1], signal.SIGKILL)
    eventually(lambda: "validator-1 was killed by signal 9" in devnet.shown(), "the report")
    eventually(lambda: "  | fake node: a line of its log" in devnet.shown(), "the end of its log")
    assert devnet.process.poll() is None
    assert is_alive(pids(description)[0])
    assert devnet.stop() == 0


def test_no_validator_is_left_when_the_command_itself_is_killed(start):
    devnet = start("--base-port", "0", "--validators", "3")
    description = devnet.description()
    devnet.stop(signal.SIGKILL)
    eventually(lambda: not any(is_alive(pid) for pid in pids(description)), "the end of the children")


def test_a_deaf_validator_is_killed_by_the_second_signal(start, tmp_path):
    home = made(tmp_path, 2)
    (home / "validator-1" / "deaf").touch()
    devnet = start()
    description = devnet.description()
    devnet.process.send_signal(signal.SIGINT)
    eventually(lambda: not is_alive(pids(description)[0]), "the end of the validator that listens")
    assert is_alive(pids(description)[1])
    assert devnet.stop(signal.SIGINT) == 0
    assert not is_alive(pids(description)[1])


def test_too_few_validators_to_begin_is_a_failure_with_their_last_words(start, tmp_path):
    home = made(tmp_path, 4)
    for index in (0, 1):
        (home / f"validator-{index}" / "refuse").touch()
    devnet = start()
    assert devnet.process.wait(PATIENCE_S) == 1
    shown = devnet.shown()
    assert "validator-0 ended with exit code 2" in shown
    assert "not today" in shown
    assert "\x1b" not in shown
    assert "2 of 4 validators are running, 3 are needed" in shown


def test_one_that_refuses_does_not_keep_the_others_from_beginning(start, tmp_path):
    home = made(tmp_path, 4)
    (home / "validator-2" / "refuse").touch()
    description = start().description()
    assert [pid is None for pid in pids(description)] == [False, False, True, False]


def test_validators_that_never_get_ready_end_the_wait_with_the_reason(start, tmp_path):
    home = made(tmp_path, 2)
    (home / "validator-1" / "unready").touch()
    patient = start()
    eventually(lambda: "1 of 2 validators ready; validator-1: " in patient.shown(), "the progress")
    eventually(lambda: "no_quorum" in patient.shown(), "the reason")
    assert patient.stop() == 0
    hasty = start("--ready-timeout", "1")
    assert hasty.process.wait(PATIENCE_S) == 1
    assert "after 1 s" in hasty.shown()
    assert not (hasty.home / "devnet.json").exists()


def test_a_directory_with_something_else_is_left_alone(start, tmp_path):
    home = tmp_path / "net"
    home.mkdir()
    (home / "letter.txt").write_text("dear")
    for arguments in ((), ("--reset",)):
        devnet = start("--base-port", "0", *arguments)
        assert devnet.process.wait(PATIENCE_S) == 2
        assert "letter.txt" in devnet.shown()
    assert (home / "letter.txt").exists()


def test_what_a_killed_devnet_left_is_removed_even_if_the_next_cannot_start(start):
    first = start("--base-port", "0", "--validators", "1")
    first.description()
    first.stop(signal.SIGKILL)
    assert (first.home / "devnet.json").exists()
    assert start("--validators", "2").process.wait(PATIENCE_S) == 2
    assert not (first.home / "devnet.json").exists()
