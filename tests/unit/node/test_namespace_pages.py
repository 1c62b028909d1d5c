"""Pages of namespace blocks: every run once, and bounds on what is delivered and on what is read for it."""

import pytest

from consensus.numbers import NamespaceIndex
from sequencer.node.errors import PrunedHere
from sequencer.node.namespace_pages import NamespacePages
from storage.chain import ChainStore
from tests.committee import FIRST, SECOND, Committee, Segment
from tests.stored_chain import stored_chain

PAGE_BYTES = 1024 * 1024
COUNT_MAX = 1_000


@pytest.fixture(scope="module")
def committee():
    return Committee()


@pytest.fixture
def home(committee, tmp_path):
    with stored_chain(committee, tmp_path) as home:
        yield home


def pages_of(home, **bounds):
    return NamespacePages(
        ChainStore(home.database), home.blocks, home.source, lambda: home.run.state.namespaces, **bounds
    )


def filled(home, place, filler_bytes):
    """A batch with a small transaction of the second namespace among many bytes of the first."""
    return {0: [home.run.seal(0, Segment(FIRST, (bytes(filler_bytes),)), Segment(SECOND, (b"small %d" % place,)))]}


def read_all(pages, namespace, bytes_max=PAGE_BYTES):
    """Every page from the first block on."""
    found, index, run = [], 0, 0
    while page := pages.read(namespace, NamespaceIndex(index), COUNT_MAX, run, bytes_max):
        found.append(page)
        last = page[-1].delivered.block.index
        index, run = (last + 1, 0) if page[-1].is_last else (last, page[-1].next_run)
    return found


def indexes(found):
    return [part.delivered.block.index for page in found for part in page]


def test_pages_deliver_every_run_once(home):
    for place in range(3):
        home.execute(10 * (place + 1), {**home.run.data(0, bytes(400), bytes(100)), **home.run.data(1, bytes(600))})
    found = read_all(pages_of(home), FIRST, bytes_max=1_000)
    parts = [part for page in found for part in page]
    assert [part.first_run for part in parts] == [0, 1, 0, 1, 0, 1]
    runs = [run for part in parts for run in part.delivered.runs]
    assert runs == [run for place in range(3) for run in home.run.delivered(place).runs]


def test_a_page_is_bounded_by_the_batches_that_it_reads(home):
    for place in range(9):
        home.execute(10 * (place + 1), filled(home, place, 10_000))
    found = read_all(pages_of(home, batch_bytes_read_max=35_000), SECOND)
    assert indexes(found) == list(range(9))
    assert [len(page) for page in found] == [4, 4, 1]
    assert home.source.read_bytes < 9 * 11_000


def test_a_page_is_bounded_within_a_block_too(home):
    segments = (Segment(FIRST, (bytes(10_000),)), Segment(SECOND, (b"small",)))
    home.execute(10, {lane: [home.run.seal(lane, *segments)] for lane in range(4)})
    found = read_all(pages_of(home, batch_bytes_read_max=15_000), SECOND)
    assert [[(part.first_run, part.next_run, part.run_count) for part in page] for page in found] == [
        [(0, 2, 4)],
        [(2, 4, 4)],
    ]


def test_a_page_is_bounded_by_the_blocks_that_it_decodes(home):
    sizes = [len(home.execute(10 * (place + 1), filled(home, place, 10)).encode()) for place in range(9)]
    room = sum(sizes[:4]) - 1
    found = read_all(pages_of(home, block_bytes_read_max=room), SECOND)
    assert indexes(found) == list(range(9))
    assert [len(page) for page in found] == [4, 4, 1]
    assert home.blocks.read_bytes == sum(sizes)  # each decoded once


def test_whatever_the_bounds_a_page_goes_on(home):
    for place in range(3):
        home.execute(10 * (place + 1), filled(home, place, 10_000))
    pages = pages_of(home, batch_bytes_read_max=1, block_bytes_read_max=1)
    assert indexes(read_all(pages, FIRST, bytes_max=1)) == [0, 1, 2]


def test_a_run_beyond_the_last_is_an_empty_page(home):
    home.execute(10, home.run.data(0, b"one"))
    assert pages_of(home).read(FIRST, NamespaceIndex(0), 1, 1, PAGE_BYTES) == []


# pruning


def test_what_is_pruned_is_refused_and_not_said_to_be_absent(home):
    for place in range(3):
        home.execute(10 * (place + 1), home.run.data(0, b"block %d" % place))
    home.prune(up_to=2)
    pages = pages_of(home)
    with pytest.raises(PrunedHere, match="pruned height 1"):
        pages.read(FIRST, NamespaceIndex(0), 10, 0, PAGE_BYTES)
    assert indexes([pages.read(FIRST, NamespaceIndex(2), 10, 0, PAGE_BYTES)]) == [2]
    assert pages.read(FIRST, NamespaceIndex(3), 10, 0, PAGE_BYTES) == []


def test_blocks_before_the_checkpoint_at_which_a_node_began_are_refused(home):
    for place in range(3):
        home.execute(10 * (place + 1), home.run.data(0, b"block %d" % place))
    home.forget_namespace_blocks(FIRST, up_to=1)
    pages = pages_of(home)
    with pytest.raises(PrunedHere, match="began after block 1"):
        pages.read(FIRST, NamespaceIndex(1), 10, 0, PAGE_BYTES)
    assert indexes([pages.read(FIRST, NamespaceIndex(2), 10, 0, PAGE_BYTES)]) == [2]
