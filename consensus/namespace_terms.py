"""What a namespace may use at each validator, as the genesis fixes it for all of them.

Responsible for: the terms, their defaults, their encoding and their bounds.
Refuses to do: enforce them. A validator does at its own front door (`sequencer/mempool`); a batch is never judged by
them, since nobody else sees when its transactions came.

Invariants:
1. Every term is a bound at one validator, not over the network: a client may use any validator, and none of them knows
   what the others let in. n validators together let in at most n times as much.
2. The shares of all namespaces together leave a tenth of every batch to those that have none.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from consensus import limits
from consensus.encoding import Reader, u16, u32, u64


@dataclass(frozen=True, slots=True)
class NamespaceTerms:
    """The defaults are above what a validator orders, so that a chain that says nothing bounds nothing."""

    bytes_per_s: int = 1024 * 1024 * 1024  # admitted, length prefixes included
    tx_per_s: int = 1_000_000
    queue_bytes: int = 256 * 1024 * 1024  # waiting at once; a validator's own bound may be lower
    queue_tx: int = 1_048_576
    share_permille: int = 0  # of the bytes in batches, while the namespace has something waiting

    def encode(self) -> bytes:
        """26 bytes, in the order of the fields."""
        return (
            u64(self.bytes_per_s)
            + u32(self.tx_per_s)
            + u64(self.queue_bytes)
            + u32(self.queue_tx)
            + u16(self.share_permille)
        )

    @staticmethod
    def decode(reader: Reader) -> "NamespaceTerms":
        """The inverse of `encode`; bounds are checked by `check_terms`."""
        return NamespaceTerms(reader.u64(), reader.u32(), reader.u64(), reader.u32(), reader.u16())


DEFAULT_TERMS = NamespaceTerms()


def check_terms(terms: NamespaceTerms, tx_bytes_max: int) -> list[str]:
    """What is wrong with one namespace's terms."""
    problems = []
    for name, least, most in (
        ("bytes_per_s", 1, limits.NAMESPACE_BYTES_CEILING),
        ("tx_per_s", 1, limits.NAMESPACE_TX_CEILING),
        ("queue_bytes", tx_bytes_max + 4, limits.NAMESPACE_BYTES_CEILING),  # or the longest transaction never fits
        ("queue_tx", 1, limits.NAMESPACE_TX_CEILING),
        ("share_permille", 0, limits.SHARES_PERMILLE_MAX),
    ):
        if not least <= getattr(terms, name) <= most:
            problems.append(f"{name} is {least} to {most}")
    return problems


def check_shares(all_terms: Iterable[NamespaceTerms]) -> list[str]:
    """What is wrong with the shares of all namespaces together."""
    total = sum(terms.share_permille for terms in all_terms)
    if total <= limits.SHARES_PERMILLE_MAX:
        return []
    return [f"share_permille of all namespaces is {total} together; at most {limits.SHARES_PERMILLE_MAX} is possible"]
