"""A batch before it is signed, and the receipts after it is synced.

Responsible for: laying out the segments, the header, and each transaction's position.
Refuses to do: choose what goes in (`fair_share.py`), sign at will: the caller holds the key and says when.

Invariants:
1. Segments are sorted by namespace; within one the order is the order of submission.
2. A receipt names exactly the positions that the draft's own bytes have: it is built from the same lists.
3. One signature per request and batch, and one more for each further RECEIPT_ITEMS_MAX items.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from consensus import limits
from consensus.genesis import Genesis
from consensus.numbers import ZERO_HASH, Digest, Epoch, Hash, Milliseconds, NamespaceId, Seq, ValidatorIndex
from consensus.signing import SIGNATURE_BYTES, NodeKey, sha256
from consensus.vocabulary.batch import KIND_OPEN, Batch, BatchHeader, SegmentEntry, seal_batch
from consensus.vocabulary.receipt import Receipt, ReceiptItem
from sequencer.mempool.queues import Run, Ticket

SEGMENT_OVERHEAD_BYTES = len(SegmentEntry(NamespaceId(0), KIND_OPEN, 0, 0, ZERO_HASH).encode())
BATCH_OVERHEAD_BYTES = SIGNATURE_BYTES + len(
    BatchHeader(Epoch(0), ValidatorIndex(0), Seq(0), Digest(ZERO_HASH), Milliseconds(0), ()).encoded
)

_NEW_ITEM = partial(tuple.__new__, ReceiptItem)  # what ReceiptItem(…) does for one, at a third of its cost


@dataclass(frozen=True, slots=True)
class LanePlace:
    """Where in our own lane the batch goes."""

    epoch: Epoch
    author: ValidatorIndex
    seq: Seq
    prev_digest: Digest


@dataclass(frozen=True, slots=True)
class DraftedRequest:
    """What of one request is in the batch: runs, each with its first place in the namespace's segment."""

    received_ms: Milliseconds
    namespace: NamespaceId
    runs: list[tuple[int, Run]]

    def __len__(self) -> int:
        return sum(len(run) for _first, run in self.runs)

    @property
    def items(self) -> list[tuple[int, ReceiptItem]]:
        """(number in the request, position) of each, by rising number."""
        numbers = itertools.chain.from_iterable(range(run.number, run.number + len(run)) for _first, run in self.runs)
        return list(zip(numbers, self.positions(), strict=True))

    def positions(self) -> list[ReceiptItem]:
        """Where each of its transactions stands."""
        head, found = (itertools.repeat(self.namespace), itertools.repeat(KIND_OPEN)), list[ReceiptItem]()
        for first, run in self.runs:
            found += map(_NEW_ITEM, zip(*head, run.hashes, itertools.count(first)))
        return found


@dataclass(frozen=True, slots=True)
class Draft:
    """An unsigned batch and, by ticket, whose transactions it holds."""

    header: BatchHeader
    segments: list[bytes]
    requests: dict[int, DraftedRequest]

    @property
    def byte_count(self) -> int:
        """The length of the sealed batch."""
        return len(self.header.encoded) + SIGNATURE_BYTES + sum(map(len, self.segments))

    @property
    def transaction_count(self) -> int:
        """How many it holds."""
        return sum(map(len, self.requests.values()))

    def seal(self, chain: Genesis, key: NodeKey) -> Batch:
        """The signed batch."""
        return seal_batch(chain, key, self.header, self.segments)

    def receipts(self, chain: Genesis, key: NodeKey) -> list[tuple[int, Receipt]]:
        """(ticket, signed receipt) for all it holds, at 27 µs each. Only after the batch is synced.

        Touches nothing but the draft, so it may run in a thread.
        """
        header, found = self.header, []
        for ticket, request in self.requests.items():
            positions = request.positions()
            for start in range(0, len(positions), limits.RECEIPT_ITEMS_MAX):
                receipt = Receipt(
                    chain.chain_id,
                    header.epoch,
                    header.author,
                    header.seq,
                    header.digest,
                    request.received_ms,
                    tuple(positions[start : start + limits.RECEIPT_ITEMS_MAX]),
                )
                found.append((ticket, receipt.sign(chain, key)))
        return found

    def hashes(self) -> list[Hash]:
        """The ids of all transactions in it."""
        return [tx_id for request in self.requests.values() for _first, run in request.runs for tx_id in run.hashes]


def make_draft(place: LanePlace, created_ms: Milliseconds, taken: Mapping[NamespaceId, list[Run]]) -> Draft:
    """Lays out `taken`: at least one namespace, each with at least one transaction."""
    entries: list[SegmentEntry] = []
    segments: list[bytes] = []
    requests: dict[int, DraftedRequest] = {}
    for namespace in sorted(taken):
        count = 0
        for run in taken[namespace]:
            request = requests.get(run.ticket.id) or _open_request(requests, run.ticket, namespace)
            request.runs.append((count, run))
            count += len(run)
        segment = b"".join([run.framed for run in taken[namespace]])
        entries.append(SegmentEntry(namespace, KIND_OPEN, count, len(segment), sha256(segment)))
        segments.append(segment)
    header = BatchHeader(place.epoch, place.author, place.seq, place.prev_digest, created_ms, tuple(entries))
    return Draft(header, segments, requests)


def _open_request(requests: dict[int, DraftedRequest], ticket: Ticket, namespace: NamespaceId) -> DraftedRequest:
    requests[ticket.id] = request = DraftedRequest(ticket.received.wall_ms, namespace, [])
    return request
