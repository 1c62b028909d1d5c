"""Pages of tips: what is in them, that they are the stored bytes, and how many are read at a time."""

import threading

import pytest
import trio
import trio.testing

from consensus import limits
from consensus.encoding import decode_whole
from consensus.numbers import GENESIS_HEIGHT, GENESIS_VIEW, BlockId, Hash, Height, ValidatorIndex
from consensus.ordering.effective import effective_start
from consensus.replica.replica import Replica
from consensus.replica.state import Recovered, ReplicaTiming
from consensus.vocabulary.tip import Tip
from sequencer.node.frames import decode_tips
from sequencer.node.tip_pages import TipPages
from storage.chain import ChainStore
from storage.database import Database
from storage.errors import StorageFault
from tests.simulation.forge import Forge
from tests.simulation.keys import make_genesis, node_key

CHAIN = make_genesis((1, 1, 1, 1))
FORGE = Forge(CHAIN)
TIPS = FORGE.chain_of(6)
PEER, OTHER = ValidatorIndex(1), ValidatorIndex(2)


class Gate(ChainStore):
    """Counts how many read at once; reads wait until it is opened."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.opened = threading.Event()
        self.opened.set()
        self.reading, self.most, self.begun = 0, 0, 0
        self.threads: set[int] = set()

    def load_tip(self, block_id: bytes) -> bytes | None:
        self.begun += 1
        self.reading += 1
        self.most = max(self.most, self.reading)
        self.threads.add(threading.get_ident())
        self.opened.wait(10)
        self.reading -= 1
        return super().load_tip(block_id)


@pytest.fixture
def store(tmp_path):
    with Database.open(tmp_path, CHAIN.chain_id) as database:
        database.write([put for tip in TIPS[:4] for put in ChainStore.tip_puts(tip.id, tip.encoded)], sync=False)
        yield Gate(database)


def pages_of(store: ChainStore, kept: list[Tip]) -> TipPages:
    genesis_id = FORGE.genesis_qc.body.block_id
    recovered = Recovered(None, genesis_id, GENESIS_HEIGHT, GENESIS_VIEW, effective_start(4))
    replica = Replica(CHAIN, node_key(0), ReplicaTiming(), recovered)
    for tip in kept:
        replica.state.tree.add(tip, named=True)
    return TipPages(replica, store)


def ids(answer: bytes) -> list[BlockId]:
    return [tip.id for tip in decode_tips(answer, 4, CHAIN.tip_bytes_max)]


async def test_a_page_goes_from_the_tree_to_the_store_down_to_the_floor(store):
    pages = pages_of(store, TIPS[4:])
    assert ids(await pages.serve(PEER, TIPS[5].id, Height(1))) == [tip.id for tip in reversed(TIPS[1:])]
    assert ids(await pages.serve(PEER, TIPS[5].id, Height(5))) == [TIPS[5].id]
    assert ids(await pages.serve(PEER, TIPS[5].id, Height(9))) == []
    assert ids(await pages.serve(PEER, BlockId(Hash(bytes(32))), GENESIS_HEIGHT)) == []


async def test_our_own_page_holds_stored_tips_only(store):
    pages = pages_of(store, TIPS[4:])
    assert await pages.read(TIPS[5].id, GENESIS_HEIGHT) == []
    assert await pages.read(TIPS[3].id, Height(2)) == [TIPS[3].encoded, TIPS[2].encoded]


async def test_a_committed_tip_is_served_until_it_is_saved_and_then_from_the_store(store):
    """The tree has let go of it, and the store has it only once execution has written its commit."""
    pages = pages_of(store, TIPS[5:])
    pages.note_committed(TIPS[4:5])
    assert ids(await pages.serve(PEER, TIPS[5].id, Height(2))) == [tip.id for tip in reversed(TIPS[2:])]
    assert ids(await pages.serve(PEER, TIPS[4].id, Height(4))) == [TIPS[4].id]
    assert pages.unsaved_tip(TIPS[4].header.height) is TIPS[4]
    pages.note_saved(TIPS[4:5])
    assert pages.unsaved_tip(TIPS[4].header.height) is None
    assert ids(await pages.serve(PEER, TIPS[4].id, GENESIS_HEIGHT)) == []


async def test_a_page_ends_at_its_bounds(store, monkeypatch):
    pages = pages_of(store, [])
    monkeypatch.setattr(limits, "WALK_BYTES_MAX", len(TIPS[3].encoded) + 1)
    assert len(await pages.read(TIPS[3].id, GENESIS_HEIGHT)) == 2
    monkeypatch.setattr(limits, "WALK_TIPS_MAX", 1)
    assert len(await pages.read(TIPS[3].id, GENESIS_HEIGHT)) == 1


async def test_the_store_is_read_in_a_thread_for_one_request_at_a_time(store):
    pages = pages_of(store, [])
    store.opened.clear()
    answers: list[bytes] = []

    async def ask(peer: ValidatorIndex) -> None:
        answers.append(await pages.serve(peer, TIPS[3].id, GENESIS_HEIGHT))

    async with trio.open_nursery() as nursery:
        for peer in (PEER, PEER, PEER, OTHER):
            nursery.start_soon(ask, peer)
        await trio.testing.wait_all_tasks_blocked(0.01)
        store.opened.set()
    assert [ids(answer) for answer in answers] == [[tip.id for tip in reversed(TIPS[:4])]] * 4
    assert store.most == 1
    assert threading.get_ident() not in store.threads


async def test_a_crowd_of_requests_of_one_peer_comes_behind_the_first_of_another(store):
    pages = pages_of(store, [])
    store.opened.clear()
    order: list[ValidatorIndex] = []

    async def ask(peer: ValidatorIndex) -> None:
        await pages.serve(peer, TIPS[3].id, GENESIS_HEIGHT)
        order.append(peer)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask, PEER)
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.start_soon(ask, OTHER)
        await trio.testing.wait_all_tasks_blocked(0.01)
        store.opened.set()
    assert order.index(OTHER) <= 2


async def test_an_unreadable_stored_tip_is_a_fault_of_the_disk(tmp_path):
    with Database.open(tmp_path, CHAIN.chain_id) as database:
        database.write(ChainStore.tip_puts(TIPS[0].id, b"short"), sync=False)
        pages = pages_of(ChainStore(database), [])
        with pytest.raises(StorageFault):
            await pages.serve(PEER, TIPS[0].id, GENESIS_HEIGHT)


async def test_stored_tips_are_served_as_they_were_written(store):
    (first, *_) = await pages_of(store, []).read(TIPS[3].id, GENESIS_HEIGHT)
    assert decode_whole(first, lambda reader: Tip.decode(reader, 4)).encoded == first
