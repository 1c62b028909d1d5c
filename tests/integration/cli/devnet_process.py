"""The `sequencer devnet` command as a process, its validators stand-ins (`fake_node.py`)."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.hearing import HEARING

COMMAND = (sys.executable, str(Path(__file__).with_name("devnet_with_fake_nodes.py")), "devnet")
PATIENCE_S = 60


def eventually(condition, what):
    """Waits for a condition that has to come true; how long it takes is not what is tested."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    pytest.fail(f"never happened: {what}")


def is_alive(pid):
    # A zombie still has its pid until its parent, or init, collects it.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Devnet:
    def __init__(self, home, *arguments):
        self.home = home
        self.output = home.with_name(f"{home.name}.out").open("w+")
        self.process = subprocess.Popen(
            [*HEARING, *COMMAND, "--home", str(home), *arguments], stdout=self.output, stderr=subprocess.STDOUT
        )

    def shown(self):
        return Path(self.output.name).read_text()

    def description(self):
        def read():
            assert self.process.poll() is None, self.shown()
            path = self.home / "devnet.json"
            return path.exists() and json.loads(path.read_text())

        return eventually(read, "devnet.json")

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self.output.close()
        return code


def pids(description):
    return [validator["pid"] for validator in description["validators"]]
