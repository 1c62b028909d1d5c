"""Whether every receipt was kept, judged from bytes by the second verifier (`tests/vectors/independent.py`).

Responsible for: the receipts as clients were given them, against a chain as a node serves it and the batch headers.
Refuses to do: share a line with the node, the client library or `chain_audit.py`; believe anything that is not proved
from the genesis.

What is checked of each receipt:
1. Its author signed it, for this chain; receipts of one (lane, seq) name one batch, those of one place one transaction.
2. The header behind `batch` hashes to it, and is of that author, lane and seq.
3. A proved namespace block holds exactly the segment that the header names, and at `index` of it is the transaction
   with the receipt's hash.
4. Nothing overtakes within a lane: over the whole chain the segments of a lane stand by rising seq, none twice, so the
   receipts of a lane stand in the order of (seq, index).
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.vectors.independent import (
    Chain,
    big,
    check_answer,
    is_signed_by,
    raw,
    receipt_digest,
    sha,
    transaction_hash,
)

_HEAD = struct.Struct(">B32sQHQ32sQI")  # version, chain id, epoch, lane, seq, batch, received_ms, count
_ITEM = struct.Struct(">QB32sI")  # namespace, kind, hash, index
_HEADER = struct.Struct(">BQHQ32sQI")  # version, epoch, author, seq, prev_digest, created_ms, count
_ENTRY = struct.Struct(">QBII32s")  # namespace, kind, items, bytes, hash of the segment


@dataclass
class Verdict:
    """What was judged, and every receipted transaction that is not where its receipt says."""

    signatures: int = 0
    transactions: int = 0
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Segment:
    """A run of a proved block: its number in the namespace's chain, and its transactions."""

    place: int
    seq: int
    hash: bytes
    items: tuple[bytes, ...]


_Places = dict[tuple[int, int, int], _Segment]  # (namespace, lane, seq)


def judge(
    genesis: bytes, receipts: Sequence[bytes], served: Mapping[int, Any], headers: Mapping[bytes, bytes]
) -> Verdict:
    """`served`: per namespace `{blocks, proof}` in JSON; `headers`: encoded batch headers by digest."""
    chain, verdict = Chain(genesis), Verdict()
    places = _prove(chain, served)
    promised: dict[tuple[int, int], bytes] = {}
    at: dict[tuple[int, int, int, int], bytes] = {}
    for receipt in receipts:
        found = _judge_one(chain, receipt, places, headers, promised, at)
        verdict.signatures += 1
        verdict.transactions += _HEAD.unpack_from(receipt)[7]
        verdict.broken += found
    return verdict


def _prove(chain: Chain, served: Mapping[int, Any]) -> _Places:
    """Every run of every block, proved from the genesis, in order within each lane."""
    places: _Places = {}
    last: dict[tuple[int, int], int] = {}
    for namespace, answer in served.items():
        place = 0
        for block, proved in zip(answer["blocks"], check_answer(chain, namespace, answer), strict=True):
            pending = list(proved)
            for run in block["sections"][0]["runs"]:
                items, pending = tuple(pending[: run["item_count"]]), pending[run["item_count"] :]
                lane, seq = run["lane"], run["seq"]
                assert last.get((namespace, lane), 0) < seq, f"lane {lane} of {namespace} goes back at seq {seq}"
                last[namespace, lane] = seq
                segment = b"".join(big(len(item), 4) + item for item in items) if items else raw(run["data"])
                places[namespace, lane, seq] = _Segment(place, seq, sha(segment), items)
                place += 1
    return places


def _judge_one(
    chain: Chain,
    receipt: bytes,
    places: _Places,
    headers: Mapping[bytes, bytes],
    promised: dict[tuple[int, int], bytes],
    at: dict[tuple[int, int, int, int], bytes],
) -> list[str]:
    version, chain_id, epoch, lane, seq, batch, _, count = _HEAD.unpack_from(receipt)
    body, signature = receipt[: _HEAD.size + count * _ITEM.size], receipt[_HEAD.size + count * _ITEM.size :]
    name = f"lane {lane} seq {seq}"
    if version != 1 or chain_id != chain.id or len(body) != _HEAD.size + count * _ITEM.size:
        return [f"{name}: no receipt of this chain"]
    if not is_signed_by(chain.validators[lane][1], receipt_digest(chain, epoch, body), signature):
        return [f"{name}: not signed by its author"]
    if promised.setdefault((lane, seq), batch) != batch:
        return [f"{name}: two batches are promised"]
    broken = []
    for namespace, kind, tx_hash, index in _ITEM.iter_unpack(body[_HEAD.size :]):
        if at.setdefault((lane, seq, namespace, index), tx_hash) != tx_hash:
            broken.append(f"{name} index {index}: two transactions are promised")
        elif (segment := places.get((namespace, lane, seq))) is None:
            broken.append(f"{name} index {index}: lost")
        elif not _names(headers.get(batch, b""), batch, (epoch, lane, seq), (namespace, kind, segment)):
            broken.append(f"{name} index {index}: another batch stands there")
        elif index >= len(segment.items) or transaction_hash(namespace, kind, segment.items[index]) != tx_hash:
            broken.append(f"{name} index {index}: another transaction stands there")
    return broken


def _names(header: bytes, batch: bytes, whose: tuple[int, int, int], what: tuple[int, int, _Segment]) -> bool:
    """Whether the header is the one promised, and names this segment."""
    if sha(header) != batch:
        return False
    _, epoch, author, seq, _, _, count = _HEADER.unpack_from(header)
    namespace, kind, segment = what
    entries = list(_ENTRY.iter_unpack(header[_HEADER.size :]))
    named = [entry for entry in entries if entry[:2] == (namespace, kind)]
    return (
        (epoch, author, seq) == whose
        and len(entries) == count
        and [(entry[2], entry[4]) for entry in named] == [(len(segment.items), segment.hash)]
    )
