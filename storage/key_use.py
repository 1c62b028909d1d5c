"""The mark beside the keys that says whether they have signed: `USED`, kept apart from the data it guards against
losing.

The order at the very first start: store a first safety record (synced), `mark_used`, then sign. At every start, before
signing: `check_used`. So a key that has signed and has lost its record is noticed even if the whole data directory is
gone. What it cannot notice is a data directory put back from an old copy: `record_number.py` does.

Invariants:
1. The mark is on disk, name and content, before `mark_used` returns; it is never changed or removed afterwards.
2. A key used on one chain is refused on another: its record of one says nothing about the other.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from storage.errors import OtherChain, SafetyRecordLost, StorageFault, faults_mapped
from storage.home import write_durably
from storage.keyspace import checked_id

MARK_NAME = "USED"
_CONTENT = re.compile(rb"chain_id 0x([0-9a-f]{64})\nfirst_use_ms (0|[1-9][0-9]{0,19})\n")
_CONTENT_BYTES_MAX = 256


@dataclass(frozen=True, slots=True)
class KeyUse:
    """The chain these keys sign for and the wall time of their first use, in ms since 1970."""

    chain_id: bytes
    first_use_ms: int


def mark_used(keys_directory: Path, chain_id: bytes, now_ms: int) -> KeyUse:
    """Leave the mark, synced, unless it is there; returns the mark that holds. Raises OtherChain or StorageFault."""
    found = load_key_use(keys_directory)
    if found is not None:
        _refuse_other_chain(keys_directory, found, chain_id)
        return found
    content = f"chain_id 0x{checked_id(chain_id).hex()}\nfirst_use_ms {now_ms}\n"
    write_durably(keys_directory / MARK_NAME, content.encode())
    return KeyUse(chain_id, now_ms)


def check_used(keys_directory: Path, chain_id: bytes, *, has_record: bool) -> None:
    """Refuse to start with keys that must not sign here.

    Raises OtherChain for keys used on another chain, SafetyRecordLost for used keys without their safety record.
    """
    found = load_key_use(keys_directory)
    if found is None:
        return
    _refuse_other_chain(keys_directory, found, chain_id)
    if not has_record:
        raise SafetyRecordLost(keys_directory / MARK_NAME, found.first_use_ms)


def load_key_use(keys_directory: Path) -> KeyUse | None:
    """The mark, or None for keys that have never signed. Raises StorageFault if the mark is unreadable."""
    path = keys_directory / MARK_NAME
    with faults_mapped(f"reading {path}"):
        try:
            with path.open("rb") as file:
                content = file.read(_CONTENT_BYTES_MAX)
        except FileNotFoundError:
            return None
    match = _CONTENT.fullmatch(content)
    if match is None:
        raise StorageFault(f"{path} is unreadable: restore it, or register new keys; do not remove it")
    return KeyUse(bytes.fromhex(match[1].decode()), int(match[2]))


def _refuse_other_chain(keys_directory: Path, found: KeyUse, chain_id: bytes) -> None:
    if found.chain_id != chain_id:
        raise OtherChain(
            keys_directory,
            found=found.chain_id,
            expected=chain_id,
            remedy="Use the keys made for this chain, or make new ones; keys are never shared between chains.",
        )
