"""Whether the other side is still there, and how far away it is.

A stopped process keeps its TCP connections open for ever; only its silence gives it away. This file is responsible
for judging silence and for the heartbeat's bytes. It does no I/O and reads no clock: every time, in seconds of one
monotonic clock, is handed in.

    heartbeat  u64 when it was sent ‖ u64 the newest such value received from the other side ‖ u64 how long ago

all in microseconds. The sender of a value that comes back subtracts the time it lay on the other side: one kind of
frame measures the round trip in both directions, and no heartbeat ever causes another.

1. Any byte received is a sign of life, whether or not it has been looked at: being slow ourselves is not their silence.
2. When our own tick is late, the time we were away is not counted as silence.
3. A round trip is measured only from a value we have sent and not yet seen back; what the other side claims about its
   own delay can make it 0, never negative.
"""

from struct import Struct

from p2p.errors import PeerFault

_HEARTBEAT = Struct("!QQQ")
HEARTBEAT_BYTES = _HEARTBEAT.size
_UNANSWERED_MAX = 8


def _microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)


class Liveness:
    """One connection's signs of life. `silence_s` and `tick_s` are in seconds."""

    def __init__(self, *, now: float, silence_s: float, tick_s: float) -> None:
        self._silence_s = silence_s
        self._tick_s = tick_s
        self._heard_at = now
        self._ticked_at = now
        self._unanswered: list[int] = []
        self._their_value = 0
        self._their_value_at = now
        self.round_trip_ms: float | None = None

    def tick(self, now: float, received_at: float) -> bool:
        """Judge the connection; called about every `tick_s`. `received_at` is when the last byte came in.

        True when it has been silent for too long.
        """
        late_s = now - self._ticked_at - self._tick_s
        self._ticked_at = now
        if late_s > self._tick_s:
            self._heard_at += late_s
        self._heard_at = min(max(self._heard_at, received_at), now)
        return now - self._heard_at >= self._silence_s

    def encode_heartbeat(self, now: float) -> bytes:
        """The body of the heartbeat to send now."""
        sent = _microseconds(now)
        self._unanswered = [*self._unanswered[1 - _UNANSWERED_MAX :], sent]
        held = _microseconds(max(0.0, now - self._their_value_at)) if self._their_value else 0
        return _HEARTBEAT.pack(sent, self._their_value, held)

    def heartbeat_received(self, body: bytes, now: float) -> None:
        """Take the other side's heartbeat. Raises PeerFault if it is not one."""
        if len(body) != HEARTBEAT_BYTES:
            raise PeerFault("bad_heartbeat", f"{len(body)} bytes")
        self._their_value, returned, held = _HEARTBEAT.unpack(body)
        self._their_value_at = now
        if returned in self._unanswered:
            self._unanswered = [value for value in self._unanswered if value > returned]
            self.round_trip_ms = max(0, _microseconds(now) - returned - held) / 1_000
