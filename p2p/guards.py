"""What keeps a hostile peer's harm on its own side.

This file is responsible for the counting guards: who is muted, how many connections may be half open, how fast
connections and streams may be opened, and that a callback of the node is not cut short. It does no I/O of its own.

1. Muting concerns an identity that has been proved, never an address.
2. Whoever floods loses its own oldest half-open connection: the address with the most gives way to the newcomer.
3. Every table here is bounded by its own construction.
4. The end of a link never interrupts a callback of the node; the end of the host does.
"""

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import trio

Result = TypeVar("Result")


class MuteList:
    """Peers, by validator index, that are not listened to for a while. Times in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._until: dict[int, float] = {}

    def mute(self, peer: int, until: float) -> None:
        """Mute `peer`; a longer mute already in force stands."""
        self._until[peer] = max(until, self._until.get(peer, until))

    def muted_until(self, peer: int, now: float) -> float | None:
        """When the mute of `peer` ends, or None if it is not muted."""
        until = self._until.get(peer)
        return until if until is not None and until > now else None


class Pace:
    """A token bucket: `burst` at once, `per_second` after that. Times in seconds."""

    def __init__(self, *, burst: int, per_second: float, now: float) -> None:
        self._burst = float(burst)
        self._per_second = per_second
        self._tokens = float(burst)
        self._counted_at = now

    def take(self, now: float) -> float:
        """Take one token and return 0; if there is none, take nothing and return the seconds until there is."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._counted_at) * self._per_second)
        self._counted_at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._per_second
        self._tokens -= 1
        return 0.0


class AddressPaces:
    """A pace for each address connections come from; the longest unseen of `addresses_max` is forgotten."""

    def __init__(self, *, burst: int, per_second: float, addresses_max: int) -> None:
        self._burst = burst
        self._per_second = per_second
        self._addresses_max = addresses_max
        self._paces: OrderedDict[str, Pace] = OrderedDict()

    def allows(self, address: str, now: float) -> bool:
        """Whether one more connection from `address` keeps to its pace."""
        pace = self._paces.pop(address, None) or Pace(burst=self._burst, per_second=self._per_second, now=now)
        self._paces[address] = pace
        while len(self._paces) > self._addresses_max:
            self._paces.popitem(last=False)
        return pace.take(now) == 0


class HardClosable(Protocol):
    """A connection that can be ended without waiting for anything."""

    def hard_close(self) -> None:
        """End it now."""


class HalfOpenTable:
    """Connections that have not proved who they are. At most `connections_max`; `per_address_max` from one address."""

    def __init__(self, *, connections_max: int, per_address_max: int) -> None:
        self._connections_max = connections_max
        self._per_address_max = per_address_max
        self._connections: OrderedDict[HardClosable, str] = OrderedDict()
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._connections)

    def enter(self, connection: HardClosable, address: str) -> int:
        """Add a connection, ending older ones where a bound is met. Returns how many were ended."""
        ended = 0
        if self._by_address[address] >= self._per_address_max:
            self._end_oldest_of(address)
            ended += 1
        elif len(self._connections) >= self._connections_max:
            self._end_oldest_of(self._by_address.most_common(1)[0][0])
            ended += 1
        self._connections[connection] = address
        self._by_address[address] += 1
        return ended

    def leave(self, connection: HardClosable) -> None:
        """Forget a connection; one that was ended is forgotten already."""
        address = self._connections.pop(connection, None)
        if address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def _end_oldest_of(self, address: str) -> None:
        oldest = next(connection for connection, owner in self._connections.items() if owner == address)
        self.leave(oldest)
        oldest.hard_close()


class Shelter:
    """Runs the node's callbacks so that closing a link does not cancel one in the middle of its work."""

    def __init__(self) -> None:
        self._scopes: set[trio.CancelScope] = set()
        self._lifted = False

    async def run(self, callback: Callable[[], Awaitable[Result]]) -> Result:
        """Await the callback; only lifting the shelter lets an outer cancellation reach it."""
        with trio.CancelScope(shield=not self._lifted) as scope:
            self._scopes.add(scope)
            try:
                return await callback()
            finally:
                self._scopes.discard(scope)

    def lift(self) -> None:
        """From now on cancellation reaches callbacks, also those already running: the host is ending."""
        self._lifted = True
        for scope in self._scopes:
            scope.shield = False
