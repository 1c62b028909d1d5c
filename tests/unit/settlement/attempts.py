"""Attempts and batches with made-up contents."""

from typing import Any

from consensus.numbers import BlockId, Hash, Height, Milliseconds, ValidatorIndex
from consensus.signing import sha256
from consensus.vocabulary.l1_batch import BatchCertificate, DataKind, L1Batch
from sequencer.settlement.records import Attempt, BatchRecord, BatchState


def attempt(state: BatchState, *, nonce: int = 4, index: int = 7, **changed: Any) -> Attempt:
    """One's attempt to commit a batch."""
    values: dict[str, Any] = {
        "first": Height(11),
        "last": Height(20),
        "data_kind": DataKind.CALLDATA,
        "batch_hash": sha256(b"batch"),
        "transaction": sha256(b"transaction %d" % nonce),
        "raw": b"\x02raw",
        "created_ms": Milliseconds(1_700_000_000_000),
    }
    return Attempt(nonce=nonce, index=index, state=state, **(values | changed))


def batch(index: int = 7, **changed: Any) -> L1Batch:
    """A batch of ten heights."""
    values: dict[str, Any] = {
        "l1_chain_id": 31_337,
        "inbox": b"\x1b" * 20,
        "index": index,
        "first": Height(11),
        "last": Height(20),
        "previous": Hash(b"\x01" * 32),
        "data_kind": DataKind.HELD,
        "data_hash": Hash(b"\x02" * 32),
        "block_id": BlockId(Hash(b"\x03" * 32)),
        "namespaces_root": Hash(b"\x04" * 32),
    }
    return L1Batch(**(values | changed))


def record(index: int = 7, count: int = 4, **changed: Any) -> BatchRecord:
    """A batch as it is stored; its signature is of nobody."""
    signers = tuple(ValidatorIndex(signer) for signer in range(count - 1))
    certificate = BatchCertificate(batch(index), signers, b"\x05" * 96, count)
    values: dict[str, Any] = {
        "hash": sha256(b"hash"),
        "poster": b"\x06" * 20,
        "transaction": b"\x07" * 32,
        "block_number": 99,
        "block_hash": b"\x08" * 32,
        "byte_count": 1_234,
    }
    return BatchRecord(certificate=certificate, **(values | changed))
