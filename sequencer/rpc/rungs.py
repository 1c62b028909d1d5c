"""How far the chain is on every rung of the ladder, as the node has told it, and waiting for it to move."""

from consensus.numbers import GENESIS_HEIGHT, Seq
from sequencer.client.views import SyncStatus
from sequencer.rpc.waking import Waking


class Rungs:
    """Heights, and the ends of the lanes that are ordered. Written by `feeds.py` alone."""

    def __init__(self, status: SyncStatus) -> None:
        """Begins with what the node says of itself."""
        self.ordered_height = status.ordered_height
        self.ordered_ends: tuple[Seq, ...] | None = None  # until something is ordered
        self.executed_height = status.executed_height
        self.attested_height = status.attested_height
        self.posted_height = status.l1.posted_height if status.l1 is not None else GENESIS_HEIGHT
        self.settled_height = status.l1.settled_height if status.l1 is not None else GENESIS_HEIGHT
        self._moved = Waking()

    def wake(self) -> None:
        """Wakes whoever waits: something was written."""
        self._moved.wake()

    async def until_moved(self) -> None:
        """Returns after the next rung has moved."""
        await self._moved.until_woken()
