"""The L1 of a devnet: a real anvil, with stand-ins for the validators."""

import json
import os
import re
import signal
import tomllib
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.anvil import ask
from tests.integration.cli.devnet_process import PATIENCE_S, Devnet, eventually, is_alive

pytestmark = pytest.mark.e2e


@pytest.fixture
def start(tmp_path):
    started = []

    def run(*arguments, home=tmp_path / "net"):
        started.append(Devnet(home, *arguments))
        return started[-1]

    yield run
    for devnet in started:
        devnet.stop(signal.SIGKILL)


def new(start, *arguments):
    return start("--base-port", "0", "--validators", "2", *arguments)


def record(devnet):
    return json.loads((devnet.home / "l1" / "l1.json").read_text())


def remember(devnet, url):
    """Goes on until the devnet has recorded a final block of some height."""
    ask(url, "anvil_mine", "0x10")
    return eventually(lambda: record(devnet)["final_number"] and record(devnet), "a final block is recorded")


def code_at(description):
    return ask(description["l1"]["rpc"], "eth_getCode", description["contracts"]["inbox"], "latest")


def test_it_stands_before_the_validators_and_carries_on(start):
    first = new(start)
    description = first.description()
    assert description["l1"]["chain_id"] == 31337
    assert is_alive(description["l1"]["pid"])
    assert len(code_at(description)) > 1000
    inbox = description["contracts"]["inbox"]
    for text in (description["l1"]["rpc"], inbox):
        assert text in first.shown()
    for validator in description["validators"]:
        home = Path(validator["home"])
        config = tomllib.loads((home / "config" / "config.toml").read_text())
        assert config["l1"] == {"url": description["l1"]["rpc"], "inbox": inbox}
        assert tomllib.loads((home / "config" / "genesis.toml").read_text())["l1_chain_id"] == 31337
    known = remember(first, description["l1"]["rpc"])
    assert first.stop() == 0
    assert not is_alive(description["l1"]["pid"])

    second = start()
    again = second.description()
    assert (again["contracts"], again["l1"]["rpc"]) == (description["contracts"], description["l1"]["rpc"])
    block = ask(again["l1"]["rpc"], "eth_getBlockByNumber", hex(known["final_number"]), False)
    assert block["hash"] == known["final_hash"]
    assert second.shown().count("deployed") == 0
    assert second.stop() == 0

    moved = start("--base-port", "0").description()
    assert moved["contracts"] == description["contracts"]
    config = tomllib.loads((Path(moved["validators"][1]["home"]) / "config" / "config.toml").read_text())
    assert config["l1"]["url"] == moved["l1"]["rpc"]


def test_the_command_and_its_l1_may_be_killed(start):
    first = new(start)
    description = first.description()
    remember(first, description["l1"]["rpc"])
    first.stop(signal.SIGKILL)
    (first.home / "devnet.json").unlink()  # what `description` below reads is the second's
    second = start()
    assert second.description()["contracts"] == description["contracts"]
    eventually(lambda: not is_alive(description["l1"]["pid"]), "the first L1 ends with its parent")

    pid = second.description()["l1"]["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: "the L1 was killed by signal 9" in second.shown(), "the report")
    assert second.process.poll() is None
    assert second.stop() == 0
    third = start()
    assert third.description()["contracts"] == description["contracts"]


def test_another_or_an_older_l1_is_refused_with_the_remedy(start):
    first = new(start)
    description = first.description()
    state = first.home / "l1" / "state.json"
    eventually(state.exists, "a save")
    old = state.read_bytes()
    remember(first, description["l1"]["rpc"])
    assert first.stop() == 0
    for lost in (None, old):
        state.unlink()
        if lost is not None:
            state.write_bytes(lost)
        again = start()
        assert again.process.wait(PATIENCE_S) == 2
        assert "this is not the L1 that the validators know" in again.shown()
        assert "--reset" in again.shown()
    (first.home / "l1" / "l1.json").unlink()
    blind = start()
    assert blind.process.wait(PATIENCE_S) == 2
    assert "l1.json" in blind.shown()
    assert new(start, "--reset").description()["chain_id"] != description["chain_id"]


def test_an_l1_of_somebody_else(start, make_anvil):
    other = make_anvil(chain_id=4242, block_time_s=1)
    first = new(start, "--l1", other.url)
    description = first.description()
    assert description["l1"] == {"rpc": other.url, "chain_id": 4242, "pid": None}
    assert len(code_at(description)) > 1000
    remember(first, other.url)
    assert first.stop() == 0
    assert other.is_running
    for wrong in ("anvil", "none"):
        again = start("--l1", wrong)
        assert again.process.wait(PATIENCE_S) == 2
        assert "was made with --l1 the URL of an L1" in again.shown()
    stranger = make_anvil(chain_id=4242)
    refused = start("--l1", stranger.url)
    assert refused.process.wait(PATIENCE_S) == 2
    assert "name the L1 that the network ran on" in refused.shown()
    assert start().description()["contracts"] == description["contracts"]


def test_one_without_an_l1_gets_none_later(start):
    first = new(start, "--l1", "none")
    description = first.description()
    assert (description["l1"], description["contracts"]) == (None, {})
    assert first.stop() == 0
    second = start("--l1", "anvil")
    assert second.process.wait(PATIENCE_S) == 2
    assert "was made with --l1 none" in second.shown()


@pytest.mark.parametrize("wanted", ["http://127.0.0.1:1", "ftp://l1", "avil"])
def test_an_l1_that_is_not_there_is_one_message(start, wanted):
    devnet = new(start, "--l1", wanted)
    assert devnet.process.wait(PATIENCE_S) == 2
    assert f"--l1 {wanted}" in devnet.shown()
    assert not (devnet.home / "validator-0").exists()


class Strict(BaseHTTPRequestHandler):
    """An L1 that gives no money away, in front of one that does."""

    behind = ""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        question = json.loads(body)
        if question["method"].startswith("anvil_"):
            error = {"code": -32601, "message": "the method does not exist"}
            answer = json.dumps({"jsonrpc": "2.0", "id": question["id"], "error": error}).encode()
        else:
            request = urllib.request.Request(self.behind, body, {"content-type": "application/json"})
            with urllib.request.urlopen(request) as answered:
                answer = answered.read()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def strict(make_anvil):
    """An anvil and the address of a server in front of it."""
    anvil = make_anvil(chain_id=77, block_time_s=1)
    handler = type("StrictHere", (Strict,), {"behind": anvil.url})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield anvil, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_l1_that_gives_no_money_away_names_the_accounts_to_fund(start, strict):
    anvil, url = strict
    first = new(start, "--l1", url)
    assert first.process.wait(PATIENCE_S) == 2
    accounts = re.findall(r"^  0x([0-9a-f]{40})$", first.shown(), re.MULTILINE)
    assert len(accounts) == 2
    assert "start again" in first.shown()
    anvil.fund(bytes.fromhex(accounts[0]))
    second = start()
    assert second.description()["l1"] == {"rpc": url, "chain_id": 77, "pid": None}
    assert f"0x{accounts[1]} is empty" in second.shown()
