"""What storage asks of the disk: every operation whose effect must outlive the process passes through here.

Responsible for: carrying the operations out, and showing each to a witness, if there is one, who may carry it out in
part or let the process die at it.
Refuses to do: know what is stored, or turn errors into faults: all raise what the system or LevelDB raises.

Invariants:
1. Without a witness an operation is carried out as it is; that costs one look at a variable more than the operation.
2. Operations that a witness sees are whole steps of the disk: between two of them nothing becomes durable but by the
   system's own choice. What LevelDB does by itself (compactions, its manifest) is not shown.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

PRIVATE_DIRECTORY_MODE = 0o700
PRIVATE_FILE_MODE = 0o600

Kind = Literal[
    "make_directory", "create", "append", "truncate", "replace", "remove", "sync_file", "sync_directory", "write_plain",
    "write_synced",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation:
    """One step: what it does to which file or directory, and how. `run_half`: a write that is torn in the middle."""

    kind: Kind
    path: Path
    run: Callable[[], None]
    run_half: Callable[[], None] | None = None


class Witness(Protocol):
    """Sees every operation instead of the disk."""

    def carry_out(self, operation: Operation) -> None:
        """Carries it out, on the thread that asked for it."""


_witness: Witness | None = None


def set_witness(witness: Witness | None) -> None:
    """For tests of crashes, before any storage is opened; None takes it away."""
    global _witness  # noqa: PLW0603 - one process has one disk
    _witness = witness


def make_directory(path: Path) -> None:
    """A private directory; one that is there is left as it is."""
    _carry_out("make_directory", path, lambda: path.mkdir(mode=PRIVATE_DIRECTORY_MODE, exist_ok=True))


def create(path: Path, flags: int) -> int:
    """Opens a private file for writing, made if it is not there; returns its descriptor."""
    descriptors: list[int] = []
    flags |= os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    _carry_out("create", path, lambda: descriptors.append(os.open(path, flags, PRIVATE_FILE_MODE)))
    return descriptors[0]


def append(descriptor: int, path: Path, content: bytes) -> None:
    """Writes every byte at the end of the file: the system may take a part and say why only at the next call."""
    half = memoryview(content)[: len(content) // 2]
    _carry_out("append", path, lambda: write_all(descriptor, content), lambda: write_all(descriptor, half))


def truncate(descriptor: int, path: Path, length: int) -> None:
    """Cuts the file off at `length` bytes."""
    _carry_out("truncate", path, lambda: os.ftruncate(descriptor, length))


def sync_data(descriptor: int, path: Path) -> None:
    """The content is on disk on return, and the length with it."""
    _carry_out("sync_file", path, lambda: os.fdatasync(descriptor))


def sync_file(descriptor: int, path: Path) -> None:
    """Content and all that the system keeps of the file are on disk on return."""
    _carry_out("sync_file", path, lambda: os.fsync(descriptor))


def sync_directory(path: Path) -> None:
    """The names in the directory are on disk on return."""
    _carry_out("sync_directory", path, lambda: _sync_directory(path))


def replace(draft: Path, path: Path) -> None:
    """Gives a file another name, in place of the file that has it."""
    _carry_out("replace", path, lambda: _replace(draft, path))


def remove(path: Path) -> None:
    """Takes a file's name away."""
    _carry_out("remove", path, path.unlink)


def write_database(path: Path, write: Callable[[], None], *, sync: bool) -> None:
    """One atomic write of the LevelDB database at `path`. The caller has the turn of writing."""
    _carry_out("write_synced" if sync else "write_plain", path, write)


def write_all(descriptor: int, content: bytes | memoryview) -> None:
    """Writes every byte, unseen. Raises OSError."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _carry_out(kind: Kind, path: Path, run: Callable[[], None], run_half: Callable[[], None] | None = None) -> None:
    if _witness is None:
        run()
    else:
        _witness.carry_out(Operation(kind, path, run, run_half))


def _replace(draft: Path, path: Path) -> None:
    draft.replace(path)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
