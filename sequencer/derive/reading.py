"""Reading all batches from an L1 and rebuilding from them, up to a block of the L1.

Responsible for: the order of questions (which L1 blocks, whose payload), progress, and that nothing was left out.
Refuses to do: judge a batch (`batches.py`), or keep blocks: whoever calls takes each as it is made.

Invariants:
1. One page of events and one payload are held at a time.
2. Reading ends at one L1 block that is chosen first. At the end the Inbox is asked for its newest batch: those between
   must lead to it, index by index and hash by hash, so that an endpoint that leaves out events is found out ▲. It is
   asked as of now, since a node may not know any more what it was earlier.
3. Payloads are hashed, decoded and rebuilt in a thread.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import trio

from consensus.genesis import Genesis
from consensus.numbers import Hash
from consensus.vocabulary.l1_batch import DataKind
from sequencer.derive.batches import BatchDeriver, DerivedBatch
from sequencer.derive.errors import WrongBatch
from sequencer.derive.namespace_blocks import DerivedBlock
from sequencer.l1.inbox import CommittedBatch, InboxHead
from sequencer.l1.shapes import L1Block

PAGE_BLOCKS: Final = 512  # of the L1, so at most some 60 MB of events; the binding asks for fewer where it has to


class InboxReader(Protocol):
    """What is asked of the contract: an `Inbox`."""

    async def require_chain(self, chain: Genesis) -> None:
        """Raises unless it is this chain's."""
        ...

    async def head(self) -> InboxHead:
        """What the next commit must follow on, by now."""
        ...

    async def committed(self, first_block: int, last_block: int) -> Sequence[CommittedBatch]:
        """The batches in these blocks, in order."""
        ...


class BlockReader(Protocol):
    """What is asked of the L1: an `L1Client`."""

    async def block(self, block: Literal["latest"]) -> L1Block | None:
        """The newest block."""
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
    batch_count: int  # that the Inbox had when reading began
    derived: DerivedBatch | None = None  # the batch that was just finished


async def derive_all(
    deriver: BatchDeriver,
    l1: BlockReader,
    inbox: InboxReader,
    payloads: PayloadReader,
    l1_blocks: range,
    emit: Callable[[DerivedBlock], None],
) -> AsyncGenerator[Progress, None]:
    """Rebuilds everything committed in `l1_blocks`, which begin no later than the first batch's.

    `emit` is called in a thread, never twice at once. Raises `DeriveError` and `L1Error`.
    """
    last_block, batch_count = l1_blocks.stop - 1, (await inbox.head()).next_index - 1
    for first in l1_blocks[::PAGE_BLOCKS]:
        last = min(first + PAGE_BLOCKS - 1, last_block)
        for committed in await inbox.committed(first, last):
            batch = committed.certificate.batch
            data = committed.data
            if batch.data_kind is DataKind.HELD:
                await trio.to_thread.run_sync(deriver.check, committed.certificate)  # before anybody is asked
                data = await payloads.fetch(batch.index, batch.data_hash)
            derived = await trio.to_thread.run_sync(deriver.derive, committed.certificate, data, emit)
            yield Progress(committed.block_number, last_block, batch.index + 1, batch_count, derived)
        yield Progress(last, last_block, deriver.expected.index, batch_count)
    await _require_all(deriver, l1, inbox, last_block)


async def _require_all(deriver: BatchDeriver, l1: BlockReader, inbox: InboxReader, last_block: int) -> None:
    """Raises `WrongBatch` unless the batches committed after `last_block` lead to the Inbox's newest one."""
    reached, head = deriver.expected, await inbox.head()
    block = await l1.block("latest")  # asked last, so that the head's events are in it or before
    newest = last_block if block is None else block.number
    for first in range(last_block + 1, newest + 1, PAGE_BLOCKS):
        for committed in await inbox.committed(first, min(first + PAGE_BLOCKS - 1, newest)):
            if reached.index < head.next_index:
                reached.require(committed.certificate.batch)
                reached = reached.after(committed.certificate.batch, deriver.chain.domain)
    if (reached.index, reached.first, reached.previous) != (head.next_index, head.next_height, head.head_hash):
        raise WrongBatch(
            deriver.expected.index,
            f"the events up to L1 block {last_block} end before it and do not lead to batch {head.next_index - 1}, "
            "the Inbox's newest: the L1 endpoint leaves something out, or its chain was just reorganised",
        )
