"""A type of its own for every integer of the protocol, so that the type checker notices a mix-up.

Responsible for: the names and widths of the protocol's integers and fixed-size byte strings.
Refuses to do: arithmetic or validation; bounds live in `limits.py`, decoding in `encoding.py`.

Invariants:
1. Every value here is encoded with the fixed width stated beside it (big-endian, `encoding.py`).
2. Views, heights and lane sequence numbers start at 1; 0 means "the genesis" or "none".
"""

from typing import NewType

Epoch = NewType("Epoch", int)  # u64
View = NewType("View", int)  # u64
Height = NewType("Height", int)  # u64
Seq = NewType("Seq", int)  # u64: place of a batch in its lane
ValidatorIndex = NewType("ValidatorIndex", int)  # u16: place in the genesis list; also names the lane
Stake = NewType("Stake", int)  # u64
NamespaceId = NewType("NamespaceId", int)  # u64: one rollup
NamespaceIndex = NewType("NamespaceIndex", int)  # u64: dense number of a block within its namespace
Milliseconds = NewType("Milliseconds", int)  # u64: wall time since 1970, or a monotonic reading

BlockId = NewType("BlockId", bytes)  # 32 bytes, SHA-256 of an encoded header; also the id of its tip
Digest = NewType("Digest", bytes)  # 32 bytes, SHA-256 of an encoded batch header
Hash = NewType("Hash", bytes)  # 32 bytes, any other SHA-256

ZERO_HASH = Hash(bytes(32))
GENESIS_VIEW = View(0)
GENESIS_HEIGHT = Height(0)
GENESIS_EPOCH = Epoch(0)
