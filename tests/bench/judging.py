"""What has to hold however bad it gets: bounded memory, clear refusals, recovery, and every receipt kept.

Responsible for: the properties and their bounds, none of which is a time.
Refuses to do: make trouble.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

from consensus.numbers import NamespaceId
from sequencer.client.client import SequencerClient
from sequencer.client.errors import ClientError
from sequencer.client.status import Status
from sequencer.load.errors import Unanswered
from sequencer.load.http import NodeConnections
from sequencer.telemetry import table
from tests.bench.measuring import Measured
from tests.bench.networks import Running
from tests.bench.receipts import Audit
from tests.bench.usage import read_page
from tests.e2e.network import Node, until

# As words of the refusal. `http_503`: one connection too many is told so without a body.
CLEAR = frozenset({"full", "quota", "overloaded", "not_accepting", "known", "expired", "http_503"})
RECOVERY_S = 180.0  # only ends what will never end
_BASE_MIB, _LANE_MIB, _QUEUE_MIB, _BODIES_MIB = 150, 64, 16, 64  # the process, then its configured bounds
_DATABASE_MIB = 2 * 24 + 32  # LevelDB's write buffers, the one in use and the one being written out, and its cache


@dataclass
class Judgement:
    """Of one trouble: (property, holds, what was seen)."""

    trouble: str
    properties: list[tuple[str, bool, str]] = field(default_factory=list)

    def note(self, what: str, *, holds: bool, seen: object = "") -> None:
        """One property."""
        self.properties.append((what, holds, str(seen)))

    def failures(self) -> list[str]:
        """In words."""
        return [f"{self.trouble}: {what}: {seen}" for what, holds, seen in self.properties if not holds]

    def rows(self) -> list[list[Any]]:
        """For a table."""
        return [
            [f"{self.trouble}: {what}", "holds" if holds else "DOES NOT HOLD", seen]
            for what, holds, seen in self.properties
        ]


def memory_mib_max(network: Running) -> float:
    """What a validator may hold: its configured bounds added up."""
    shape = network.shape
    return (
        _BASE_MIB + shape.validators * _LANE_MIB + min(shape.namespaces, 16) * _QUEUE_MIB + _BODIES_MIB + _DATABASE_MIB
    )


def judge_load(judgement: Judgement, network: Running, measured: Measured) -> None:
    """Memory and refusals of a run."""
    resident_mib = max((look.resident_bytes for look in measured.looks), default=0) / 2**20
    bound = memory_mib_max(network)
    judgement.note("memory is bounded", holds=resident_mib <= bound, seen=f"{resident_mib:.0f} of {bound:.0f} MiB")
    judge_refusals(judgement, measured.record.refused, measured.record.failed)


def judge_refusals(judgement: Judgement, refused: Iterable[str], failed: Iterable[str]) -> None:
    """Every request was answered, and what was refused was told why."""
    unclear = sorted(set(refused) - CLEAR)
    judgement.note("refusals are clear", holds=not unclear, seen=f"unclear: {unclear}" if unclear else sorted(refused))
    unanswered = sorted(failed)
    judgement.note("every request is answered", holds=not unanswered, seen=unanswered or "")


async def judge_recovery(judgement: Judgement, network: Running) -> None:
    """Every validator runs, is ready, has no backlog, and takes a transaction whose block all execute."""
    dead = [node.index for node in network.network.nodes if not node.is_running]
    judgement.note("no validator died", holds=not dead, seen=dead or "")
    if dead:
        return
    step = ["is ready"]
    try:
        with trio.fail_after(RECOVERY_S):
            await network.network.until_ready()
            for node in network.nodes:
                step.append(f"queues of {node.index} are empty")
                await until(partial(_has_no_backlog, node.metrics_url), step[-1], RECOVERY_S)
            for number, node in enumerate(network.nodes):
                step.append(f"a transaction of {node.index} is final everywhere")
                namespace = NamespaceId(network.namespaces[number % len(network.namespaces)])
                await _send_and_execute(network, node, namespace, f"{judgement.trouble}/{number}/after".encode())
    except (trio.TooSlowError, AssertionError, ClientError) as error:
        judgement.note("the network recovers", holds=False, seen=f"{step[-1]}: {error!r}")
    else:
        judgement.note("the network recovers", holds=True)


async def _send_and_execute(network: Running, node: Node, namespace: NamespaceId, data: bytes) -> None:
    async with node.client() as client:
        receipt = await client.send(namespace, data)
        status = await client.wait(receipt.items[0].hash, Status.FINAL, RECOVERY_S)
    height = status.height
    assert height is not None
    for other in network.nodes:
        async with other.client() as client:

            async def has_executed(client: SequencerClient = client) -> bool:
                return (await client.sync_status()).executed_height >= height

            await until(has_executed, f"validator {other.index} executes {height}", RECOVERY_S)


async def _has_no_backlog(metrics_url: str) -> bool:
    try:
        async with NodeConnections(metrics_url) as node:
            page = read_page((await node.ask("GET", "/metrics")).body.decode())
    except Unanswered:
        return False
    return page[table.MEMPOOL_QUEUED.name] == 0 and page[table.EXECUTION_LAG.name] == 0


def judge_receipts(judgement: Judgement, audit: Audit) -> None:
    """Nothing that was promised is lost or elsewhere."""
    seen = f"{audit.transactions:,} transactions in {audit.receipts:,} receipts, {audit.checked:,} asked for"
    broken = f"{len(audit.broken)} broken, such as {audit.broken[:3]}" if audit.broken else seen
    judgement.note("every receipt is kept", holds=not audit.broken, seen=broken)
