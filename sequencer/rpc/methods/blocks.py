"""Blocks of the chain."""

from consensus.numbers import Height
from sequencer.client.views import BlockName, block_to_json
from sequencer.rpc.context import Context
from sequencer.rpc.method import Method
from sequencer.rpc.parameters import BLOCK


async def get_block(context: Context, height: Height | BlockName) -> object:
    """A block, or null."""
    block = await context.service.block(height)
    return None if block is None else await context.make_answer(block_to_json, block)


METHODS = (
    Method(
        "seq_getBlock",
        "A block by height, or the newest of a status. Its roots and namespaces are null until it is executed.",
        get_block,
        (BLOCK,),
        result="Block",
        nullable=True,
        reasons=("pruned",),
    ),
)
