"""The `sequencer` command as an operator runs it."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import trio

from tests.e2e.network import COMMAND, environment, note, until
from tests.hearing import HEARING

BANNER_END = "Ctrl-C stops the network"


async def run_command(*arguments: str, code: int = 0) -> str:
    """Runs one command to its end; returns its stdout. It must end with `code` and never with a traceback."""
    ended = await trio.run_process(
        [*COMMAND, *arguments], capture_stdout=True, capture_stderr=True, check=False, env=environment()
    )
    said = ended.stderr.decode(errors="replace")
    assert ended.returncode == code, f"{arguments}: {ended.returncode}, {said}"
    assert "Traceback" not in said, said
    return ended.stdout.decode()


async def ask(*arguments: str, code: int = 0) -> Any:
    """The JSON that a reading command prints with `--json`."""
    return json.loads(await run_command(*arguments, "--json", code=code))


class Devnet:
    """A running `sequencer devnet`."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home = home
        self.output = home.with_name(f"{home.name}.out")
        with self.output.open("ab") as output:
            self._output_start = output.tell()
            self.process = subprocess.Popen(
                [*HEARING, *COMMAND, "devnet", "--home", str(home), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(),
            )

    def said(self) -> str:
        """What it has shown since it was started."""
        with self.output.open("rb") as output:
            output.seek(self._output_start)
            return output.read().decode(errors="replace")

    async def description(self) -> Any:
        """`devnet.json`, once it is there."""

        def read() -> Any:
            assert self.process.poll() is None, self.said()
            # One that was killed left its file behind: only what is written before this run's banner counts.
            return BANNER_END in self.said() and json.loads((self.home / "devnet.json").read_text())

        return await until(read, "the devnet is up")

    async def until_ended(self) -> int:
        """Its exit code."""
        await until(lambda: self.process.poll() is not None, "the devnet ends")
        code: int = self.process.poll()  # type: ignore[assignment]
        return code

    async def stop(self, number: int = signal.SIGINT) -> int:
        """Sends a signal to the command alone; returns its exit code."""
        self.process.send_signal(number)
        return await self.until_ended()

    def end(self) -> None:
        """For the end of a test."""
        self.process.kill()
        self.process.wait()
        note(f"--- devnet in {self.home}, the end of its output")
        note("\n".join(self.said().splitlines()[-40:]))
        for log in sorted(self.home.glob("validator-*/node.log")):
            note(f"--- {log.parent.name}")
            note("\n".join(log.read_text(errors="replace").splitlines()[-20:]))


def is_alive(pid: int) -> bool:
    """Whether a process runs. A zombie, which only its parent can collect, does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def processes_of(home: Path) -> list[int]:
    """Every process that was started with a home inside `home`."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdecimal() and int(directory.name) != os.getpid():
            try:
                command = (directory / "cmdline").read_bytes()
            except OSError:
                continue
            if f"--home\0{home}".encode() in command and is_alive(int(directory.name)):
                found.append(int(directory.name))
    return found
