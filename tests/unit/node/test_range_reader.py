"""A range that reaches below what this node keeps is missing, and never a range with less in it."""

import pytest

from consensus.numbers import Height
from sequencer.node.range_reader import RangeReader
from sequencer.settlement.errors import MissingBlocks
from storage.chain import ChainStore
from tests.committee import FIRST, Committee
from tests.stored_chain import stored_chain


@pytest.fixture
def home(tmp_path):
    with stored_chain(Committee(), tmp_path) as home:
        for place in range(4):
            home.execute(10 * (place + 1), home.run.data(0, b"block %d" % place))
        yield home


def reader_of(home):
    return RangeReader(home.chain, ChainStore(home.database), home.blocks, home.source)


def test_pruned_heights_are_missing(home):
    home.prune(up_to=2)
    reader = reader_of(home)
    assert reader.pack(Height(3), Height(4)).last == 4
    with pytest.raises(MissingBlocks, match="height 2 is not kept"):
        reader.pack(Height(2), Height(4))


def test_a_node_that_began_later_does_not_take_a_part_for_the_whole(home):
    """Without the blocks up to 2 heights 1 to 4 would pack as 3 to 4 do, and be signed as another batch."""
    home.forget_namespace_blocks(FIRST, up_to=1)
    home.database.write(ChainStore.prunable_puts(2), sync=False)
    reader = reader_of(home)
    with pytest.raises(MissingBlocks):
        reader.pack(Height(1), Height(4))
    for height in (1, 2):
        with pytest.raises(MissingBlocks):
            reader.has_data(Height(height))
    assert reader.has_data(Height(3))
