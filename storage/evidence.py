"""Proofs of validators' faults, one per offence.

Makes puts and loads; it does not write. Knows neither what a proof says nor whether it holds: whoever stores one has
checked it. Invariant: a proof is never removed or replaced; the caller bounds how many there are.
"""

from dataclasses import dataclass

from consensus.evidence.check import OFFENCE_BYTES
from storage.database import Database
from storage.errors import StorageFault
from storage.keyspace import EVIDENCE, Puts

_PAGE = 1_024


@dataclass(frozen=True, slots=True)
class StoredProof:
    """An encoded offence (11 bytes) and its encoded proof."""

    offence: bytes
    proof: bytes


class EvidenceStore:
    """Proofs in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def proof_puts(stored: StoredProof) -> Puts:
        """Keep a proof."""
        if len(stored.offence) != OFFENCE_BYTES:
            raise ValueError(f"an offence has {OFFENCE_BYTES} bytes, not {len(stored.offence)}")
        return [(EVIDENCE + stored.offence, stored.proof)]

    def load(self, offence: bytes) -> bytes | None:
        """The proof of an offence, or None."""
        return self._database.get(EVIDENCE + offence)

    def list_after(self, offence: bytes, limit: int) -> list[StoredProof]:
        """At most `limit` proofs of offences behind this one, in their order; b"" for the first."""
        pairs = self._database.iterate(EVIDENCE, start=_behind(offence), limit=limit)
        return [StoredProof(_offence(key), proof) for key, proof in pairs]

    def list_offences(self) -> list[bytes]:
        """Every offence that a proof is kept of."""
        found: list[bytes] = []
        while page := self._database.list_keys(EVIDENCE, start=_behind(found[-1] if found else b""), limit=_PAGE):
            found.extend(map(_offence, page))
        return found


def _behind(offence: bytes) -> bytes:
    return offence + b"\x00" if offence else b""


def _offence(key: bytes) -> bytes:
    offence = key[len(EVIDENCE) :]
    if len(offence) != OFFENCE_BYTES:
        raise StorageFault("a key of evidence is unreadable: the database is damaged")
    return offence
