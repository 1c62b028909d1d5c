"""Following one namespace for one subscriber: what is old from the node, page by page, then live from the feed.

Responsible for: that the two join without a gap and without a repeat, and that every proof finds its blocks sent.
Refuses to do: keep blocks: what is old is read again for each subscriber, what is new is shared.

Invariants:
1. The next item sent is the part at (`index`, `run`), wherever it comes from: a part at any other place is passed over
   or looked up in the node. There is no other way to join.
2. A proof is sent behind the block that it names, and only if it covers a block sent that is not proved yet.
3. One page of old blocks is held per connection, and read only once the page before is sent.
4. A subscriber that reads old blocks goes as fast as it reads, also where it has come to the oldest items of the ring
   and they go before it takes them. One that has been live, at the ring's end, and falls out of it is told so
   (`FellBehind`).
"""

from consensus.numbers import Height, NamespaceId, NamespaceIndex
from sequencer.client.wire import NamespaceProof
from sequencer.rpc.context import Context
from sequencer.rpc.namespace_feed import NamespaceFeed, PartTag, ProofTag, encode_part, encode_proof, part_tag
from sequencer.rpc.options import SUBSCRIPTION_PAGE_BLOCKS, SUBSCRIPTION_PAGE_BYTES
from sequencer.rpc.rungs import Rungs
from sequencer.rpc.session import Subscription


class NamespaceSubscription:
    """See the module's invariants."""

    def __init__(
        self,
        context: Context,
        rungs: Rungs,
        feed: NamespaceFeed,
        to: Subscription,
        namespace: NamespaceId,
        from_index: NamespaceIndex,
        *,
        proofs: bool,
    ) -> None:
        self._context = context
        self._rungs = rungs
        self._feed = feed
        self._to = to
        self._namespace = namespace
        self._proofs = proofs
        self._index = from_index
        self._run = 0
        self._last_height: Height | None = None  # of the last block sent whole
        self._proved_index = from_index - 1  # by proofs that were sent
        self._has_been_live = False
        self._proof: NamespaceProof | None = None  # names a block that is not sent yet
        to.resume = {"from_index": from_index}

    async def run(self) -> None:
        """Sends for ever. Raises `FellBehind`, or `RequestRefused` if what comes next is pruned."""
        while True:
            position = await self._catch_up()
            await self._go_on_live(position)

    async def _catch_up(self) -> int:
        """Sends what is older than the feed's ring; the position in the ring to go on from."""
        while True:
            await self._prove()
            position = None if self._run else self._feed.position_of(self._index)
            if position is not None:
                return position
            async with self._to.session.catching_up:
                await self._send_page()

    async def _send_page(self) -> None:
        parts = await self._context.service.namespace_blocks(
            self._namespace, self._index, SUBSCRIPTION_PAGE_BLOCKS, self._run, SUBSCRIPTION_PAGE_BYTES
        )
        if not parts:
            await self._rungs.until_moved()
        for part in parts:
            text = await self._context.make_answer(encode_part, part)
            await self._to.send(text)
            await self._note_sent(part_tag(part))

    async def _note_sent(self, tag: PartTag) -> None:
        self._run = tag.next_run
        self._index = tag.index if tag.next_run else NamespaceIndex(tag.index + 1)
        self._to.resume = {"from_index": self._index}
        if not tag.next_run:
            self._last_height = tag.height
            if self._proof is not None and self._proof.index == tag.index:
                await self._send_proof(self._proof)

    async def _go_on_live(self, position: int) -> None:
        """Sends from the feed's ring on; returns if the next part is not in it, or no longer."""
        ring = self._feed.ring
        while True:
            self._has_been_live = self._has_been_live or position == ring.next_position
            await ring.until(position)
            sent = None
            async with self._to.turn() as send:
                if position < ring.first_position and not self._has_been_live:
                    return
                entry = ring.at(position)
                position += 1
                match entry.tag:
                    case PartTag() as tag if (tag.index, tag.first_run) == (self._index, self._run):
                        await send(entry.text)
                        sent = tag
                    case PartTag() as tag if tag.index > self._index:
                        return
                    case ProofTag(index) if self._proofs and self._proved_index < index < self._index:
                        await send(entry.text)
                        self._note_proved(index)
                    case _:
                        pass
            if sent is not None:
                await self._note_sent(sent)

    # proofs

    async def _prove(self) -> None:
        """Behind old blocks: looks for the proof that covers the last one, unless the feed will bring it."""
        last = self._index - 1
        if not self._proofs or self._last_height is None or self._proof is not None or last <= self._proved_index:
            return
        if self._rungs.attested_height < self._last_height and self._feed.proved_index < last:
            return
        service = self._context.service
        proof = await service.namespace_proof(self._namespace, self._last_height)
        if proof is None or proof.index < last:
            proof = await service.namespace_proof(self._namespace, "attested")
        if proof is None or proof.index < last:
            return
        if proof.index == last and not self._run:
            await self._send_proof(proof)
        else:
            self._proof = proof

    async def _send_proof(self, proof: NamespaceProof) -> None:
        await self._to.send(encode_proof(proof))
        self._note_proved(proof.index)

    def _note_proved(self, index: int) -> None:
        self._proved_index = max(self._proved_index, index)
        if self._proof is not None and self._proof.index <= self._proved_index:
            self._proof = None
