"""Which heights are attested: a rule of the chain, so that every validator signs the same ones.

Responsible for: the rule as a function of the chain so far. b is attested if ⌊ts_ms(b) / ATTEST_MS⌋ >
⌊ts_ms(parent) / ATTEST_MS⌋ and b or a block since the last attested one is non-empty; and so is every non-empty b whose
child is empty.
Refuses to do: sign (`sequencer/attesting`).

Invariants:
1. The second clause is known when the child is executed; it then attests the parent, with the parent's roots.
2. One bit is enough state: whether the parent is non-empty and not attested. A non-empty block since the last attested
   one that is not the parent would have a child that is empty, and so be attested itself, or a non-empty child, and so
   on up to the parent. For the same reason an empty block is never attested, and at most one height per execution is.
"""

from enum import Enum, auto, unique

from consensus.numbers import Milliseconds


@unique
class Attested(Enum):
    """What executing a block makes due for attestation."""

    NOTHING = auto()
    BLOCK = auto()  # the block that was executed
    PARENT = auto()  # its parent, which holds the newest data


def due_attestation(
    *, is_parent_open: bool, parent_ts_ms: Milliseconds, ts_ms: Milliseconds, is_empty: bool, attest_ms: int
) -> Attested:
    """The height that the block with these properties makes due. `is_parent_open`: invariant 2's bit."""
    if is_empty:
        return Attested.PARENT if is_parent_open else Attested.NOTHING
    return Attested.BLOCK if ts_ms // attest_ms > parent_ts_ms // attest_ms else Attested.NOTHING


def is_open_after(due: Attested, *, is_empty: bool) -> bool:
    """Invariant 2's bit for the next block."""
    return not is_empty and due is not Attested.BLOCK
