"""Reading all batches from an L1 and rebuilding from them, up to a block of the L1.

Responsible for: the order of questions (which L1 blocks, whose payload), progress, and that nothing was left out.
Refuses to do: judge a batch (`batches.py`), or keep blocks: whoever calls takes each as it is made.

Invariants:
1. One page of events and one payload are held at a time.
2. Reading ends at one L1 block that is chosen first. The batches that its Inbox counts by then are all that were read,
   and their last hash is the Inbox's: an endpoint that leaves out events is found out.
3. Payloads are hashed, decoded and rebuilt in a thread.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from consensus.genesis import Genesis
from consensus.numbers import Hash
from consensus.vocabulary.l1_batch import DataKind
from sequencer.derive.batches import BatchDeriver, DerivedBatch
from sequencer.derive.errors import WrongBatch
from sequencer.derive.namespace_blocks import DerivedBlock
from sequencer.l1.inbox import CommittedBatch, InboxHead

PAGE_BLOCKS: Final = 2_048  # of the L1; endpoints that want fewer are asked for fewer (`sequencer/l1/inbox.py`)


class InboxReader(Protocol):
    """What is asked of the contract: an `Inbox`."""

    async def require_chain(self, chain: Genesis) -> None:
        """Raises unless it is this chain's."""
        ...

    async def head(self, block: int) -> InboxHead:
        """What the next commit must follow on."""
        ...

    async def committed(self, first_block: int, last_block: int) -> Sequence[CommittedBatch]:
        """The batches in these blocks, in order."""
        ...


class PayloadReader(Protocol):
    """What is asked of nodes: `HeldPayloads`."""

    async def fetch(self, index: int, data_hash: Hash) -> bytes:
        """The payload of a batch."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far reading got: after each batch, and after each page of L1 blocks."""

    l1_block: int
    last_l1_block: int
    next_index: int  # of batches
    batch_count: int  # that the Inbox has
    derived: DerivedBatch | None = None  # the batch that was just finished


async def derive_all(
    deriver: BatchDeriver,
    inbox: InboxReader,
    payloads: PayloadReader,
    l1_blocks: range,
    emit: Callable[[DerivedBlock], None],
) -> AsyncGenerator[Progress, None]:
    """Rebuilds everything committed in `l1_blocks`, which begin no later than the first batch's.

    `emit` is called in a thread, never twice at once. Raises `DeriveError` and `L1Error`.
    """
    last_block = l1_blocks.stop - 1
    head = await inbox.head(last_block)
    for first in l1_blocks[::PAGE_BLOCKS]:
        last = min(first + PAGE_BLOCKS - 1, last_block)
        for committed in await inbox.committed(first, last):
            batch = committed.certificate.batch
            data = committed.data
            if batch.data_kind is DataKind.HELD:
                await trio.to_thread.run_sync(deriver.check, committed.certificate)  # before anybody is asked
                data = await payloads.fetch(batch.index, batch.data_hash)
            derived = await trio.to_thread.run_sync(deriver.derive, committed.certificate, data, emit)
            yield Progress(committed.block_number, last_block, batch.index + 1, head.next_index - 1, derived)
        yield Progress(last, last_block, deriver.expected.index, head.next_index - 1)
    expected = deriver.expected
    if (head.next_index, head.next_height, head.head_hash) != (expected.index, expected.first, expected.previous):
        raise WrongBatch(
            expected.index,
            f"the events of L1 blocks {l1_blocks.start} to {last_block} end before it, "
            f"but the Inbox has {head.next_index - 1} batches",
        )
