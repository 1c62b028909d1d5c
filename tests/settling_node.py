"""One validator's L1 side on a stored chain and an L1 in memory; the other validators answer over links in memory.

Work that a node does in threads is done at once here (`threads_inline`): virtual time would not wait for a thread.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from consensus.numbers import BlockId, Hash, Height, ValidatorIndex
from consensus.signing import sha256
from consensus.vocabulary.l1_batch import DataKind, L1Batch
from p2p.errors import PeerFault, RequestFailed
from p2p.host import ValidatorHost
from sequencer.l1.inbox import Inbox
from sequencer.l1.transactions import address_of
from sequencer.node.batch_sharing import BatchSharing
from sequencer.node.certifying import Certifying
from sequencer.node.failpoints import Failpoints
from sequencer.node.intent_log import IntentLog
from sequencer.node.l1_follower import L1Follower
from sequencer.node.poster_driver import PosterDriver
from sequencer.node.progress import Progress
from sequencer.node.range_reader import RangeReader
from sequencer.node.unposted import Unposted
from sequencer.settlement.poster import Sealing
from sequencer.telemetry.metrics import Metrics
from storage.blocks import BlockStore
from storage.chain import ChainStore
from storage.database import Database
from tests.committed_chain import certify, on_l1
from tests.committee import Committee
from tests.memory_l1 import ETHER_WEI, INBOX, MemoryL1, MemoryL1Client
from tests.stored_chain import StoredChain

POLL_S = 1.0
POSTER_SECRET = b"\x51" * 32


@cache
def settling_committee(stakes: tuple[int, ...] = (1, 1, 1, 1), **parameters: Any) -> Committee:
    """A committee whose genesis names an L1, and these parameters."""
    committee = on_l1(Committee(stakes=stakes))
    committee.chain = replace(committee.chain, parameters=replace(committee.chain.parameters, **parameters))
    return committee


@contextmanager
def threads_inline() -> Iterator[None]:
    """`trio.to_thread.run_sync` calls its function itself."""

    async def run_sync(function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return function(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", run_sync)
        yield


class Crash(Exception):
    """The process died here."""


class RecordingFailpoints(Failpoints):
    """Notes the passages in order; at `deadly` the process dies."""

    def __init__(self, deadly: str | None = None) -> None:
        super().__init__()
        self.deadly = deadly
        self.passed: list[str] = []
        self.at_passage: Callable[[str], None] = lambda _: None

    def reach(self, name: str) -> None:
        self.passed.append(name)
        self.at_passage(name)
        if name == self.deadly:
            raise Crash(name)


@dataclass
class Links:
    """A host whose peers are functions: request bytes to answer bytes."""

    answers: dict[int, Callable[[bytes], Awaitable[bytes]]]
    silent: set[int] = field(default_factory=set)
    disconnected: set[int] = field(default_factory=set)
    accused: list[tuple[int, str]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def peers(self) -> list[Any]:
        return [SimpleNamespace(index=peer, connected=peer not in self.disconnected) for peer in sorted(self.answers)]

    async def request(self, peer: int, kind: int, body: bytes, *, timeout_ms: int, response_bytes_max: int) -> bytes:
        self.asked.append(peer)
        if peer in self.silent:
            await trio.sleep(timeout_ms / 1_000)
            raise RequestFailed("timeout")
        answer = await self.answers[peer](body)
        assert len(answer) <= response_bytes_max
        return answer

    def accuse(self, peer: int, fault: PeerFault) -> None:
        self.accused.append((peer, fault.reason))


class SettlingNode:
    """See the module. Made anew on the same stores it is the node after a restart."""

    def __init__(
        self,
        stored: StoredChain,
        committee: Committee,
        l1: MemoryL1,
        *,
        index: int = 0,
        finality: str = "finalized",
        backlog_s: float = 10.0**9,
        failpoints: Failpoints | None = None,
    ) -> None:
        self.chain, self.stored, self.committee, self.l1 = committee.chain, stored, committee, l1
        self.index, self.finality = ValidatorIndex(index), finality
        self.database, self.metrics = stored.database, Metrics("test")
        self.failpoints = failpoints or Failpoints()
        ends = tuple(end.seq for end in stored.run.state.effective.cut)
        self.progress = Progress(ends, stored.run.state.height, stored.run.state.height, stored.run.state.height)
        self.anchors: list[Any] = []
        self.looks = 0
        self.client = MemoryL1Client(l1)
        self.inbox = Inbox(self.client, INBOX)
        self.reader = RangeReader(self.chain, ChainStore(self.database), BlockStore(self.database), stored.source)
        self.unposted = Unposted(self.reader, self.progress)
        self.follower = self._follower()
        self.sharing = self.sharing_of(self.index, self.database)
        others = [ValidatorIndex(other) for other in range(committee.count) if other != index]
        self.validators = {other: self.sharing_of(other, self.database) for other in others}
        self.links = Links({other: self._serve(other) for other in others})
        self.certifying = Certifying(
            chain=self.chain,
            index=self.index,
            host=cast(ValidatorHost, self.links),
            sharing=self.sharing,
            metrics=self.metrics,
        )
        self.intents = IntentLog(self.client, self.follower, self.database, self.metrics)
        self.poster = self._poster(backlog_s)

    @property
    def address(self) -> bytes:
        """Of the poster."""
        return address_of(POSTER_SECRET)

    def _serve(self, other: ValidatorIndex) -> Callable[[bytes], Awaitable[bytes]]:
        return lambda body: self.validators[other].serve(self.index, body)

    def _follower(self) -> L1Follower:
        return L1Follower(
            chain=self.chain,
            client=self.client,
            inbox=self.inbox,
            finality=self.finality,
            poll_s=POLL_S,
            database=self.database,
            to_replica=lambda event: self.anchors.append(event.anchor),
            moved=self._note_moved,
            metrics=self.metrics,
        )

    def _note_moved(self) -> None:
        self.looks += 1

    def sharing_of(self, index: ValidatorIndex, database: Database) -> BatchSharing:
        """A validator's part in certificates, with the same chain and the same look at the L1."""
        return BatchSharing(
            chain=self.chain,
            key=self.committee.bls_keys[index],
            index=index,
            inbox=INBOX,
            follower=self.follower,
            reader=self.reader,
            progress=self.progress,
            database=database,
            metrics=self.metrics,
        )

    def _poster(self, backlog_s: float) -> PosterDriver:
        return PosterDriver(
            chain=self.chain,
            index=self.index,
            secret=POSTER_SECRET,
            client=self.client,
            inbox=self.inbox,
            follower=self.follower,
            reader=self.reader,
            unposted=self.unposted,
            certifying=self.certifying,
            intents=self.intents,
            sealing=Sealing(0, 10**9),  # at once
            backlog_ms=round(backlog_s * 1_000),
            metrics=self.metrics,
            failpoints=self.failpoints,
        )

    # driving

    def execute(self, ts_ms: int, *items: bytes) -> Height:
        """A further block, attested; without items it is empty."""
        run = self.stored.run
        block = self.stored.execute(ts_ms, run.data(0, *items) if items else {})
        self.progress.note_executed(tuple(end.seq for end in run.state.effective.cut), block.height)
        self.unposted.note_executed(block)
        self.progress.note_attested(block.height)
        height: Height = block.height
        return height

    async def look(self) -> None:
        """One look at the L1, without the poster."""
        await self.follower._look()
        self.follower._is_away = False

    async def run(self) -> None:
        """Follows and posts until it is cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.follower.run)
            nursery.start_soon(self.poster.run)

    async def run_for(self, looks: int, *, mined_each: int = 1) -> None:
        """Runs so many looks; before each the L1 makes blocks."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.run)
            await trio.sleep(POLL_S / 2)
            for _ in range(looks):
                self.l1.mine(mined_each)
                await trio.sleep(POLL_S)
            nursery.cancel_scope.cancel()


def rich(l1: MemoryL1) -> MemoryL1:
    """The same L1, with money for the poster."""
    l1.give(address_of(POSTER_SECRET), 100 * ETHER_WEI)
    return l1


def made_up_batch(l1: MemoryL1, heights: int = 10, **changed: Any) -> L1Batch:
    """A batch that the Inbox of this L1 takes next, of blocks that nobody has."""
    head = l1.head
    values: dict[str, Any] = {
        "l1_chain_id": l1.committee.chain.l1_chain_id,
        "inbox": INBOX,
        "index": head.next_index,
        "first": Height(head.next_height),
        "last": Height(head.next_height + heights - 1),
        "previous": Hash(head.head_hash),
        "data_kind": DataKind.HELD,
        "data_hash": sha256(b"data"),
        "block_id": BlockId(sha256(b"block")),
        "namespaces_root": sha256(b"namespaces"),
    }
    return L1Batch(**(values | changed))


def commit(l1: MemoryL1, **changed: Any) -> L1Batch:
    """Another poster commits a made-up batch in a block of its own."""
    batch = made_up_batch(l1, **changed)
    before = l1.head.next_index
    l1.hand_in(certify(l1.committee, batch))
    l1.mine()
    assert l1.head.next_index == before + 1
    return batch
