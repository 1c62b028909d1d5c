"""The chain itself: its genesis, its validators, and how far this node is."""

from consensus.numbers import Epoch
from sequencer.client.chain_view import chain_to_json, checkpoint_to_json, validators_to_json
from sequencer.client.views import sync_status_to_json
from sequencer.rpc.context import Context
from sequencer.rpc.method import Method
from sequencer.rpc.parameters import EPOCH


async def get_chain(context: Context) -> object:
    """The genesis, canonical and readable."""
    return chain_to_json(context.service.chain)


async def get_validators(context: Context, epoch: Epoch) -> object:
    """The validator set of an epoch, or null."""
    validators = context.service.validators(epoch)
    return None if validators is None else validators_to_json(epoch, validators)


async def sync_status(context: Context) -> object:
    """How far this node is."""
    return sync_status_to_json(context.service.sync_status())


async def get_checkpoint(context: Context) -> object:
    """The newest checkpoint, or null."""
    checkpoint = await context.service.checkpoint()
    return None if checkpoint is None else await context.make_answer(checkpoint_to_json, checkpoint)


METHODS = (
    Method(
        "seq_getChain",
        "What a client needs in order to verify: chain id, parameters, validators, and the genesis in its canonical "
        "bytes, whose SHA-256 is the chain id.",
        get_chain,
        result="Chain",
    ),
    Method(
        "seq_getValidators",
        "The validators of an epoch with their stakes and keys; null for an epoch that does not exist.",
        get_validators,
        (EPOCH,),
        result="Validators",
        nullable=True,
    ),
    Method(
        "seq_getCheckpoint",
        "What a node needs to start at a recent attested height: `sequencer checkpoint fetch` verifies it and writes "
        "the file that `storage.checkpoint` names. Null before the first. Kept about every ten seconds.",
        get_checkpoint,
        result="Checkpoint",
        nullable=True,
    ),
    Method(
        "seq_syncStatus",
        "How far this node is, and why it is not ready if it is not.",
        sync_status,
        result="SyncStatus",
    ),
)
