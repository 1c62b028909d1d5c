"""Checks that the L1 holds what the validators serve: every batch once, and the same bytes rebuilt from it.

Responsible for: giving a network an L1, waiting until everything is on it, and comparing.
Refuses to do: believe a node about the L1: the log is read from the L1 itself, and `sequencer derive` runs as a user
would run it.
"""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio

from consensus.numbers import NamespaceId
from consensus.vocabulary.batch import parse_segment
from sequencer.cli.block_lines import block_to_json
from sequencer.cli.l1_network import L1Record, set_up
from sequencer.client.status import Status
from sequencer.client.views import L1Progress
from sequencer.l1.inbox import CommittedBatch, Inbox
from sequencer.l1.json_rpc import L1Client
from tests.anvil import TestAnvil
from tests.e2e.chain_audit import Chains
from tests.e2e.load import Ledger
from tests.e2e.network import COMMAND, Network, Node, environment, note, until

L1_PATIENCE_S = 240.0


async def give_l1(network: Network, anvil: TestAnvil) -> L1Record:
    """Deploys the network's Inbox, funds its posters and writes `[l1]` into every home."""
    async with L1Client(anvil.url) as client:
        homes = [node.home for node in network.nodes]
        return await set_up(network.directory, homes, client, url=anvil.url, is_own=False, say=note)


async def l1_of(node: Node) -> L1Progress:
    """How far a node sees its chain on the L1."""
    async with node.client() as client:
        progress = (await client.sync_status()).l1
        assert progress is not None
        return progress


async def until_all_settled(nodes: Sequence[Node]) -> None:
    """Waits until every block with data is in a final L1 block, as every node sees it."""
    for node in nodes:

        async def is_settled(node: Node = node) -> bool:
            progress = await l1_of(node)
            return progress.backlog_bytes == 0 and 0 < progress.posted_height == progress.settled_height

        await until(is_settled, f"validator {node.index} sees everything settled", L1_PATIENCE_S)


async def read_batches(anvil: TestAnvil, record: L1Record) -> list[CommittedBatch]:
    """Every batch on the L1, from its log."""
    async with L1Client(anvil.url) as client:
        latest = await client.block("latest")
        assert latest is not None
        return await Inbox(client, bytes.fromhex(record.inbox[2:])).committed(0, latest.number)


async def check_batches(network: Network, anvil: TestAnvil, record: L1Record, chains: Chains) -> list[CommittedBatch]:
    """No batch twice, none missing, each certified, and all data below the last."""
    batches = await read_batches(anvil, record)
    assert [found.certificate.batch.index for found in batches] == list(range(1, len(batches) + 1))
    first, previous = 1, network.chain.chain_id
    for found in batches:
        batch = found.certificate.batch
        found.certificate.check(network.chain)
        assert (batch.first, batch.previous) == (first, previous)
        first, previous = batch.last + 1, batch.hash(network.chain.domain)
    newest = max(chain.verified[-1].block.height for chain in chains.values())
    assert batches[-1].certificate.batch.last >= newest
    return batches


async def check_derived(anvil: TestAnvil, record: L1Record, nodes: Sequence[Node], chains: Chains) -> None:
    """`sequencer derive` gives the bytes that every node serves. `chains` is what all nodes serve."""
    output = nodes[0].home.with_name("derived")
    genesis = nodes[0].home / "config" / "genesis.toml"
    arguments = [
        "derive",
        "--genesis",
        str(genesis),
        "--l1",
        anvil.url,
        "--inbox",
        record.inbox,
        "--output",
        str(output),
    ]
    for node in nodes:
        arguments += ["--node", node.url]
    done = await trio.run_process(
        [*COMMAND, *arguments], env=environment(), capture_stdout=True, capture_stderr=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    for namespace, chain in chains.items():
        expected = [_line(delivered) for delivered in chain.delivered]
        assert read_lines(output, namespace) == expected, f"namespace {namespace} is not what the L1 says"
    note(f"derived: {done.stderr.decode().splitlines()[-1:]}")


def read_lines(output: Path, namespace: NamespaceId) -> list[str]:
    """What was derived for a namespace."""
    return (output / f"{namespace}.jsonl").read_text().splitlines()


def _line(delivered: Any) -> str:
    items = [
        item
        for run in delivered.runs
        if run.item_count
        for item in parse_segment(run.segment, run.item_count, 1024 * 1024) or ()
    ]
    return json.dumps(block_to_json(delivered.block, delivered.hash, items, proved=True))


async def check_settled_statuses(node: Node, ledger: Ledger, count: int = 50) -> None:
    """Transactions that were promised are `settled`, each in a batch that covers its height."""
    async with node.client() as client:
        for tx_hash in list(ledger.promises)[:: max(1, len(ledger.promises) // count)]:
            found = await client.status(tx_hash)
            assert found.status is Status.SETTLED, found
            assert found.l1 is not None
            assert found.height is not None
            batch = await client.l1_batch(found.l1.batch_index)
            assert batch is not None
            assert batch.first_height <= found.height <= batch.last_height
            assert (batch.transaction, batch.block_number) == (found.l1.transaction, found.l1.block_number)


def attempts(node: Node) -> list[dict[str, Any]]:
    """What became of a node's transactions, over all its lives."""
    lines = node.output.read_text(errors="replace").splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [entry for entry in found if entry.get("event") == "batch_attempt"]


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command as a user runs it."""
    return subprocess.run([*COMMAND, *arguments], env=environment(), capture_output=True, text=True, check=False)
