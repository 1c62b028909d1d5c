"""An anvil process: how it is started, when it answers, how it ends.

Responsible for: its command line, its log file, its port.
Refuses to do: find the binary (`anvil.py`), or put anything on the chain (`deploy.py`).

Invariants:
1. Anvil dies with this process, however that ends, and has a process group of its own, so that Ctrl-C reaches only us.
   It is started from the main thread, which the kernel watches.
2. With a state directory the chain outlives the process: SIGTERM saves all of it; SIGKILL loses at most what came after
   the last save (docs/adr/0013). Transactions that are not mined are lost in both cases.
3. Only the newest `STATES_KEPT` states are kept, in memory; blocks, receipts and logs are kept for ever.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from sequencer.l1dev import tied
from sequencer.l1dev.errors import L1Died, PortTaken
from sequencer.l1dev.state import StateDirectory

L1_CHAIN_ID = 31337
BLOCK_TIME_S = 1
SLOTS_IN_AN_EPOCH = 4
STATES_KEPT = 64  # calls as of older blocks are refused; without a bound anvil writes a file for each block
READY_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0
_POLL_S = 0.02
_ANSWER_TIMEOUT_S = 5.0
_LOOPBACK = "127.0.0.1"
_LISTENING = re.compile(rb"^Listening on \S+:(\d+)\s*$", re.MULTILINE)
_LOG_END_BYTES = 4096


@dataclass(frozen=True, slots=True)
class AnvilOptions:
    """What chain an anvil serves. `block_time_s` None: a block for each transaction, at once."""

    host: str = _LOOPBACK
    port: int = 0
    chain_id: int = L1_CHAIN_ID
    block_time_s: int | None = BLOCK_TIME_S
    slots_in_an_epoch: int = SLOTS_IN_AN_EPOCH
    state: StateDirectory | None = None
    is_quiet: bool = False  # logs only errors; needs a port, since anvil does not say then which one it took

    def arguments(self) -> list[str]:
        """Anvil's command line behind its name."""
        listed = ["--host", self.host, "--port", str(self.port), "--chain-id", str(self.chain_id)]
        listed += ["--hardfork", "osaka", "--slots-in-an-epoch", str(self.slots_in_an_epoch), "--no-cors"]
        listed += ["--prune-history", str(STATES_KEPT)]
        if self.is_quiet:
            listed.append("--quiet")
        if self.block_time_s is not None:
            listed += ["--block-time", str(self.block_time_s)]
        if self.state is not None:
            listed += [
                "--dump-state",
                str(self.state.draft_file),
                "--state-interval",
                str(self.state.save_interval_s()),
            ]
            if self.state.state_file.exists():
                listed += ["--load-state", str(self.state.state_file)]
        return listed


async def start_kept(binary: Path, options: AnvilOptions, log_file: Path) -> "Anvil":
    """Starts an anvil with a state directory, on its newest whole state.

    Raises `OSError` or `L1DevError`.
    """
    if options.state is None:
        raise ValueError("an anvil that is kept has a state directory")
    held = await options.state.lock()
    try:
        options.state.recover()
        return Anvil(binary, options, log_file, (held,))
    finally:
        os.close(held)


class Anvil:
    """One anvil process."""

    def __init__(self, binary: Path, options: AnvilOptions, log_file: Path, held: Sequence[int] = ()) -> None:
        """Starts it, its output appended to `log_file`. Call from the main thread.

        Raises `OSError`, and `PortTaken` where another process would answer in its place.
        `held`: descriptors that stay open in the process, such as the lock of its state directory.
        """
        _require_free(options.host, options.port)
        self.options = options
        self.log_file = log_file
        self._port = options.port or None
        with log_file.open("ab") as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", tied.__file__, str(os.getpid()), str(binary), *options.arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=tuple(held),
            )

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    @property
    def port(self) -> int:
        """Where it listens; known once it is ready."""
        if self._port is None:
            raise L1Died("anvil has not said where it listens")
        return self._port

    @property
    def url(self) -> str:
        """Its JSON-RPC address; known once it is ready."""
        return f"http://{self.options.host}:{self.port}"

    def is_ready(self) -> bool:
        """Whether it answers as the chain that was asked for. Raises `L1Died` if the process has ended."""
        if not self.is_running:
            raise L1Died(f"anvil ended with {self.process.poll()}; the end of {self.log_file}:\n{self._log_end()}")
        if self._port is None:
            listening = _LISTENING.search(self._said())
            if listening is None:
                return False
            self._port = int(listening.group(1))
        return _ask_chain_id(self.url) == self.options.chain_id

    async def until_ready(self, deadline_s: float = READY_DEADLINE_S) -> None:
        """Returns once it answers. Raises `L1Died` if it ends before, or when `deadline_s` have passed."""
        with trio.move_on_after(deadline_s):
            while not await trio.to_thread.run_sync(self.is_ready):  # noqa: ASYNC110 (another process's state)
                await trio.sleep(_POLL_S)
            return
        raise L1Died(f"anvil does not answer after {deadline_s:g} s; its log is {self.log_file}")

    def kill(self) -> None:
        """SIGKILL, and gone when this returns."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, which saves the state; SIGKILL if it does not end. Gone when this returns."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def _said(self) -> bytes:
        with self.log_file.open("rb") as log:
            log.seek(self.log_start)
            return log.read()

    def _log_end(self) -> str:
        return self._said()[-_LOG_END_BYTES:].decode(errors="replace")


def _require_free(host: str, port: int) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise PortTaken(f"port {port}, where the L1 is to listen, cannot be used: {error.strerror}") from error


def _ask_chain_id(url: str) -> int | None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})  # noqa: S310 (http, our own)
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_TIMEOUT_S) as answer:  # noqa: S310
            return int(json.load(answer)["result"], 16)
    except (OSError, ValueError, KeyError, TypeError):
        return None
