"""Validators as processes, for a benchmark: started as a newcomer starts them, and measured from outside."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from sequencer.cli.homes import validator_home

START_DEADLINE_S = 120
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """Of one process: CPU seconds since its start, resident bytes now."""

    cpu_s: float
    resident_bytes: int


def usage_of(pid: int) -> Usage:
    """Reads /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    resident_pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage((int(fields[11]) + int(fields[12])) / _CLOCK_TICKS, resident_pages * _PAGE_BYTES)


class Network:
    """A running devnet."""

    def __init__(self, description: dict[str, Any]) -> None:
        self.validators: list[dict[str, Any]] = description["validators"]
        self.namespaces: list[int] = [entry["id"] for entry in description["namespaces"]]
        self.urls: list[str] = [entry["rpc"] for entry in self.validators]

    def crash(self, count: int) -> None:
        """Kills the last `count` validators; nothing is sent to them any more."""
        for entry in self.validators[len(self.validators) - count :]:
            os.kill(entry["pid"], signal.SIGKILL)
        self.validators = self.validators[: len(self.validators) - count]
        self.urls = [entry["rpc"] for entry in self.validators]

    @contextmanager
    def lying(self, home: Path, count: int) -> Iterator[None]:
        """The last `count` validators equivocate as leaders and vote twice; nothing is sent to them any more."""
        indices = range(len(self.validators) - count, len(self.validators))
        self.crash(count)
        command = [sys.executable, "-m", "tests.e2e.byzantine_validator", "start", "--home"]
        with (home.parent / "liars.log").open("wb") as log:
            started = [
                subprocess.Popen([*command, str(validator_home(home, index))], stdout=log, stderr=log)
                for index in indices
            ]
            try:
                yield
            finally:
                for process in started:
                    process.terminate()
                    process.wait(timeout=60)

    def usages(self) -> list[Usage]:
        return [usage_of(entry["pid"]) for entry in self.validators]


@contextmanager
def devnet(home: Path, validators: int, options: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """`sequencer devnet` on free ports, indexed as validators are outside of a devnet; stopped at the end."""
    command = [sys.executable, "-m", "sequencer.cli", "devnet", "--l1", "none", "--home", str(home)]
    command += ["--validators", str(validators), "--base-port", "0", *options]
    log = (home.parent / "devnet.log").open("wb")
    environment = os.environ | {"SEQUENCER_NODE__TX_INDEX": "own"}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()


async def until_running(home: Path, process: subprocess.Popen[bytes]) -> Network:
    """The network, once everything answers."""
    with trio.fail_after(START_DEADLINE_S):
        while not (home / "devnet.json").exists():
            if process.poll() is not None:
                raise RuntimeError(f"the devnet ended: {(home.parent / 'devnet.log').read_text()}")
            await trio.sleep(0.1)
    return Network(json.loads((home / "devnet.json").read_text()))
