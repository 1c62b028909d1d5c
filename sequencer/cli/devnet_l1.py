"""The L1 of a devnet: which one, the anvil that it runs itself, and what is shown of it.

Responsible for: reading `--l1`, the life of the devnet's own anvil, remembering what was final on it.
Refuses to do: deploy or check the Inbox (`l1_network.py`), or stop the network because its L1 died: it orders without.

Invariants:
1. A network keeps the kind of L1 that it was made with: its genesis names the L1's chain id.
2. The own anvil is stopped after the validators, and saves its state then.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from sequencer.cli.children import ChildProcess, stop_children
from sequencer.cli.errors import CommandError, UsageFault
from sequencer.cli.homes import L1_DIRECTORY
from sequencer.cli.l1_network import L1Record, load_record, remember_final, set_up
from sequencer.cli.ports import LOOPBACK, free_port, l1_port_from_base
from sequencer.l1.errors import L1Error
from sequencer.l1.json_rpc import L1Client
from sequencer.l1dev.anvil import find_anvil
from sequencer.l1dev.errors import AnvilMissing, L1DevError, PortTaken
from sequencer.l1dev.running import L1_CHAIN_ID, AnvilOptions, start_kept
from sequencer.l1dev.state import StateDirectory

ANVIL, NONE = "anvil", "none"
REMEMBER_INTERVAL_S = 2.0
_STOP_DEADLINE_S = 60.0  # a large state takes its time


@dataclass(frozen=True, slots=True)
class L1Choice:
    """The L1 of a devnet; `url` None: its own anvil, on `port`."""

    chain_id: int
    url: str | None = None
    port: int = 0


def choose_for_new(wanted: str | None, base_port: int, count: int) -> L1Choice | None:
    """What `--l1` asks for; its own anvil if it is not given. Raises `UsageFault` for what cannot be had."""
    wanted = wanted or ANVIL
    if wanted == NONE:
        return None
    if wanted == ANVIL:
        _require_anvil()
        return L1Choice(L1_CHAIN_ID, port=l1_port_from_base(base_port, count) if base_port else free_port())
    return L1Choice(trio.run(_ask_chain_id, wanted), wanted)


def choose_for_existing(
    wanted: str | None, directory: Path, l1_chain_id: int, base_port: int | None, count: int
) -> L1Choice | None:
    """The L1 of a network that is there, at the port or URL asked for. Raises `UsageFault` for another kind of L1."""
    record = load_record(directory)
    is_own = wanted in {ANVIL, None} if record is None else record.is_own
    there = NONE if not l1_chain_id else (ANVIL if is_own else "the URL of an L1")
    fits = wanted is None or wanted == there or (there not in {NONE, ANVIL} and wanted not in {NONE, ANVIL})
    if not fits:
        raise UsageFault(
            f"the network in {directory} was made with --l1 {there}; leave --l1 out to carry on with it, or add "
            "--reset to remove it and make a new one"
        )
    if not l1_chain_id:
        return None
    if not is_own:
        return L1Choice(l1_chain_id, wanted or (record.url if record else None))
    _require_anvil()
    if base_port:
        return L1Choice(l1_chain_id, port=l1_port_from_base(base_port, count))
    there = record.url.rpartition(":")[2] if record and base_port is None else ""
    return L1Choice(l1_chain_id, port=int(there) if there.isdigit() else free_port())


def _require_anvil() -> None:
    try:
        find_anvil()
    except AnvilMissing as error:
        raise UsageFault(f"{error}; or make a network without an L1: --l1 {NONE}") from error


async def _ask_chain_id(url: str) -> int:
    if not url.startswith(("http://", "https://")):
        raise UsageFault(f"--l1 {url}: {ANVIL}, {NONE} or the URL of an L1 is wanted")
    try:
        async with L1Client(url) as client:
            return await client.chain_id()
    except L1Error as error:
        raise UsageFault(f"--l1 {url}: {error}") from error


class DevnetL1:
    """The L1 of a running devnet."""

    def __init__(self, directory: Path, homes: Sequence[Path], choice: L1Choice) -> None:
        """Starts nothing yet."""
        self.process: ChildProcess | None = None  # of the own anvil
        self._directory = directory
        self._homes = homes
        self._choice = choice
        self._url = choice.url or f"http://{LOOPBACK}:{choice.port}"
        self._state = StateDirectory(directory / L1_DIRECTORY)
        self._record: L1Record | None = None

    async def start(self, say: Callable[[str], None]) -> None:
        """Returns once the L1 answers, the Inbox stands and the homes name it. Raises `CommandError`."""
        try:
            if self._choice.url is None:
                await self._start_anvil()
        except PortTaken as error:
            raise UsageFault(f"{error}; stop what uses it, or use other ports: --base-port") from error
        except L1DevError as error:
            raise CommandError(str(error)) from error
        async with L1Client(self._url) as client:
            is_own = self._choice.url is None
            self._record = await set_up(self._directory, self._homes, client, url=self._url, is_own=is_own, say=say)

    async def keep(self) -> None:
        """Keeps the own anvil's saves, and remembers what is final. Runs until it is cancelled."""
        async with trio.open_nursery() as nursery:
            if self.process is not None:
                nursery.start_soon(self._state.keep)
            nursery.start_soon(self._remember)

    def describe(self) -> dict[str, Any]:
        """The L1 in `devnet.json`."""
        pid = self.process.process.pid if self.process is not None and self.process.is_running else None
        return {"rpc": self._url, "chain_id": self._choice.chain_id, "pid": pid}

    def contracts(self) -> dict[str, str]:
        """The contracts in `devnet.json`."""
        return {"inbox": self._record.inbox} if self._record is not None else {}

    async def stop(self) -> list[ChildProcess]:
        """Ends the own anvil, which saves its state, and takes that over. Returns it if it had to be killed."""
        if self.process is None:
            return []
        killed = await stop_children([self.process], _STOP_DEADLINE_S)
        self._state.promote()
        return killed

    async def _start_anvil(self) -> None:
        options = AnvilOptions(port=self._choice.port, chain_id=self._choice.chain_id, state=self._state, is_quiet=True)
        anvil = await start_kept(find_anvil(), options, self._state.directory / "anvil.log")
        self.process = ChildProcess("the L1", anvil.log_file, anvil.log_start, anvil.process)
        await anvil.until_ready()

    async def _remember(self) -> None:
        async with L1Client(self._url) as client:
            while self._record is not None:
                with suppress(L1Error):
                    self._record = await remember_final(self._directory, client, self._record)
                await trio.sleep(REMEMBER_INTERVAL_S)
