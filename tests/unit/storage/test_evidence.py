"""Proofs in a database: listed page by page, and their offences without reading them."""

import pytest

from storage import evidence
from storage.database import Database
from storage.evidence import EvidenceStore, StoredProof

CHAIN_ID = b"\x01" * 32


@pytest.fixture
def database(tmp_path):
    with Database.open(tmp_path, CHAIN_ID) as opened:
        yield opened


def stored(number: int) -> StoredProof:
    return StoredProof(bytes((number,)) * 11, b"proof %d" % number)


def test_offences_are_listed_over_pages_without_reading_a_proof(database, monkeypatch):
    monkeypatch.setattr(evidence, "_PAGE", 2)
    for number in (5, 1, 3, 255, 4):
        database.write(EvidenceStore.proof_puts(stored(number)), sync=True)
    monkeypatch.setattr(database, "iterate", None)
    assert EvidenceStore(database).list_offences() == [stored(number).offence for number in (1, 3, 4, 5, 255)]


def test_a_page_begins_behind_an_offence(database):
    for number in (1, 2, 3):
        database.write(EvidenceStore.proof_puts(stored(number)), sync=True)
    store = EvidenceStore(database)
    assert store.list_after(b"", 2) == [stored(1), stored(2)]
    assert store.list_after(stored(2).offence, 2) == [stored(3)]
    assert store.load(stored(3).offence) == b"proof 3"
    with pytest.raises(ValueError, match="11 bytes"):
        EvidenceStore.proof_puts(StoredProof(b"short", b""))
