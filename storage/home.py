"""The home directory: its folders, its lock, and files written so that a power cut cannot tear them.

Invariants:
1. Whoever holds a `DirectoryLock` is the only process (and the only holder within its process) using that directory.
   The kernel drops the lock when the process ends, however it ends; the number in the file only names the holder.
2. A file made by `write_durably` is absent or whole, and its name is on disk when the call returns.

The lock's descriptor is not inherited across exec. A child that only forks keeps it open: start worker processes by
spawn.
"""

import fcntl
import os
from pathlib import Path
from typing import Self

from storage import durable
from storage.durable import PRIVATE_FILE_MODE
from storage.errors import HomeInUse, faults_mapped

LOCK_NAME = "LOCK"


def database_directory(home: Path) -> Path:
    """Where LevelDB lives."""
    return home / "data" / "database"


def batches_directory(home: Path) -> Path:
    """Where the segment files of batches live."""
    return home / "data" / "batches"


class DirectoryLock:
    """An exclusive hold on a directory, an flock on its file `LOCK`: for the home and for a key directory."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, directory: Path) -> Self:
        """Take the lock or raise HomeInUse, naming the holder; the directory is made if it is missing."""
        make_directory(directory)
        path = directory / LOCK_NAME
        with faults_mapped(f"locking {path}"):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE_MODE)
            try:
                _take(descriptor, directory)
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            except BaseException:
                os.close(descriptor)
                raise
        return cls(descriptor)

    def release(self) -> None:
        """Let go; a second call does nothing. The file stays: removing it would let two holders lock two files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def make_directory(directory: Path) -> None:
    """Make a directory and its missing parents, private to this user, with every new name on disk."""
    with faults_mapped(f"making {directory}"):
        missing = [directory, *directory.parents]
        for path in reversed([path for path in missing if not path.exists()]):
            durable.make_directory(path)
            durable.sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Put the names in a directory on disk: a synced file whose name is lost is lost."""
    with faults_mapped(f"syncing the directory {directory}"):
        durable.sync_directory(directory)


def write_durably(path: Path, content: bytes) -> None:
    """Write a small private file whole or not at all: a synced temporary file, renamed, then the directory synced."""
    temporary = path.with_name(path.name + ".tmp")
    with faults_mapped(f"writing {path}"):
        descriptor = durable.create(temporary, os.O_TRUNC)
        try:
            durable.append(descriptor, temporary, content)
            durable.sync_file(descriptor, temporary)
        finally:
            os.close(descriptor)
        durable.replace(temporary, path)
        durable.sync_directory(path.parent)


def _take(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).strip()
        raise HomeInUse(directory, int(text) if text.isdigit() else None) from None
