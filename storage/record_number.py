"""A number kept twice, in the database with the safety record and beside the keys, that rises as long as a node runs.

A data directory that was put back from an older copy has a lower number than the keys: it has forgotten what was signed
since. Not noticed are a copy younger than the last rise, and old copies of data and keys put back together.

Order of a rise: the database, synced, then the file beside the keys.

Invariant:
1. Without such a copy the number beside the keys is never the higher one, whenever the process dies.
"""

import re
from pathlib import Path

from storage.database import Database
from storage.errors import SafetyRecordRolledBack, StorageFault, faults_mapped
from storage.home import write_durably
from storage.keyspace import RECORD_NUMBER, decode_u64, encode_u64

FILE_NAME = "RECORD"
_CONTENT = re.compile(rb"number (0|[1-9][0-9]{0,18})\n")
_CONTENT_BYTES_MAX = 64


class RecordNumber:
    """The number of one node. Runs in a thread."""

    def __init__(self, database: Database, keys_directory: Path) -> None:
        self._database = database
        self._path = keys_directory / FILE_NAME

    def check(self) -> None:
        """Raises `SafetyRecordRolledBack` if the database is older than the keys, or `StorageFault`."""
        stored, beside_keys = self._load_stored(), self._load_beside_keys()
        if stored < beside_keys:
            raise SafetyRecordRolledBack(self._path, stored, beside_keys)

    def rise(self) -> None:
        """One more, synced in both places. Raises `StorageFault`."""
        number = self._load_stored() + 1
        self._database.write([(RECORD_NUMBER, encode_u64(number))], sync=True)
        write_durably(self._path, f"number {number}\n".encode())

    def _load_stored(self) -> int:
        value = self._database.get(RECORD_NUMBER)
        if value is None:
            return 0
        try:
            return decode_u64(value)
        except ValueError:
            raise StorageFault("the number of the safety record is unreadable: the database is damaged") from None

    def _load_beside_keys(self) -> int:
        with faults_mapped(f"reading {self._path}"):
            try:
                with self._path.open("rb") as file:
                    content = file.read(_CONTENT_BYTES_MAX)
            except FileNotFoundError:
                return 0
        match = _CONTENT.fullmatch(content)
        if match is None:
            raise StorageFault(f"{self._path} is unreadable: restore it, or register new keys; do not remove it")
        return int(match[1])
