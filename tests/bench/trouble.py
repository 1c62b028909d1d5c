"""The trouble list: what is done to a network that must stay bounded, clear, whole and able to recover.

Responsible for: making each trouble on a network of its own while an ordinary load runs, and judging what must hold.
Refuses to do: judge times: a property holds or does not, on any machine.
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from consensus.genesis import ChainParameters
from sequencer.load.plan import ITEMS_MAX, UNIQUE_BYTES
from tests.bench.judging import Judgement, judge_load, judge_receipts, judge_recovery
from tests.bench.measuring import Load, Measured, Story, measure
from tests.bench.networks import CannotMeasure, Running, Shape, running, wrapped
from tests.bench.receipts import ReceiptFile
from tests.bench.records import Result
from tests.bench.sweeps import find_knee
from tests.bench.tables import LOAD_COLUMNS, Table, load_cells, lost_words
from tests.bench.trouble_connections import hold_connections
from tests.bench.trouble_subscription import never_read
from tests.bench.usage import Watcher
from tests.e2e.packet_switch import Line

OVERLOAD_FACTOR = 10
SLOW_LINK_BYTES_PER_S = 1_000_000
SLOW_SYNC_MS = 50
CONNECTIONS = 5_000
TINY_TRANSACTIONS = 2_000_000


@dataclass(frozen=True)
class Effort:
    """How long, and how many."""

    seconds: float = 120.0
    rate: float = 2_000.0  # of the ordinary load beside the trouble
    first_rate: float = 8_000.0
    knee_s: float = 15.0
    connections: int = CONNECTIONS
    tiny: int = TINY_TRANSACTIONS

    def load(self) -> Load:
        """The ordinary one."""
        return Load(rate=self.rate, seconds=self.seconds, warm_up_s=0.0)


@dataclass
class Stage:
    """What a trouble works with."""

    result: Result
    judgement: Judgement
    effort: Effort
    directory: Path | None

    @asynccontextmanager
    async def network(self, shape: Shape) -> AsyncIterator[Running]:
        """A network that has to recover at the end, whatever was done to it."""
        async with running(shape, self.directory) as network:
            yield network
            await judge_recovery(self.judgement, network)

    async def endure(self, network: Running, load: Load, story: Story | None = None) -> Measured:
        """The load, with every receipt kept and asked for afterwards."""
        book = ReceiptFile(network.directory / "receipts")
        measured = await measure(network, load, story, book.keep)
        judge_load(self.judgement, network, measured)
        judge_receipts(self.judgement, await book.audit())
        name = self.judgement.trouble
        self.result.show(Table(name, LOAD_COLUMNS, [load_cells(measured)], lost_words(measured)))
        self.result.raw[f"{name}-{len(self.result.raw)}"] = measured.raw()
        return measured


async def overload(stage: Stage) -> None:
    """Ten times the knee for two minutes."""
    effort = stage.effort
    async with stage.network(Shape()) as network:
        looking = Load(seconds=effort.knee_s, warm_up_s=effort.knee_s / 3, items=1_024)
        knee = await find_knee(network, looking, effort.first_rate, lambda *_: None)
        rate = OVERLOAD_FACTOR * (knee or effort.first_rate)
        print(f"overload: the knee is at {knee:,.0f} tx/s, offering {rate:,.0f}", file=sys.stderr)
        await stage.endure(network, Load(rate=rate, seconds=effort.seconds, warm_up_s=0.0, items=1_024))


async def slow_peer(stage: Stage) -> None:
    """One validator behind a link of 1 MB/s each way, over all its lines, with a load that does not fit through it."""
    async with stage.network(Shape(on_hosts=True)) as network:
        hosts = network.hosts
        assert hosts is not None
        others = range(network.shape.validators - 1)
        slow = [network.shape.validators - 1]
        line = Line(bytes_per_s=SLOW_LINK_BYTES_PER_S / len(others))

        async def story(watcher: Watcher, events: list[tuple[float, str]]) -> None:
            hosts.set_lines(others, slow, line)
            hosts.set_lines(slow, others, line)
            events.append((watcher.now_s(), "one validator has a slow link"))

        load = replace(stage.effort.load(), rate=max(stage.effort.rate, 3 * SLOW_LINK_BYTES_PER_S / 512 / 2))
        try:
            await stage.endure(network, load, story)
        finally:
            hosts.heal()


async def slow_disk(stage: Stage) -> None:
    """One validator whose every sync takes 50 ms more."""
    command = (*wrapped("tests.e2e.slow_disk_validator"), str(SLOW_SYNC_MS))
    async with stage.network(Shape(commands={3: command})) as network:
        await stage.endure(network, stage.effort.load())


async def connections(stage: Stage) -> None:
    """A client that opens 5,000 connections to one validator and says nothing on them."""
    async with stage.network(Shape()) as network:
        node = network.nodes[0]

        async def story(watcher: Watcher, events: list[tuple[float, str]]) -> None:
            await hold_connections(node.host, node.rpc_port, stage.effort.connections, stage.judgement)
            events.append((watcher.now_s(), "the connections are closed"))

        await stage.endure(network, stage.effort.load(), story)


async def subscription(stage: Stage) -> None:
    """A client that subscribes to everything and never reads."""
    async with stage.network(Shape()) as network:
        node = network.nodes[0]

        async def story(_watcher: Watcher, _events: list[tuple[float, str]]) -> None:
            await never_read(node.host, node.rpc_port, network.namespaces[0], stage.judgement)

        await stage.endure(network, stage.effort.load(), story)


async def largest_batches(stage: Stage) -> None:
    """Batches of the largest size that the genesis allows, of transactions of the largest size."""
    most = ChainParameters()
    async with stage.network(Shape(settings={"mempool.batch_bytes_target": most.batch_bytes_max})) as network:
        load = Load(seconds=stage.effort.seconds, warm_up_s=0.0, items=ITEMS_MAX, size=most.tx_bytes_max)
        await stage.endure(network, load)


async def tiny(stage: Stage) -> None:
    """One-byte transactions, of which there are only 256, and then millions of the smallest that are all different."""
    async with stage.network(Shape()) as network:
        short = stage.effort.seconds / 4
        await stage.endure(network, Load(seconds=short, warm_up_s=0.0, items=ITEMS_MAX, size=1, clients=4))
        load = Load(rate=stage.effort.tiny / stage.effort.seconds, seconds=stage.effort.seconds, warm_up_s=0.0)
        await stage.endure(network, replace(load, items=ITEMS_MAX, size=UNIQUE_BYTES))


TROUBLES: Mapping[str, Callable[[Stage], Awaitable[None]]] = {
    "overload": overload,
    "slow-peer": slow_peer,
    "slow-disk": slow_disk,
    "connections": connections,
    "subscription": subscription,
    "largest-batches": largest_batches,
    "tiny": tiny,
}


async def make_trouble(result: Result, name: str, directory: Path | None, *, is_quick: bool) -> None:
    """One, or all in turn; what does not hold goes to the result's failures."""
    effort = Effort(10.0, 500.0, 1_000.0, 4.0, 1_500, 50_000) if is_quick else Effort()
    chosen = TROUBLES if name == "all" else {name: TROUBLES[name]}
    rows = []
    for trouble, make in chosen.items():
        print(f"trouble: {trouble}", file=sys.stderr)
        judgement = Judgement(trouble)
        try:
            await make(Stage(result, judgement, effort, directory))
        except CannotMeasure as error:
            judgement.note(f"skipped: {error}", holds=True)
        rows += judgement.rows()
        result.failures += judgement.failures()
    result.show(Table("trouble", ("property", "", "seen"), rows))
