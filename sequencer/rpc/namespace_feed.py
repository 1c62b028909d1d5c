"""One namespace's new blocks and proofs, read and encoded once for all who follow it.

Responsible for: the namespace's ring: parts of blocks in order, and behind them the proofs that cover them.
Refuses to do: serve what is older than its ring: subscriptions read that from the node, page by page.

Invariants:
1. The parts in the ring leave nothing out, from its first block on; `next_index` is the block that comes next.
2. A proof in the ring stands behind the block that it names, and names a higher one than the proof before it.
"""

from dataclasses import dataclass

import msgspec
import trio

from consensus.numbers import GENESIS_HEIGHT, Height, NamespaceId, NamespaceIndex
from sequencer.client.parts import NamespaceBlockPart, part_to_json
from sequencer.client.wire import NamespaceProof, proof_to_json
from sequencer.rpc.context import Context
from sequencer.rpc.options import SUBSCRIPTION_PAGE_BLOCKS, SUBSCRIPTION_PAGE_BYTES
from sequencer.rpc.ring import Ring
from sequencer.rpc.rungs import Rungs


@dataclass(frozen=True, slots=True)
class PartTag:
    """Where a part of a block belongs; the block ends with it unless `next_run` is set."""

    index: NamespaceIndex
    first_run: int
    next_run: int  # 0: the next block's first
    height: Height


@dataclass(frozen=True, slots=True)
class ProofTag:
    """The block that a proof names."""

    index: NamespaceIndex


def part_tag(part: NamespaceBlockPart) -> PartTag:
    """A part's place."""
    block = part.delivered.block
    return PartTag(block.index, part.first_run, 0 if part.is_last else part.next_run, block.height)


def encode_part(part: NamespaceBlockPart) -> str:
    """An item's JSON. For a thread: it is megabytes."""
    return msgspec.json.encode({"block": part_to_json(part), "proof": None}).decode()


def encode_proof(proof: NamespaceProof) -> str:
    """An item's JSON."""
    return msgspec.json.encode({"block": None, "proof": proof_to_json(proof)}).decode()


class NamespaceFeed:
    """See the module's invariants."""

    def __init__(self, context: Context, namespace: NamespaceId, ring: Ring[PartTag | ProofTag]) -> None:
        """Feeds what comes after the namespace's newest block."""
        self._context = context
        self._namespace = namespace
        self.ring = ring
        newest = context.service.newest_index(namespace)
        self.next_index = NamespaceIndex(0 if newest is None else newest + 1)
        self._next_run = 0
        self.proved_index = -1  # named by the newest proof in the ring
        self._proved_height = GENESIS_HEIGHT  # the attested height at which it was last looked for
        self.follower_count = 0
        self.proofs_wanted_count = 0
        self.scope = trio.CancelScope()

    async def run(self, rungs: Rungs) -> None:
        """Feeds for ever."""
        while True:
            newest = self._context.service.newest_index(self._namespace)
            if newest is not None and newest >= self.next_index:
                await self._append_blocks(newest)
            elif self._is_proof_due(rungs.attested_height):
                await self._append_proof(rungs.attested_height)
            else:
                await rungs.until_moved()

    def position_of(self, index: NamespaceIndex) -> int | None:
        """Where in the ring to go on with block `index`; None if the blocks before the ring's come first.

        Right behind the block before it, so that no proof between the two is missed.
        """
        if index > self.next_index:
            return self.ring.next_position
        tags = self.ring.tags()
        for place in range(len(tags) - 1, -1, -1):
            tag = tags[place]
            if isinstance(tag, PartTag) and tag.index == index - 1 and not tag.next_run:
                return self.ring.first_position + place + 1
        for place, tag in enumerate(tags):
            if isinstance(tag, PartTag) and tag.index == index and not tag.first_run:
                return self.ring.first_position + place
        return self.ring.next_position if index == self.next_index and not self._next_run else None

    async def _append_blocks(self, newest: NamespaceIndex) -> None:
        while self.next_index <= newest:
            parts = await self._context.service.namespace_blocks(
                self._namespace, self.next_index, SUBSCRIPTION_PAGE_BLOCKS, self._next_run, SUBSCRIPTION_PAGE_BYTES
            )
            if not parts:
                return
            for part in parts:
                text = await self._context.make_answer(encode_part, part)
                tag = part_tag(part)
                self._next_run = tag.next_run
                self.next_index = tag.index if tag.next_run else NamespaceIndex(tag.index + 1)
                self.ring.append(text, tag)

    def _is_proof_due(self, attested_height: Height) -> bool:
        is_wanted = self.proofs_wanted_count > 0 and attested_height > self._proved_height
        return is_wanted and self.next_index > self.proved_index + 1

    async def _append_proof(self, attested_height: Height) -> None:
        self._proved_height = attested_height
        proof = await self._context.service.namespace_proof(self._namespace, "attested")
        if proof is None or proof.index <= self.proved_index:
            return
        await self._append_blocks(proof.index)
        if self.next_index <= proof.index:
            return
        text = await self._context.make_answer(encode_proof, proof)
        self.proved_index = proof.index
        self.ring.append(text, ProofTag(proof.index))
