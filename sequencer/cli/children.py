"""The processes of a devnet: validators, and what else ends with them.

Responsible for: starting them so that none outlives this process, telling when one has died, stopping all of them.
Refuses to do: decide when to stop, or print.

Invariants:
1. A child is started from the main thread and ties itself to this process (`start --parent-pid`): it dies even when
   this process is killed.
2. A child has a process group of its own, so that Ctrl-C reaches only this process, which then stops the children in
   order.
3. After `stop_children` no child is left.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import trio

NODE_COMMAND: tuple[str, ...] = (sys.executable, "-m", "sequencer.cli")
STOP_DEADLINE_S = 10.0
POLL_S = 0.1
_TAIL_BYTES = 8192
_ENVIRONMENT_OF_ONE_NODE = ("SEQUENCER_HOME", "SEQUENCER_URL")


@dataclass(slots=True)
class ChildProcess:
    """One process of the devnet."""

    name: str
    log_file: Path
    log_start: int  # where this run's part of the log begins, bytes
    process: subprocess.Popen[bytes]

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def describe_end(self) -> str:
        """How the process ended."""
        code = self.process.poll()
        if code is None:
            return "is running"
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def last_log_lines(self, count: int = 10) -> list[str]:
        """The last lines that this run wrote to its log."""
        try:
            with self.log_file.open("rb") as file:
                file.seek(max(self.log_start, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                return file.read().decode(errors="replace").splitlines()[-count:]
        except OSError:
            return []


@dataclass(slots=True)
class Child(ChildProcess):
    """One validator's process."""

    index: int
    home: Path


def start_child(index: int, home: Path) -> Child:
    """Starts `sequencer start` for a home, its output appended to `node.log` there. Raises `OSError`."""
    log_file = home / "node.log"
    environment = {name: value for name, value in os.environ.items() if name not in _ENVIRONMENT_OF_ONE_NODE}
    arguments = ["start", "--home", str(home), "--parent-pid", str(os.getpid())]
    with log_file.open("ab") as log:
        log_start = log.tell()
        process = subprocess.Popen(
            [*NODE_COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    return Child(f"validator-{index}", log_file, log_start, process, index, home)


async def wait_ended(child: ChildProcess) -> None:
    """Returns once the child has ended."""
    while child.is_running:  # noqa: ASYNC110 (the kernel has no event for it that trio could wait for)
        await trio.sleep(POLL_S)


async def stop_children(children: Sequence[ChildProcess], deadline_s: float = STOP_DEADLINE_S) -> list[ChildProcess]:
    """Ends all children: SIGTERM, then SIGKILL after `deadline_s` or when cancelled. Returns those it had to kill."""
    killed: list[ChildProcess] = []
    try:
        for child in children:
            if child.is_running:
                with suppress(ProcessLookupError):
                    child.process.terminate()
        with trio.move_on_after(deadline_s):
            for child in children:
                await wait_ended(child)
    finally:
        for child in children:
            if child.is_running:
                child.process.kill()
                killed.append(child)
        for child in children:
            child.process.wait()
    return killed
