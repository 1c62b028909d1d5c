"""The L1 anchor: the L1 block that a block or a report refers to.

Invariant: (0, 32 zero bytes) means "none"; a chain without an L1 has no other.
"""

from typing import NamedTuple

from consensus.encoding import Reader, u64
from consensus.numbers import ZERO_HASH, Hash


class Anchor(NamedTuple):
    """An L1 block, by number (u64) and hash (32 bytes). Ordered by number, then hash."""

    number: int
    hash: Hash

    def encode(self) -> bytes:
        """40 bytes."""
        return u64(self.number) + self.hash

    @staticmethod
    def decode(reader: Reader) -> "Anchor":
        """The inverse of `encode`."""
        return Anchor(reader.u64(), Hash(reader.fixed(32)))


NO_ANCHOR = Anchor(0, ZERO_HASH)
