"""Following a namespace: reads its blocks page by page, joins parts, and verifies what is attested.

Responsible for: which pages and proofs to ask for, and how often while there is nothing new.
Refuses to do: check a proof itself (`verify.py`), or choose the node (`transport.py`).

Invariants:
1. Blocks come in order, by dense index, each chained to the one before. With a genesis no block comes that is not
   proved by an attestation.
2. What a node may make it hold unverified is bounded by HELD_BYTES_MAX; a call that raises forgets what is held and
   goes on from the last block that was handed out.
3. While there is nothing new it asks again after POLL_MS_MIN, then ever more slowly up to POLL_MS_MAX.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import trio

from consensus.genesis import Genesis
from consensus.numbers import ZERO_HASH, Hash, Height, NamespaceId, NamespaceIndex
from consensus.vocabulary.batch import parse_segment
from consensus.vocabulary.block import NamespaceBlock
from sequencer.client.errors import MalformedAnswer, UnprovedAnswer
from sequencer.client.parts import NamespaceBlockPart, join_parts
from sequencer.client.verify import NamespaceVerifier, verify_proof
from sequencer.client.wire import DeliveredBlock, NamespaceProof

PAGE_BLOCKS = 100
POLL_MS_MIN = 20
POLL_MS_MAX = 1_000
HELD_BYTES_MAX = 512 * 1024 * 1024
_RUN_BYTES = 200  # what a run and a block take besides their data
_BLOCK_BYTES = 1_000


@dataclass(frozen=True, slots=True)
class FollowedBlock:
    """A block with its transactions in order; `proved` says whether it was verified from the genesis."""

    block: NamespaceBlock
    hash: Hash
    transactions: tuple[bytes, ...]
    proved: bool


class BlockSource(Protocol):
    """Who is asked: a `SequencerClient`."""

    async def namespace_blocks(
        self, namespace: NamespaceId, from_index: NamespaceIndex, count: int, first_run: int
    ) -> list[NamespaceBlockPart]:
        """A page of blocks."""
        ...

    async def fetch_proof(self, namespace: NamespaceId, which: Height | Literal["attested"]) -> NamespaceProof | None:
        """A proof, unverified."""
        ...


class NamespaceFollower:
    """One namespace from one index on. `next_blocks` waits for more."""

    def __init__(
        self,
        source: BlockSource,
        chain: Genesis | None,
        namespace: NamespaceId,
        from_index: NamespaceIndex,
        prev_hash: Hash | None,
    ) -> None:
        """`prev_hash` is the hash of the block before `from_index`, if known."""
        if from_index == 0:
            prev_hash = ZERO_HASH
        self._source = source
        self._chain = chain
        self._namespace = namespace
        self._next_index = from_index
        self._prev_hash = prev_hash
        self._held: list[DeliveredBlock] = []
        self._poll_ms = POLL_MS_MIN
        self._verifier = None if chain is None else NamespaceVerifier(chain, namespace, from_index, prev_hash)

    async def next_blocks(self) -> list[FollowedBlock]:
        """The next blocks, at least one. Raises `ClientError`; may be called again after it."""
        try:
            while True:
                blocks = await (self._next_final() if self._verifier is None else self._next_proved(self._verifier))
                if blocks:
                    self._poll_ms = POLL_MS_MIN
                    return blocks
                await trio.sleep(self._poll_ms / 1000)
                self._poll_ms = min(2 * self._poll_ms, POLL_MS_MAX)
        except BaseException:
            self._held.clear()
            raise

    async def _next_final(self) -> list[FollowedBlock]:
        await self._hold_page()
        held = self._held[:]
        self._held.clear()
        for delivered in held:
            if self._prev_hash is not None and delivered.block.prev_hash != self._prev_hash:
                raise MalformedAnswer(f"block {delivered.block.index} does not follow the one before")
            self._prev_hash = delivered.hash
            self._next_index = NamespaceIndex(delivered.block.index + 1)
        return [FollowedBlock(one.block, one.hash, transactions_of(one), False) for one in held]

    async def _next_proved(self, verifier: NamespaceVerifier) -> list[FollowedBlock]:
        if not self._held:
            await self._hold_page()
        proof = await self._find_proof() if self._held else None
        if proof is None:
            return []
        if self._end_index <= proof.index and self._chain is not None:
            verify_proof(self._chain, proof)  # before more is held for its sake
        while self._end_index <= proof.index:
            if not await self._hold_page():
                raise UnprovedAnswer("gap", f"block {proof.index} is proved, block {self._end_index} not delivered")
        count = proof.index - self._next_index + 1
        ready, self._held = self._held[:count], self._held[count:]
        verified = await trio.to_thread.run_sync(verifier.verify, ready, proof)
        self._next_index = verifier.next_index
        return [FollowedBlock(one.block, one.hash, one.transactions, True) for one in verified]

    async def _find_proof(self) -> NamespaceProof | None:
        """A proof of what is held: of all of it if that is attested, else of what is."""
        proof = await self._source.fetch_proof(self._namespace, self._held[-1].block.height)
        if proof is None or proof.index < self._next_index:
            proof = await self._source.fetch_proof(self._namespace, "attested")
        return None if proof is None or proof.index < self._next_index else proof

    @property
    def _end_index(self) -> NamespaceIndex:
        """The first block that is not held."""
        return NamespaceIndex(self._next_index + len(self._held))

    async def _hold_page(self) -> bool:
        """Adds a page of whole blocks to what is held; False if there is none yet."""
        parts = await self._source.namespace_blocks(self._namespace, self._end_index, PAGE_BLOCKS, 0)
        while parts and not parts[-1].is_last:
            last = parts[-1]
            index = last.delivered.block.index
            more = await self._source.namespace_blocks(self._namespace, index, 1, last.next_run)
            if not more:
                raise MalformedAnswer(f"block {index} ends at run {last.next_run} of {last.run_count}")
            parts[-1] = join_parts(last, more[0])
            self._check_held(parts)
        for part in parts:
            if part.first_run != 0 or not part.is_last or part.delivered.block.index != self._end_index:
                raise MalformedAnswer(f"block {self._end_index} is expected, not {part.delivered.block.index}")
            self._held.append(part.delivered)
        self._check_held([])
        return bool(parts)

    def _check_held(self, parts: list[NamespaceBlockPart]) -> None:
        check_held(sum(map(held_bytes, [*self._held, *(part.delivered for part in parts)])))


def held_bytes(block: DeliveredBlock) -> int:
    """What a block, or a part of one, takes while it is held."""
    return _BLOCK_BYTES + sum(len(run.segment) + _RUN_BYTES for run in block.runs)


def check_held(byte_count: int) -> None:
    """Raises `UnprovedAnswer` if so much may not be held without a proof."""
    if byte_count > HELD_BYTES_MAX:
        raise UnprovedAnswer("too_large", f"more than {HELD_BYTES_MAX} bytes without a proof")


def transactions_of(delivered: DeliveredBlock) -> tuple[bytes, ...]:
    """The items of the runs that are not inert; the shape's reader has counted them."""
    items: list[bytes] = []
    for run in delivered.runs:
        if run.item_count:
            items.extend(parse_segment(run.segment, run.item_count, len(run.segment)) or ())
    return tuple(items)
