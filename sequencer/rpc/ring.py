"""The newest items of one feed, each encoded once and shared by all who follow it.

Responsible for: keeping at most so many items and bytes, and waking followers.
Refuses to do: know what the items are, or who follows.

Invariants:
1. Positions rise by one with each item. A follower has a position and no queue of its own: what is kept is bounded by
   the ring, however many follow and however slowly.
2. The newest item is always kept, whatever its size.
3. An item with many followers never fills a turn of the event loop (`waking.py`).
"""

from collections import deque
from typing import Generic, NamedTuple, TypeVar

from sequencer.rpc.waking import Waking

Tag = TypeVar("Tag")


class FellBehind(Exception):
    """The item at a position is no longer kept."""


class Entry(NamedTuple, Generic[Tag]):
    """An item: its JSON text, and what followers choose by."""

    text: str
    tag: Tag


class Ring(Generic[Tag]):
    """See the module's invariants. All methods are called from the event loop."""

    def __init__(self, messages_max: int, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.next_position = 0
        self._messages_max = messages_max
        self._entries: deque[Entry[Tag]] = deque()
        self._held_bytes = 0
        self._followers = Waking()

    @property
    def first_position(self) -> int:
        """Of the oldest item that is kept."""
        return self.next_position - len(self._entries)

    @property
    def held_bytes(self) -> int:
        """Length of the texts that are kept."""
        return self._held_bytes

    def append(self, text: str, tag: Tag) -> None:
        """A new item; the oldest ones go as the bounds demand."""
        self._entries.append(Entry(text, tag))
        self.next_position += 1
        self._held_bytes += len(text)
        while len(self._entries) > 1 and (len(self._entries) > self._messages_max or self._held_bytes > self.bytes_max):
            self._held_bytes -= len(self._entries.popleft().text)
        self._followers.wake()

    def at(self, position: int) -> Entry[Tag]:
        """The item at a position below `next_position`. Raises `FellBehind`."""
        if position < self.first_position:
            raise FellBehind
        return self._entries[position - self.first_position]

    def tags(self) -> list[Tag]:
        """Of what is kept, oldest first."""
        return [entry.tag for entry in self._entries]

    async def until(self, position: int) -> None:
        """Returns once there is an item at this position or beyond."""
        while position >= self.next_position:
            await self._followers.until_woken()
