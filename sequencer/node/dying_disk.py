"""A disk that takes the process down at one of its operations, for tests: what was not synced may be lost with it.

Responsible for: counting the operations of `storage/durable.py`, dying at the chosen one in the chosen way, and
remembering how to take back what a power cut would take.
Refuses to do: bring back what was synced to another state, or know what the operations are for.

The ways: `before` the operation, in the `middle` of it, `after` it, or `lost`: after it, as in a power cut. A power cut
takes everything that was not synced: bytes behind the synced length of a file or of LevelDB's newest log, and names of
files and directories whose directory was not synced. Middle is half of an append or of a write to LevelDB's log, and
of any other operation a power cut that leaves half of what was being synced.

Invariants:
1. Operations come one at a time, and none is carried out while the process dies: no other thread gets an answer.
2. Death is SIGKILL to ourselves, after one line on stderr that says where.
"""

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from storage.durable import Operation

Way = Literal["before", "middle", "after", "lost"]
WAYS: tuple[Way, ...] = get_args(Way)


def die_here(place: str) -> None:
    """See the module."""
    os.write(sys.stderr.fileno(), f"sequencer: dies here: {place}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()  # the signal may reach another thread first


class DyingDisk:
    """A witness (`storage.durable.Witness`)."""

    def __init__(self, number: int, way: Way, die: Callable[[str], None] = die_here) -> None:
        """Dies at the operation of this number; the first one is 1."""
        self._number = number
        self._way = way
        self._end = die
        self._count = 0
        self._turn = threading.RLock()
        self._unsynced: list[tuple[Path, Callable[[], object]]] = []  # (what a sync of makes it stay, how it is lost)

    def carry_out(self, operation: Operation) -> None:
        """As it is, unless this is the one."""
        with self._turn:
            self._count += 1
            if self._count != self._number:
                self._do(operation)
            elif self._way == "before":
                self._die(operation)
            elif self._way == "middle":
                self._do_half(operation)
                self._die(operation)
            else:
                self._do(operation)
                if self._way == "lost":
                    self._lose()
                self._die(operation)

    def _do(self, operation: Operation) -> None:
        path = operation.path
        match operation.kind:
            case "make_directory":
                if not path.exists():
                    self._note(path.parent, partial(shutil.rmtree, path))
            case "create":
                self._note(path.parent, path.unlink)
            case "append":
                self._note(path, partial(os.truncate, path, path.stat().st_size))
            case "truncate":
                self._note(path, partial(path.write_bytes, path.read_bytes()))
            case "replace":
                self._note(path.parent, _put_back(path))
            case "remove":
                self._note(path.parent, _put_back(path))
            case "sync_file" | "sync_directory":
                operation.run()
                self._forget(path)
                return
            case "write_plain" | "write_synced":
                self._write_database(operation)
                return
        operation.run()

    def _write_database(self, operation: Operation) -> None:
        before, size = _newest_log(operation.path)
        operation.run()
        log, _ = _newest_log(operation.path)
        self._note(log, partial(os.truncate, log, size if log == before else 0))
        if operation.kind == "write_synced":
            self._forget(log)

    def _do_half(self, operation: Operation) -> None:
        match operation.kind:
            case "append" if operation.run_half is not None:
                operation.run_half()
            case "write_plain" | "write_synced":
                before, size = _newest_log(operation.path)
                operation.run()
                log, end = _newest_log(operation.path)
                start = size if log == before else 0
                os.truncate(log, start + (end - start) // 2)
            case "sync_file":
                content = operation.path.read_bytes()
                self._lose()
                with suppress(FileNotFoundError):  # lost with its name
                    start = operation.path.stat().st_size
                    with operation.path.open("ab") as file:
                        file.write(content[start : (start + len(content)) // 2])
            case _:
                self._lose()

    def _note(self, synced_with: Path, lose: Callable[[], object]) -> None:
        self._unsynced.append((synced_with, lose))

    def _forget(self, synced: Path) -> None:
        self._unsynced = [entry for entry in self._unsynced if entry[0] != synced]

    def _lose(self) -> None:
        for _, lose in reversed(self._unsynced):
            with suppress(FileNotFoundError):  # gone by itself: a log of LevelDB whose content is elsewhere by now
                lose()

    def _die(self, operation: Operation) -> None:
        self._end(f"{self._count} {self._way} {operation.kind} {operation.path.name}")


def _newest_log(database: Path) -> tuple[Path, int]:
    log = max(database.glob("*.log"))
    return log, log.stat().st_size


def _put_back(path: Path) -> Callable[[], object]:
    return partial(path.write_bytes, path.read_bytes()) if path.exists() else path.unlink
