"""The L1 that tests and the devnet run: does it answer, move, and end with us?"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sequencer.l1dev.anvil import find_anvil
from sequencer.l1dev.errors import AnvilMissing, L1Died, PortTaken
from sequencer.l1dev.running import Anvil, AnvilOptions
from sequencer.l1dev.state import StateDirectory
from tests.anvil import PATIENCE_S, POLL_S, RICH_ADDRESS

pytestmark = pytest.mark.e2e
STRANGER = b"\x01" * 20


def number(anvil, tag):
    return int(anvil.ask("eth_getBlockByNumber", tag, False)["number"], 16)


def test_finalized_follows_two_epochs_behind(anvil):
    anvil.mine(20)
    assert (number(anvil, "latest"), number(anvil, "safe"), number(anvil, "finalized")) == (20, 16, 12)
    anvil.fund(STRANGER, 7)
    assert int(anvil.ask("eth_getBalance", f"0x{STRANGER.hex()}", "latest"), 16) == 7
    assert int(anvil.ask("eth_getBalance", f"0x{RICH_ADDRESS.hex()}", "latest"), 16) > 10**21


async def test_it_is_ready_once_it_answers_and_stops_in_order(tmp_path):
    anvil = Anvil(find_anvil(), AnvilOptions(chain_id=77), tmp_path / "log")
    try:
        await anvil.until_ready()
        assert anvil.url == f"http://127.0.0.1:{anvil.port}"
    finally:
        anvil.stop()
    assert anvil.process.returncode == 0


async def test_one_that_cannot_start_says_why(make_anvil, tmp_path):
    with pytest.raises(PortTaken, match="in use"):
        Anvil(find_anvil(), AnvilOptions(port=make_anvil().port), tmp_path / "log")
    state = StateDirectory(tmp_path)
    state.state_file.write_text("{")
    anvil = Anvil(find_anvil(), AnvilOptions(state=state), tmp_path / "log")
    with pytest.raises(L1Died, match="failed to parse json"):
        await anvil.until_ready()


def test_a_binary_that_is_not_there_is_one_message(monkeypatch, tmp_path):
    monkeypatch.setenv("ANVIL", str(tmp_path / "nothing"))
    with pytest.raises(AnvilMissing, match="unset it"):
        find_anvil()
    monkeypatch.delenv("ANVIL")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(AnvilMissing, match=r"-m sequencer\.l1dev install"):
        find_anvil()


def test_it_dies_with_the_process_that_started_it(tmp_path):
    program = (
        "import pathlib, sys, time\n"
        "from sequencer.l1dev.anvil import find_anvil\n"
        "from sequencer.l1dev.running import Anvil, AnvilOptions\n"
        "anvil = Anvil(find_anvil(), AnvilOptions(), pathlib.Path(sys.argv[1]))\n"
        "while not anvil.is_ready(): time.sleep(0.02)\n"
        "print(anvil.process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "log")], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while (state := process_state(pid)) not in {None, "Z"}:
        assert time.monotonic() < deadline, state
        time.sleep(POLL_S)


def process_state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None
