"""Pages of tips: a tip and its parents, for a peer that asks or for our own walk.

Responsible for: reading pages from the tree and from the store, in a thread, and how many at a time; keeping committed
tips that are in neither, because their commit is not saved yet.
Refuses to do: decode what is stored. It is served as it was written.

Invariants:
1. A page has at most WALK_TIPS_MAX tips, and no further one after WALK_BYTES_MAX bytes.
2. One page at a time is read for a peer, its next request waits; and one for all peers, so that their requests take
   neither the event loop nor more than one thread.
"""

from collections.abc import Iterable

import trio

from consensus import limits
from consensus.errors import DecodeError
from consensus.numbers import BlockId, Height, ValidatorIndex
from consensus.replica.replica import Replica
from consensus.vocabulary.tip import Tip, read_link
from sequencer.node.frames import encode_tips
from storage.chain import ChainStore
from storage.errors import StorageFault


class TipPages:
    """The tips that we can show."""

    def __init__(self, replica: Replica, store: ChainStore) -> None:
        self._replica = replica
        self._store = store
        self._unsaved: dict[BlockId, Tip] = {}  # committed, so no longer in the tree, and not yet in the store
        self._turns: dict[ValidatorIndex, trio.Lock] = {}
        self._serving = trio.CapacityLimiter(1)
        self._reading = trio.CapacityLimiter(1)

    def note_committed(self, tips: Iterable[Tip]) -> None:
        """The tree has dropped these."""
        self._unsaved.update((tip.id, tip) for tip in tips)

    def note_saved(self, tips: Iterable[Tip]) -> None:
        """They are in the store."""
        for tip in tips:
            self._unsaved.pop(tip.id, None)

    def unsaved_tip(self, height: Height) -> Tip | None:
        """That of a height, of those which are noted as committed and not as saved."""
        return next((tip for tip in self._unsaved.values() if tip.header.height == height), None)

    async def serve(self, peer: ValidatorIndex, wanted: BlockId, floor_height: Height) -> bytes:
        """The answer to a request: the wanted tip and its parents above `floor_height`; empty if it is not known."""
        async with self._turns.setdefault(peer, trio.Lock()):
            page: list[bytes] = []
            while _has_room(page) and (tip := self._in_memory(wanted)) is not None:
                if tip.header.height <= floor_height:
                    return encode_tips(page)
                page.append(tip.encoded)
                wanted = tip.header.parent_id
            stored = self._read_stored
            return encode_tips(await trio.to_thread.run_sync(stored, page, wanted, floor_height, limiter=self._serving))

    async def read(self, wanted: BlockId, floor_height: Height) -> list[bytes]:
        """The stored part of our own walk that begins at `wanted`."""
        return await trio.to_thread.run_sync(self._read_stored, [], wanted, floor_height, limiter=self._reading)

    def _in_memory(self, wanted: BlockId) -> Tip | None:
        return self._replica.state.tree.get(wanted) or self._unsaved.get(wanted)

    def _read_stored(self, page: list[bytes], wanted: BlockId, floor_height: Height) -> list[bytes]:
        """In a thread: `page` and what follows it. Raises `StorageFault`."""
        while _has_room(page) and (encoded := self._store.load_tip(wanted)) is not None:
            try:
                height, parent_id = read_link(encoded)
            except DecodeError as error:
                raise StorageFault(f"a stored tip is unreadable: {error}") from error
            if height <= floor_height:
                break
            page.append(encoded)
            wanted = parent_id
        return page


def _has_room(page: list[bytes]) -> bool:
    return len(page) < limits.WALK_TIPS_MAX and sum(map(len, page)) < limits.WALK_BYTES_MAX
