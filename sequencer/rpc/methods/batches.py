"""Batches of blocks on the L1."""

from sequencer.client.l1_views import BatchName, l1_batch_to_json
from sequencer.rpc.context import Context
from sequencer.rpc.method import Method
from sequencer.rpc.parameters import BATCH, BATCHES_COUNT, FROM_BATCH


async def get_batch(context: Context, index: int | BatchName) -> object:
    """A batch, or null."""
    batch = context.service.l1_batch(index)
    return None if batch is None else l1_batch_to_json(batch)


async def list_batches(context: Context, from_index: int, count: int) -> object:
    """A page of batches."""
    return [l1_batch_to_json(batch) for batch in context.service.l1_batches(from_index, count)]


METHODS = (
    Method(
        "seq_getBatch",
        "A batch of blocks on the L1 by number, or the newest of a status. Null if there is none.",
        get_batch,
        (BATCH,),
        result="L1Batch",
        nullable=True,
    ),
    Method(
        "seq_listBatches",
        "Batches of blocks on the L1 by rising number. Empty on a node without an L1.",
        list_batches,
        (FROM_BATCH, BATCHES_COUNT),
        result="L1Batch",
        many=True,
    ),
)
