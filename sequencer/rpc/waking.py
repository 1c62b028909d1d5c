"""Waiting for news together: whoever waits is woken, a few at a time.

Responsible for: that many who wait for the same thing never fill a turn of the event loop.
Refuses to do: know what the news are, or keep any.

Invariants:
1. At most WOKEN_AT_ONCE are woken by news; each wakes the next.
2. One that is woken without news since it began to wait wakes nobody: all who wait behind it began later still.
"""

import trio

WOKEN_AT_ONCE = 4


class Waking:
    """See the module's invariants. All methods are called from the event loop."""

    def __init__(self) -> None:
        self._count = 0  # of news
        self._waiting = trio.lowlevel.ParkingLot()

    def wake(self) -> None:
        """There are news."""
        self._count += 1
        self._waiting.unpark(count=WOKEN_AT_ONCE)

    async def until_woken(self) -> None:
        """Returns once there are news after this call."""
        count = self._count
        while count == self._count:
            await self._waiting.park()
        self._waiting.unpark()
