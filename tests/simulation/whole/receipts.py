"""Whether every receipt that honest validators gave holds, once everything is final and executed.

Responsible for: each receipt against its author's batch, the committed order and the executed namespace blocks.
Refuses to do: wait. `Schedule` and tests make peace first.
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from consensus.numbers import Digest, NamespaceId
from consensus.vocabulary.batch import parse_segment, transaction_id
from consensus.vocabulary.receipt import Receipt
from sequencer.execution.blocks import ExecutedBlock, Run

if TYPE_CHECKING:
    from tests.simulation.whole.cluster import WholeCluster


def check_receipts(cluster: "WholeCluster", receipts: Sequence[Receipt]) -> int:
    """Fails unless each transaction with a receipt stands where it says, on every honest node. Returns how many.

    1. The author signed it; at its (lane, seq) the chain has the batch that it names, and no other.
    2. At its index of the batch's segment stands the transaction with its hash.
    3. That segment is a run of exactly one namespace block, whose items reach beyond the index.
    4. In the order of the chain the receipted batches of a lane rise by seq.
    """
    ordered: dict[tuple[int, int], Digest] = {
        (batch.lane, batch.seq): batch.digest for block in cluster.blocks for batch in block.batches
    }
    runs = _executed_runs(cluster)
    places = {key: place for place, key in enumerate(ordered)}
    judged = 0
    lanes: dict[int, set[int]] = defaultdict(set)
    for receipt in receipts:
        receipt.check(cluster.chain)
        name = f"seq {receipt.seq} of lane {receipt.lane}"
        digest = ordered.get((receipt.lane, receipt.seq))
        assert digest is not None, f"the batch receipted as {name} is lost"
        assert digest == receipt.batch, f"another batch than the receipted one is ordered as {name}"
        lanes[receipt.lane].add(receipt.seq)
        for item in receipt.items:
            found = _items(cluster, digest, item.namespace)
            assert item.index < len(found), f"{name} has no item {item.index}"
            assert transaction_id(item.namespace, item.kind, found[item.index]) == item.hash, f"{name} has another item"
            (run,) = runs[item.namespace, receipt.lane, receipt.seq]
            assert (run.digest, run.item_count) == (digest, len(found)), f"{name} is executed otherwise"
            judged += 1
    for lane, seqs in lanes.items():
        for earlier, later in itertools.pairwise(sorted(seqs)):
            assert places[lane, earlier] < places[lane, later], f"seq {later} of lane {lane} overtook seq {earlier}"
    return judged


def _executed_runs(cluster: "WholeCluster") -> dict[tuple[NamespaceId, int, int], list[Run]]:
    """Every run of every namespace block, as all nodes have executed it."""
    runs: dict[tuple[NamespaceId, int, int], list[Run]] = defaultdict(list)
    for encoded in cluster.executed.values():
        for namespace in ExecutedBlock.decode(encoded).namespaces:
            for run in namespace.runs:
                runs[namespace.block.namespace, run.lane, run.seq].append(run)
    return runs


def _items(cluster: "WholeCluster", digest: Digest, namespace: NamespaceId) -> tuple[bytes, ...]:
    """A segment's transactions from the disk of an honest node."""
    node = next(node for node in cluster.honest if node.alive and node.holds(digest))
    batch = node.lanes.load(digest)
    for place, entry in enumerate(batch.header.segments):
        if entry.namespace == namespace:
            return tuple(parse_segment(batch.segment(place), entry.item_count, entry.byte_count) or ())
    return ()
