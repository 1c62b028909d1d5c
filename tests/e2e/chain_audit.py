"""Checks, from the genesis alone, that validators kept their promises and serve one chain.

Responsible for: reading whole chains from every node and judging them with the client's verifier.
Refuses to do: believe a node. Whatever it says is verified, or compared with what all others say.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import httpx

from consensus.genesis import Genesis
from consensus.numbers import Hash, Height, NamespaceId, NamespaceIndex
from consensus.vocabulary.batch import KIND_OPEN, Batch, parse_segment, transaction_id
from sequencer.client.client import SequencerClient
from sequencer.client.errors import ClientError
from sequencer.client.parts import NamespaceBlockPart, join_parts
from sequencer.client.status import Status
from sequencer.client.verify import NamespaceVerifier, VerifiedBlock, verify_position, verify_receipt
from sequencer.client.wire import DeliveredBlock, NamespaceProof
from storage.batches import BatchLog
from storage.database import Database
from storage.home import batches_directory
from tests.e2e.load import Ledger
from tests.e2e.network import Node, until

PAGE_BLOCKS = 100
CALLS_PER_BATCH = 100
STATUSES_ASKED = 40


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction stands in its namespace's chain."""

    height: Height
    namespace_index: NamespaceIndex
    position: int


@dataclass(frozen=True, slots=True)
class NamespaceChain:
    """A namespace's whole chain as every node serves it, verified."""

    delivered: tuple[DeliveredBlock, ...]
    verified: tuple[VerifiedBlock, ...]


Chains = Mapping[NamespaceId, NamespaceChain]
_Served = dict[NamespaceId, tuple[tuple[DeliveredBlock, ...], NamespaceProof]]


async def settle(nodes: Sequence[Node], ledger: Ledger, name: str) -> None:
    """Sends a last transaction through every lane and waits until each node proves it; `name` makes them unique.

    A lane is ordered as it was sealed, so everything that clients were promised is in the chain by then.
    """
    namespace = ledger.chain.namespaces[0].id
    markers: list[Hash] = []
    for node in nodes:
        item = f"settled/{name}/{node.index}".encode()
        ledger.note_sent(namespace, [item])
        async with node.client() as client:
            ledger.note_outcome(await client.send_many(namespace, [item]))
        markers.append(transaction_id(namespace, KIND_OPEN, item))
    for node in nodes:
        async with node.client() as client:
            for marker in markers:

                async def is_attested(client: SequencerClient = client, marker: Hash = marker) -> bool:
                    return (await client.status(marker)).has_reached(Status.ATTESTED)

                try:
                    await until(is_attested, f"validator {node.index} proves the last transactions")
                except AssertionError as error:
                    error.add_note("\n".join([await _standing(other) for other in nodes]))
                    raise


async def _standing(node: Node) -> str:
    """Where a node stands, for the report of a test that has failed."""
    try:
        async with node.client() as client:
            return f"validator {node.index}: {await client.sync_status()}"
    except ClientError as error:
        return f"validator {node.index}: {error}"


async def audit(nodes: Sequence[Node], ledger: Ledger) -> Chains:
    """Every check below, over nodes that have settled. Returns the one chain that all of them serve."""
    chain = ledger.chain
    served = [await _read_still(node) for node in nodes]
    for other in served[1:]:
        assert {key: blocks for key, (blocks, _) in other.items()} == {
            key: blocks for key, (blocks, _) in served[0].items()
        }, "two nodes serve different namespace chains"
    chains = {
        namespace: NamespaceChain(blocks, NamespaceVerifier(chain, namespace).verify(blocks, proof))
        for namespace, (blocks, proof) in served[0].items()
    }
    for namespaces in served[1:]:
        for namespace, (blocks, proof) in namespaces.items():
            NamespaceVerifier(chain, namespace).verify(blocks, proof)
    places = check_promises(chains, ledger)
    check_nothing_else(chains, ledger)
    await check_statuses(nodes, ledger, places)
    await check_heights(nodes)
    return chains


async def _read_still(node: Node) -> _Served:
    """All namespaces of a node, at a moment when nothing was added while they were read."""
    async with node.client() as client:
        while True:
            before = await client.namespaces()
            served: _Served = {}
            for view in before:
                if view.index is not None:
                    proof = await client.namespace_proof(view.id)
                    assert proof is not None
                    served[view.id] = (await read_blocks(client, view.id, view.index), proof)
            if await client.namespaces() == before and all(
                proof.index == blocks[-1].block.index for blocks, proof in served.values()
            ):
                return served


async def read_blocks(
    client: SequencerClient, namespace: NamespaceId, last: NamespaceIndex
) -> tuple[DeliveredBlock, ...]:
    """The blocks 0 … `last`, each whole."""
    whole: list[DeliveredBlock] = []
    while len(whole) <= last:
        page = await client.namespace_blocks(namespace, NamespaceIndex(len(whole)), PAGE_BLOCKS)
        assert page, f"block {len(whole)} of {namespace} is not served"
        for part in page:
            whole.append((await _completed(client, namespace, part)).delivered)
    return tuple(whole[: last + 1])


async def _completed(client: SequencerClient, namespace: NamespaceId, part: NamespaceBlockPart) -> NamespaceBlockPart:
    while not part.is_last:
        index = part.delivered.block.index
        (more,) = await client.namespace_blocks(namespace, index, 1, part.next_run)
        part = join_parts(part, more)
    return part


def check_promises(chains: Chains, ledger: Ledger) -> dict[Hash, Place]:
    """Every transaction with a receipt stands where its receipt says: lane, seq, batch, index and hash."""
    found: dict[tuple[int, int, NamespaceId], tuple[DeliveredBlock, int]] = {}
    for namespace, served in chains.items():
        for delivered in served.delivered:
            for number, run in enumerate(delivered.runs):
                key = (run.lane, run.seq, namespace)
                assert key not in found, f"batch {run.seq} of lane {run.lane} is in two blocks of {namespace}"
                found[key] = (delivered, number)
    places: dict[Hash, Place] = {}
    parsed: dict[tuple[int, int, NamespaceId], Sequence[bytes]] = {}
    lost: list[str] = []
    for receipt in {id(promise.receipt): promise.receipt for promise in ledger.promises.values()}.values():
        verify_receipt(ledger.chain, receipt)
    for promise in ledger.promises.values():
        receipt, item = promise.receipt, promise.receipt.items[promise.place]
        key = (receipt.lane, receipt.seq, item.namespace)
        if key not in found:
            lost.append(f"lane {receipt.lane} seq {receipt.seq} index {item.index}")
            continue
        delivered, number = found[key]
        run = delivered.runs[number]
        assert run.batch == receipt.batch, f"another batch stands at {key}"
        if key not in parsed:
            parsed[key] = parse_segment(run.segment, run.item_count, len(run.segment)) or ()
        items = parsed[key]
        assert item.index < len(items)
        assert transaction_id(item.namespace, item.kind, items[item.index]) == item.hash, f"another item at {key}"
        before = sum(earlier.item_count for earlier in delivered.runs[:number])
        places[item.hash] = Place(delivered.block.height, delivered.block.index, before + item.index)
    assert not lost, f"{len(lost)} of {len(ledger.promises)} receipted transactions are lost: {lost[:5]} …"
    return places


def check_nothing_else(chains: Chains, ledger: Ledger) -> None:
    """The chain has what was sent, each once, and nothing that was refused."""
    counted = Counter(
        transaction_id(namespace, KIND_OPEN, item)
        for namespace, served in chains.items()
        for block in served.verified
        for item in block.transactions
    )
    assert counted.keys() <= ledger.sent.keys(), "the chain has transactions that nobody sent"
    assert not [tx_hash for tx_hash, count in counted.items() if count > 1], "a transaction is twice in the chain"
    assert not counted.keys() & ledger.refused.keys(), "a refused transaction is in the chain"


async def check_statuses(nodes: Sequence[Node], ledger: Ledger, places: Mapping[Hash, Place]) -> None:
    """Every node says of a sample that it is attested, at the place that its blocks show."""
    hashes = list(places)
    sample = hashes[:: max(1, len(hashes) // STATUSES_ASKED)]
    for node in nodes:
        async with node.client() as client:
            for tx_hash in sample:
                status = await client.status(tx_hash)
                assert status.has_reached(Status.ATTESTED), (node.index, status)
                assert Place(status.height, status.namespace_index, status.position) == places[tx_hash]  # type: ignore[arg-type]
                assert status.count == 1
                if node.index == ledger.promises[tx_hash].receipt.lane:
                    check_same_promise(ledger, tx_hash, status.receipt)


def check_same_promise(ledger: Ledger, tx_hash: Hash, again: object) -> None:
    """A receipt made again, also by another life of the author, promises what the first one did."""
    first, place = ledger.promises[tx_hash].receipt, ledger.promises[tx_hash].place
    expected = replace(first, items=(first.items[place],))
    assert isinstance(again, type(first))
    verify_receipt(ledger.chain, again)
    assert (again.lane, again.seq, again.batch, again.items) == (
        expected.lane,
        expected.seq,
        expected.batch,
        expected.items,
    )


async def check_heights(nodes: Sequence[Node]) -> None:
    """All nodes have the same block at every height that all have executed."""
    heights = []
    for node in nodes:
        async with node.client() as client:
            heights.append((await client.sync_status()).executed_height)
    common = min(heights)
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        for first in range(1, common + 1, CALLS_PER_BATCH):
            wanted = range(first, min(common + 1, first + CALLS_PER_BATCH))
            calls = [
                {"jsonrpc": "2.0", "id": height, "method": "seq_getBlock", "params": {"height": height}}
                for height in wanted
            ]
            answers = []
            for node in nodes:
                found = {entry["id"]: entry["result"] for entry in (await http.post(node.url, json=calls)).json()}
                for block in found.values():
                    del block["status"]  # final here, attested there
                answers.append(found)
            assert sorted(answers[0]) == list(wanted)
            assert all(answer == answers[0] for answer in answers), f"nodes differ at heights {first} …"


async def check_every_proof(node: Node, chains: Chains) -> int:
    """The proof of every attested height leads the verifier on from the one before. Returns how many there were."""
    checked = 0
    async with node.client() as client:
        for namespace, served in chains.items():
            verifier = NamespaceVerifier(node.chain, namespace)
            last = served.verified[-1]
            height = Height(served.verified[0].block.height)
            while verifier.next_index <= last.block.index:
                proof = await client.fetch_proof(namespace, height)
                assert proof is not None, f"no proof of {namespace} at height {height}"
                blocks = served.delivered[verifier.next_index : proof.index + 1]
                assert (
                    verifier.verify(blocks, proof) == served.verified[proof.index + 1 - len(blocks) : proof.index + 1]
                )
                checked += 1
                height = Height(proof.certificate.attestation.height + 1)
    return checked


def check_positions(node: Node, chains: Chains, ledger: Ledger) -> None:
    """Of a node that has ended: with the batch headers on its disk every single promise is proved by the verifier."""
    chain: Genesis = ledger.chain
    blocks: dict[tuple[int, int, NamespaceId], VerifiedBlock] = {}
    for namespace, served in chains.items():
        for delivered, verified in zip(served.delivered, served.verified, strict=True):
            for run in delivered.runs:
                blocks[run.lane, run.seq, namespace] = verified
    by_receipt = defaultdict(list)
    for promise in ledger.promises.values():
        by_receipt[promise.receipt.batch].append(promise)
    with Database.open(node.home, chain.chain_id) as database:
        log = BatchLog.open(batches_directory(node.home), database, chain.chain_id)
        try:
            for digest, promises in by_receipt.items():
                encoded = log.read(digest)
                assert encoded is not None
                header = Batch.decode(encoded, chain.parameters.batch_bytes_max).header.encoded
                for promise in promises:
                    receipt, item = promise.receipt, promise.receipt.items[promise.place]
                    block = blocks[receipt.lane, receipt.seq, item.namespace]
                    position = verify_position(chain, receipt, promise.place, header, block)
                    found = block.transactions[position]
                    assert transaction_id(item.namespace, item.kind, found) == item.hash
        finally:
            log.close()
