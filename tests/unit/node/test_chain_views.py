"""Blocks as a node answers them: what counts as ordered, and what stays off the event loop."""

import threading

import pytest

from consensus.numbers import Height, NamespaceIndex
from sequencer.client.status import Status
from sequencer.rpc.errors import RequestRefused
from storage.chain import ChainStore
from tests.committee import FIRST, Committee
from tests.stored_chain import qc_on, stored_chain

PAGE_BYTES = 1024 * 1024


@pytest.fixture(scope="module")
def committee():
    return Committee()


@pytest.fixture
def home(committee, tmp_path):
    with stored_chain(committee, tmp_path) as home:
        yield home


# what is ordered


@pytest.fixture
def proposed(home):
    """Two proposals one on the other, and a third for the second's QC."""
    return [home.propose(ts_ms) for ts_ms in (10, 20, 30)]


async def test_a_block_with_a_fresh_qc_is_ordered_and_so_are_its_ancestors(home, proposed):
    one, two, three = proposed
    home.replica.state.high_qc = qc_on(two, three)
    views = home.views()
    newest = await views.block("ordered")
    assert newest is not None
    assert (newest.block_id, newest.status) == (two.id, Status.ORDERED)
    older = await views.block(one.header.height)
    assert older is not None
    assert (older.block_id, older.status) == (one.id, Status.ORDERED)
    assert await views.block(three.header.height) is None


async def test_a_block_with_a_qc_of_a_later_view_alone_is_not_ordered(home, proposed):
    one, two, three = proposed
    home.replica.state.high_qc = qc_on(two, three, view=two.view + 3)
    views = home.views()
    newest = await views.block("ordered")
    assert newest is not None
    assert newest.block_id == one.id
    assert await views.block(two.header.height) is None


async def test_a_block_stays_ordered_when_it_is_certified_again(home, proposed):
    _, two, three = proposed
    fresh, again = qc_on(two, three), qc_on(two, three, view=two.view + 3)
    home.replica.state.qcs, home.replica.state.high_qc = {fresh.view: fresh}, again
    newest = await home.views().block("ordered")
    assert newest is not None
    assert newest.block_id == two.id


async def test_without_an_ordered_block_the_newest_final_one_is_it(home):
    block = home.execute(10, home.run.data(0, b"one"))
    newest = await home.views().block("ordered")
    assert newest is not None
    assert (newest.block_id, newest.status) == (block.block_id, Status.FINAL)


async def test_a_block_stays_ordered_until_its_commit_is_saved(home, proposed):
    """The replica's tree has let go of it, and the store does not know it yet."""
    one, two, three = proposed
    home.replica.state.high_qc = qc_on(two, three)
    home.replica.state.tree.commit(one)
    assert await home.views().block(one.header.height) is None
    shown = await home.views(unsaved={one.header.height: one}).block(one.header.height)
    assert shown is not None
    assert (shown.block_id, shown.status) == (one.id, Status.ORDERED)


async def test_a_block_that_is_committed_and_not_executed_is_the_newest_final_one(home):
    home.execute(10, home.run.data(0, b"one"))
    tip = home.run.tips.tip(20)
    height = tip.header.height
    home.database.write(ChainStore.tip_puts(tip.id, tip.encoded) + ChainStore.commit_puts(height, tip.id), sync=False)
    newest = await home.views(final_height=height).block("final")
    assert newest is not None
    assert (newest.block_id, newest.status, newest.namespaces) == (tip.id, Status.FINAL, None)


# off the event loop


async def test_what_grows_with_the_content_of_blocks_is_not_read_on_the_event_loop(home):
    for place in range(8):
        home.execute(50 * (place + 1), home.run.data(0, b"one"))
    height = max(home.run.attestations)
    home.certify(height)
    views = home.views(attested_height=height)
    loop = threading.current_thread()
    assert await views.namespace_blocks(FIRST, NamespaceIndex(0), 10, 0, PAGE_BYTES)
    assert home.source.threads
    assert await views.block("final") is not None
    assert await views.block("attested") is not None
    proof = await views.namespace_proof(FIRST, "attested")
    assert proof == home.run.proof(height)
    (first, second) = await views.namespaces(FIRST, 10)
    assert (first.index, second.index) == (7, None)
    assert home.blocks.threads
    assert loop not in home.source.threads | home.blocks.threads


# pruning


async def test_a_block_is_told_without_its_tip(home):
    block = home.execute(10, home.run.data(0, b"one"))
    before = await home.views().block(block.height)
    home.database.write((), ChainStore.tip_deletes([block.block_id]), sync=False)
    assert await home.views().block(block.height) == before


async def test_a_height_before_the_node_began_is_refused_and_one_that_is_not_there_yet_is_none(home):
    home.database.write(ChainStore.prunable_puts(5), sync=False)
    with pytest.raises(RequestRefused, match="pruned"):
        await home.views().block(Height(5))
    assert await home.views().block(Height(6)) is None
