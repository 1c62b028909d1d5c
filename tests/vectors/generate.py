"""Writes the golden vectors beside this file: `python -m tests.vectors.generate`.

They are for other implementations; `docs/build/verify.md` says how to use them. Every value follows from fixed keys, so
the files change only when the protocol does. `test_vectors.py` fails if they differ from what the code makes.
"""

import json
from pathlib import Path
from typing import Any

from tests.vectors import chain_vectors, evidence_vectors, l1_vectors, object_vectors, primitive_vectors, turn_vectors

FOLDER = Path(__file__).parent
FILES = {
    "encoding.json": primitive_vectors.encoding,
    "merkle.json": primitive_vectors.merkle,
    "secp256k1.json": primitive_vectors.secp256k1,
    "bls.json": primitive_vectors.bls,
    "genesis.json": object_vectors.genesis,
    "objects.json": object_vectors.objects,
    "cut.json": object_vectors.cut,
    "namespace.json": chain_vectors.namespace,
    "receipt.json": chain_vectors.receipt,
    "evidence.json": evidence_vectors.evidence,
    "l1.json": l1_vectors.l1,
    "turn.json": turn_vectors.turn,
}


def render(value: Any) -> str:
    """The text of a file."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def write() -> None:
    """Writes every file."""
    for name, make in FILES.items():
        (FOLDER / name).write_text(render(make()), encoding="utf-8")


if __name__ == "__main__":
    write()
