"""Walks as the driver carries them out: from our own disk, then from peers, each of which is told of."""

import pytest
import trio
import trio.testing

from consensus.numbers import GENESIS_HEIGHT, GENESIS_VIEW, Height, ValidatorIndex
from consensus.ordering.effective import effective_start
from consensus.replica.effects import Effect, FetchTips, StoreTips
from consensus.replica.events import Event, Started, TipsFetched
from consensus.replica.replica import Replica
from consensus.replica.state import Recovered, ReplicaTiming
from p2p.errors import RequestFailed
from sequencer.node.consensus_driver import ConsensusDriver, ConsensusListener
from sequencer.node.failpoints import Failpoints
from sequencer.node.frames import encode_tips
from sequencer.node.outbox import Outbox
from sequencer.telemetry.metrics import Metrics
from storage.chain import ChainStore
from storage.database import Database
from tests.simulation.forge import Forge
from tests.simulation.keys import make_genesis, node_key

CHAIN = make_genesis((1, 1, 1, 1))
FORGE = Forge(CHAIN)
TIPS = tuple(reversed(FORGE.chain_of(4)))
ME = ValidatorIndex(0)
PEERS = (ValidatorIndex(1), ValidatorIndex(2))


class Scripted(Replica):
    """Asks for what the test says, and remembers what it is told."""

    def __init__(self, effects: list[Effect]) -> None:
        genesis_id = FORGE.genesis_qc.body.block_id
        recovered = Recovered(None, genesis_id, GENESIS_HEIGHT, GENESIS_VIEW, effective_start(4))
        super().__init__(CHAIN, node_key(ME), ReplicaTiming(), recovered)
        self.state.voted_view = self.state.proposed_view = TIPS[0].header.view  # it signed them, too
        self.effects = effects
        self.told: list[TipsFetched] = []

    def step(self, event: Event, now):
        if isinstance(event, TipsFetched):
            self.told.append(event)
        effects, self.effects = self.effects, []
        return effects


class Host:
    """Answers from a table; None fails."""

    def __init__(self, answers: dict[int, bytes | None]) -> None:
        self.answers = answers
        self.asked: list[int] = []
        self.timeouts_ms: list[int] = []
        self.closed: list[int] = []

    async def request(self, peer, kind, body, *, timeout_ms, response_bytes_max):
        self.asked.append(peer)
        self.timeouts_ms.append(timeout_ms)
        answer = self.answers[peer]
        if answer is None:
            raise RequestFailed("timeout")
        return answer

    def accuse(self, peer, fault):
        self.closed.append(peer)


@pytest.fixture
def database(tmp_path):
    with Database.open(tmp_path, CHAIN.chain_id) as opened:
        yield opened


def make_driver(database: Database, replica: Replica, host: Host) -> tuple[ConsensusDriver, Outbox]:
    metrics = Metrics("test")
    outbox = Outbox(database, metrics, Failpoints())
    driver = ConsensusDriver(
        chain=CHAIN,
        replica=replica,
        outbox=outbox,
        store=ChainStore(database),
        listener=ConsensusListener(lambda commit: None, lambda confirm: lambda: None, lambda needed: None),
        metrics=metrics,
        failpoints=Failpoints(),
    )
    driver.attach(host)  # type: ignore[arg-type]
    return driver, outbox


async def carry_out(database: Database, effects: list[Effect], host: Host) -> list[tuple[int, int]]:
    """Returns of whom the replica was told, and how many tips each had."""
    replica = Scripted(effects)
    driver, outbox = make_driver(database, replica, host)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run)
        nursery.start_soon(driver.run_fetches)
        driver.handle(Started())
        with trio.fail_after(10):
            while not (replica.told and (replica.told[-1].tips or len(replica.told) == len(PEERS))):
                await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    return [(event.sender, len(event.tips)) for event in replica.told]


async def test_what_a_walk_stored_is_read_back_and_not_asked_of_peers(database):
    host = Host({})
    told = await carry_out(database, [StoreTips(TIPS), FetchTips(TIPS[1].id, 0, PEERS)], host)
    assert told == [(ME, 3)]
    assert not host.asked


async def test_a_peer_that_fails_is_told_of_before_the_next_is_asked(database):
    host = Host({1: None, 2: encode_tips([tip.encoded for tip in TIPS])})
    assert await carry_out(database, [FetchTips(TIPS[0].id, 0, PEERS)], host) == [(1, 0), (2, 4)]
    assert host.asked == [1, 2]


async def test_an_answer_that_cannot_be_read_closes_the_link_and_counts_as_none(database):
    host = Host({1: b"\xff" * 9, 2: encode_tips([])})
    assert await carry_out(database, [FetchTips(TIPS[0].id, 0, PEERS)], host) == [(1, 0), (2, 0)]
    assert host.closed == [1]


async def test_a_peer_that_was_late_has_more_time_until_it_is_in_time_again(database):
    """A page that takes longer than the time given would never come."""
    host = Host({1: None, 2: None})
    driver, _ = make_driver(database, Scripted([]), host)
    for _ in range(5):
        await driver._fetch_from_peers(FetchTips(TIPS[0].id, Height(0), PEERS[:1]))
    host.answers[1] = encode_tips([tip.encoded for tip in TIPS])
    for _ in range(2):
        await driver._fetch_from_peers(FetchTips(TIPS[0].id, Height(0), PEERS[:1]))
    await driver._fetch_from_peers(FetchTips(TIPS[0].id, Height(0), PEERS[1:]))
    assert host.timeouts_ms == [2_000, 4_000, 8_000, 16_000, 16_000, 16_000, 2_000, 2_000]
