"""The errors of the storage room, by who must act.

1. `StorageFault`: the disk is full, broken or lies. The process must stop; nothing may be written or signed after it.
2. `StartRefused`: the operator's set-up is at fault. The message names the remedy; nothing has been changed on disk.

A wrong argument from our own code (an id that is not 32 bytes, an integer out of range) is a `ValueError`.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# LevelDB hands its errors on as text without a number, made by the same strerror.
_DISK_FULL_TEXTS = tuple(os.strerror(number) for number in DISK_FULL_ERRNOS)


class StorageError(Exception):
    """Root of every error raised by this room."""


class StorageFault(StorageError):
    """The disk did not do what it was asked, or returned what was never written. Stop; do not retry."""


class DiskFull(StorageFault):
    """No room left: file system, quota or file size limit. What was synced before stays readable."""


class DamagedRecord(StorageFault):
    """A record that had been synced does not read back as written; `path` and `offset` say where."""

    def __init__(self, path: Path, offset: int, detail: str) -> None:
        super().__init__(
            f"damaged record in {path} at byte {offset}: {detail}. "
            "Restore the data directory from a copy, or remove it and let the node fetch the chain again with new keys."
        )
        self.path = path
        self.offset = offset


class StartRefused(StorageError):
    """The node must not start on this home or with these keys."""


class HomeInUse(StartRefused):
    """Another process holds the directory; `process_id` is None if the holder left no readable number."""

    def __init__(self, directory: Path, process_id: int | None) -> None:
        holder = "another process" if process_id is None else f"process {process_id}"
        super().__init__(f"{directory} is in use by {holder}. Stop it first, or give this node a directory of its own.")
        self.directory = directory
        self.process_id = process_id


class OtherChain(StartRefused):
    """The database or the keys belong to another genesis."""

    def __init__(self, path: Path, *, found: bytes, expected: bytes, remedy: str) -> None:
        super().__init__(
            f"{path} belongs to chain 0x{found.hex()}, but the genesis of this node is chain 0x{expected.hex()}. "
            f"{remedy}"
        )
        self.path = path
        self.found = found
        self.expected = expected


class OtherFormat(StartRefused):
    """The database was written by a release with another layout."""

    def __init__(self, path: Path, *, found: int, expected: int) -> None:
        super().__init__(
            f"{path} has storage format {found}, this release reads format {expected}. "
            "Start the release that wrote it, or move the data directory away and let the node fetch the chain again."
        )
        self.found = found
        self.expected = expected


class OtherKey(StartRefused):
    """The safety record belongs to another validator's key: what this key has signed is not in it."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"the data under {path} belongs to another validator's key. Put back this validator's own data directory; "
            "to catch up faster never copy another one's: it does not know what this key has signed"
        )


class SafetyRecordLost(StartRefused):
    """A key that has signed before has no safety record: signing again could contradict what it signed."""

    def __init__(self, mark: Path, first_use_ms: int) -> None:
        super().__init__(
            f"{mark} says that these keys first signed at {first_use_ms} ms since 1970, but the data directory has no "
            "safety record. Signing without it can contradict earlier votes and cost the stake. Bring back the data "
            "directory these keys were used with, or register new keys. Never remove the mark to get past this message."
        )
        self.mark = mark
        self.first_use_ms = first_use_ms


class SafetyRecordRolledBack(StartRefused):
    """The safety record is an older copy: what the key has signed since is not in it."""

    def __init__(self, mark: Path, found: int, expected: int) -> None:
        super().__init__(
            f"the safety record in the data directory is number {found}, but {mark} says that these keys signed with "
            f"number {expected}: the data directory is an older copy. Signing with it can contradict later votes and "
            "cost the stake. Put back the data directory as it was when this validator last ran, or register new keys. "
            "Never remove or change the mark to get past this message."
        )
        self.mark = mark


def fault_from(error: Exception, doing: str) -> StorageFault:
    """The fault that an error of the operating system or of LevelDB means, told as what we were doing."""
    text = _text(error)
    number = error.errno if isinstance(error, OSError) else None
    if number in DISK_FULL_ERRNOS or any(full in text for full in _DISK_FULL_TEXTS):
        return DiskFull(f"disk full while {doing}: {text}. Free space or raise the limit, then start again.")
    return StorageFault(f"storage failed while {doing}: {text}")


@contextmanager
def faults_mapped(doing: str) -> Iterator[None]:
    """Run file operations with every `OSError` turned into a `StorageFault`."""
    try:
        yield
    except OSError as error:
        raise fault_from(error, doing) from error


def _text(error: Exception) -> str:
    if error.args and isinstance(error.args[0], bytes):
        return error.args[0].decode("utf-8", "replace")
    return str(error)
