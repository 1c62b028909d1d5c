"""A second verifier, written from `docs/build/verify.md` alone: it shares no code with the first one."""

import hashlib
import json
from pathlib import Path
from typing import Any

from coincurve import PublicKey
from py_ecc.bls.ciphersuites import G2ProofOfPossession

Bls: Any = G2ProofOfPossession
FOLDER = Path(__file__).parent
PREFIX = b"shared-sequencer/1|"
HALF_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 // 2


def load(name: str) -> Any:
    """The vectors of a file."""
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def big(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


class Chain:
    """What a client needs of the genesis."""

    def __init__(self, encoded: bytes) -> None:
        self.id = sha(encoded)
        self._data, self._at = encoded, 0
        version = self._number(1)
        assert version in (1, 2)
        self._take(self._number(4))  # name
        self._take(8 + 8 + 4)
        self.tx_bytes_max = self._number(4)
        self._take(2 + 4 + 4 + 1 + 4)
        self.validators = [
            (self._number(8), self._take(33), self._take(48), self._take(96)) for _ in range(self._number(4))
        ]
        self.namespaces: list[tuple[int, str]] = []
        self.terms: list[list[int] | None] = []
        for _ in range(self._number(4)):
            self.namespaces.append((self._number(8), self._take(self._number(4)).decode()))
            self.terms.append([self._number(size) for size in (8, 4, 8, 4, 2)] if version == 2 else None)
        assert self._at == len(encoded)

    def _take(self, size: int) -> bytes:
        self._at += size
        assert self._at <= len(self._data)
        return self._data[self._at - size : self._at]

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")


def check_attestation(chain: Chain, shown: Any) -> bytes:
    """Step 1; returns namespaces_root."""
    attestation = (
        big(1, 1) + big(shown["epoch"], 8) + big(shown["height"], 8) + raw(shown["block_id"])
        + raw(shown["namespaces_root"]) + raw(shown["state_root"]) + big(shown["forced_cursor"], 8)
        + raw(shown["aux_root"])
    )  # fmt: skip
    digest = sha(PREFIX, big(8, 1), chain.id, big(shown["epoch"], 8), attestation)
    bits = raw(shown["bitmap"])
    signers = [v for index, v in enumerate(chain.validators) if bits[index // 8] >> (7 - index % 8) & 1]
    total = sum(stake for stake, *_ in chain.validators)
    assert sum(stake for stake, *_ in signers) >= 2 * total // 3 + 1
    assert Bls.FastAggregateVerify([key for _, _, key, _ in signers], digest, raw(shown["signature"]))
    return raw(shown["namespaces_root"])


def merkle(leaves: list[bytes]) -> bytes:
    level = [sha(b"\x00", leaf) for leaf in leaves]
    while len(level) > 1:
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [sha(b"\x01", *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0] if level else bytes(32)


def check_path(proof: Any, root: bytes) -> None:
    """Step 2."""
    leaf = proof["leaf"]
    have = sha(b"\x00", big(leaf["namespace"], 8), big(leaf["index"], 8), raw(leaf["hash"]))
    for sibling, side in zip(proof["path"], proof["sides"], strict=True):
        have = sha(b"\x01", raw(sibling), have) if side == "left" else sha(b"\x01", have, raw(sibling))
    assert have == root


def check_block(chain: Chain, block: Any) -> tuple[bytes, list[bytes]]:
    """Steps 3 and 4; returns the hash and the transactions."""
    (section,) = block["sections"]
    assert section["section"] == "open"
    pending, leaves, byte_count = [raw(item) for item in section["transactions"]], [], 0
    for run in section["runs"]:
        items, pending = pending[: run["item_count"]], pending[run["item_count"] :]
        assert len(items) == run["item_count"]
        assert all(1 <= len(item) <= chain.tx_bytes_max for item in items)
        segment = b"".join(big(len(item), 4) + item for item in items) if items else raw(run["data"])
        leaves.append((b"\x00" if items else b"\x02") + sha(segment))
        byte_count += len(segment)
    assert not pending
    assert section["item_count"] == len(section["transactions"])
    assert section["byte_count"] == byte_count
    encoded = big(4, 1) + big(section["item_count"], 4) + big(section["byte_count"], 8) + merkle(leaves)
    body = (
        big(1, 1) + big(block["namespace"], 8) + big(block["index"], 8) + raw(block["prev_hash"])
        + big(block["height"], 8) + raw(block["block_id"]) + big(block["ts_ms"], 8)
        + big(block["l1_anchor"]["number"], 8) + raw(block["l1_anchor"]["hash"])
        + big(1, 4) + encoded + merkle([encoded])
    )  # fmt: skip
    return sha(PREFIX, big(64, 1), chain.id, body), [raw(item) for item in section["transactions"]]


def check_answer(chain: Chain, namespace: int, answer: Any) -> list[list[bytes]]:
    proof, prev_hash, index, found = answer["proof"], bytes(32), 0, []
    for block in answer["blocks"]:
        assert (block["namespace"], block["index"]) == (namespace, index)
        assert raw(block["prev_hash"]) == prev_hash
        prev_hash, transactions = check_block(chain, block)
        found.append(transactions)
        index += 1
    leaf = proof["leaf"]
    assert (leaf["namespace"], leaf["index"], raw(leaf["hash"])) == (namespace, index - 1, prev_hash)
    check_path(proof, check_attestation(chain, proof["attestation"]))
    return found


def is_signed_by(key: bytes, digest: bytes, signature: bytes) -> bool:
    if len(signature) != 65 or signature[64] > 1 or int.from_bytes(signature[32:64], "big") > HALF_ORDER:
        return False
    try:
        recovered = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except ValueError:
        return False
    return recovered.format() == key


def receipt_digest(chain: Chain, epoch: int, body: bytes) -> bytes:
    """What the author of a receipt has signed."""
    return sha(PREFIX, big(7, 1), chain.id, big(epoch, 8), body)


def transaction_hash(namespace: int, kind: int, item: bytes) -> bytes:
    """The name of a transaction."""
    return sha(b"tx", big(namespace, 8), big(kind, 1), item)
