"""How much passes per second, of late.

Responsible for: an average of transactions and bytes that forgets what is long ago.
Refuses to do: read a clock.
"""

import math

_FLOW_MEMORY_MS = 2_000.0


class Flow:
    """Transactions and bytes per second that passed lately, averaged with a memory that halves about every 1.4 s."""

    __slots__ = ("_at_mono_ms", "_bytes", "_tx")

    def __init__(self) -> None:
        self._tx = 0.0
        self._bytes = 0.0
        self._at_mono_ms = 0.0

    def note(self, tx_count: int, byte_count: int, mono_ms: float) -> None:
        """So much passed at `mono_ms`."""
        kept = self._kept(mono_ms)
        self._tx = self._tx * kept + tx_count
        self._bytes = self._bytes * kept + byte_count
        self._at_mono_ms = mono_ms

    def tx_per_s(self, mono_ms: float) -> float:
        """As of `mono_ms`; 0 when nothing ever passed."""
        return self._tx * self._kept(mono_ms) * 1_000 / _FLOW_MEMORY_MS

    def bytes_per_s(self, mono_ms: float) -> float:
        """As of `mono_ms`, length prefixes included."""
        return self._bytes * self._kept(mono_ms) * 1_000 / _FLOW_MEMORY_MS

    def _kept(self, mono_ms: float) -> float:
        return math.exp(min(0.0, self._at_mono_ms - mono_ms) / _FLOW_MEMORY_MS)
