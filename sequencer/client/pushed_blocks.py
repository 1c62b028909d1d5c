"""Following a namespace by subscription: joins parts, keeps blocks until they are proved, and verifies.

Responsible for: what `following.py` does by asking, for blocks and proofs that come by themselves.
Refuses to do: check a proof itself (`verify.py`), or open a connection (`subscribing.py`).

Invariants: those of `following.py`, the first two. A connection opened again begins behind the last block that was
handed out. What a part costs does not grow with what is held: there may be half a million blocks without a proof.
"""

import trio

from consensus.genesis import Genesis
from consensus.numbers import ZERO_HASH, Hash, NamespaceId, NamespaceIndex
from sequencer.client.errors import MalformedAnswer, UnprovedAnswer
from sequencer.client.fields import namespace_to_json
from sequencer.client.following import FollowedBlock, check_held, held_bytes, transactions_of
from sequencer.client.parts import NamespaceBlockPart, join_parts
from sequencer.client.subscribing import SubscribedItems
from sequencer.client.subscription_items import Kind, namespace_item_from_json
from sequencer.client.transport import Transport
from sequencer.client.verify import NamespaceVerifier
from sequencer.client.wire import DeliveredBlock, NamespaceProof


class PushedBlocks:
    """One namespace from one index on. `next_blocks` waits for more."""

    def __init__(
        self,
        transport: Transport,
        chain: Genesis | None,
        namespace: NamespaceId,
        from_index: NamespaceIndex,
        prev_hash: Hash | None,
    ) -> None:
        """`prev_hash` is the hash of the block before `from_index`, if known. Without a chain nothing is proved."""
        self.next_index = from_index
        self.prev_hash = ZERO_HASH if from_index == 0 else prev_hash
        self._chain = chain
        self._namespace = namespace
        self._held: list[DeliveredBlock] = []
        self._begun: NamespaceBlockPart | None = None
        self._held_bytes = 0  # of both
        self._verifier = None if chain is None else NamespaceVerifier(chain, namespace, from_index, self.prev_hash)
        self._items = SubscribedItems(transport, Kind.NAMESPACE, self._begin)

    async def next_blocks(self) -> list[FollowedBlock]:
        """The next blocks, at least one. Raises `ClientError`; may be called again after it."""
        try:
            while True:
                item = namespace_item_from_json(await self._items.next(), self._chain)
                blocks = self._take_part(item) if isinstance(item, NamespaceBlockPart) else await self._take_proof(item)
                if blocks:
                    return blocks
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Ends the subscription; the next call opens another."""
        await self._items.aclose()

    def _begin(self) -> dict[str, object]:
        """What is held came over a connection that is gone, and comes again."""
        self._held.clear()
        self._begun = None
        self._held_bytes = 0
        return {
            "namespace": namespace_to_json(self._namespace),
            "from_index": self.next_index,
            "proofs": self._verifier is not None,
        }

    def _take_part(self, part: NamespaceBlockPart) -> list[FollowedBlock]:
        index = self.next_index + len(self._held)
        self._held_bytes += held_bytes(part.delivered)
        check_held(self._held_bytes)
        if self._begun is not None:
            part = join_parts(self._begun, part)
        if part.first_run != 0 or part.delivered.block.index != index:
            raise MalformedAnswer(f"block {index} is expected, not {part.delivered.block.index}")
        self._begun = None if part.is_last else part
        if not part.is_last:
            return []
        if self._verifier is not None:
            self._held.append(part.delivered)
            return []
        self._held_bytes = 0
        return [self._follow(part.delivered)]

    def _follow(self, delivered: DeliveredBlock) -> FollowedBlock:
        if self.prev_hash is not None and delivered.block.prev_hash != self.prev_hash:
            raise MalformedAnswer(f"block {delivered.block.index} does not follow the one before")
        self.prev_hash = delivered.hash
        self.next_index = NamespaceIndex(delivered.block.index + 1)
        return FollowedBlock(delivered.block, delivered.hash, transactions_of(delivered), False)

    async def _take_proof(self, proof: NamespaceProof) -> list[FollowedBlock]:
        if self._verifier is None or proof.index < self.next_index:
            return []
        count = proof.index - self.next_index + 1
        if count > len(self._held):
            raise UnprovedAnswer("gap", f"block {proof.index} is proved before it is delivered")
        verified = await trio.to_thread.run_sync(self._verifier.verify, self._held[:count], proof)
        del self._held[:count]
        begun = [] if self._begun is None else [self._begun.delivered]
        self._held_bytes = sum(map(held_bytes, [*self._held, *begun]))
        self.next_index, self.prev_hash = self._verifier.next_index, self._verifier.prev_hash
        return [FollowedBlock(one.block, one.hash, one.transactions, True) for one in verified]
