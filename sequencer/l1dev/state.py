"""The file that a development L1 carries on from: which one is whole, and how a new one takes its place.

Responsible for: the directory of an anvil's state, held by one anvil at a time, and the newest whole file in it.
Refuses to do: read what is in a state, or run anvil (`running.py`).

Invariants:
1. `state.json` is always whole. Anvil writes its saves in place, into `draft.json`; a draft takes the place of
   `state.json` only once it is written to its end, which is told by how a state ends.
2. As long as an anvil runs or still saves, however its parent ended, nobody else uses the directory: the process itself
   holds the lock.
"""

import fcntl
import os
from pathlib import Path

import trio

from sequencer.l1dev.errors import L1DevError

STATE_NAME = "state.json"
DRAFT_NAME = "draft.json"
LOCK_NAME = "LOCK"
LOCK_DEADLINE_S = 60.0
# A save costs some 3 ms for each MB. Nodes keep what is final, eight blocks behind: that must be saved by then.
SAVE_INTERVAL_S = 2
SAVE_INTERVAL_LARGE_S = 5
LARGE_BYTES = 32 * 1024 * 1024
_END = b'"historical_states":null}'  # anvil's last field; nothing before it can look like that
_POLL_S = 0.1
_PROMOTE_INTERVAL_S = 1.0


class StateDirectory:
    """The directory of one anvil's state."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state_file = directory / STATE_NAME
        self.draft_file = directory / DRAFT_NAME

    async def lock(self, deadline_s: float = LOCK_DEADLINE_S) -> int:
        """A descriptor that holds the directory; hand it to anvil and close it. Waits for an anvil that still saves.

        Raises `L1DevError` if somebody keeps the directory for longer.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with trio.move_on_after(deadline_s):
                while not _try_lock(descriptor):  # noqa: ASYNC110 (a lock of another process)
                    await trio.sleep(_POLL_S)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        raise L1DevError(f"another anvil uses {self.directory}; stop it, or use another directory")

    def recover(self) -> None:
        """Under the lock, after a run that ended somehow: its last save is used if it is whole, removed if not."""
        if not self.promote():
            self.draft_file.unlink(missing_ok=True)

    def promote(self) -> bool:
        """Makes a whole draft the state. Returns whether there was one."""
        if not _is_whole(self.draft_file):
            return False
        self.draft_file.replace(self.state_file)
        return True

    def save_interval_s(self) -> int:
        """How often anvil shall save: the more there is, the less often."""
        try:
            size = self.state_file.stat().st_size
        except FileNotFoundError:
            size = 0
        return SAVE_INTERVAL_LARGE_S if size > LARGE_BYTES else SAVE_INTERVAL_S

    async def keep(self) -> None:
        """Makes every save the state soon after it was written. Runs until it is cancelled."""
        while True:
            await trio.sleep(_PROMOTE_INTERVAL_S)
            self.promote()


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_whole(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(_END)))
            return file.read() == _END
    except FileNotFoundError:
        return False
