"""Why a transaction is refused: one closed list of words.

Responsible for: the word that stands in the RPC error's `data.reason`, in the metric's label and in the log.
Refuses to do: carry RPC codes (`sequencer/rpc/errors.py`) or raise: a request is refused item by item, as a value.
"""

from enum import StrEnum, unique


@unique
class Refusal(StrEnum):
    """The client's request is well understood and not granted."""

    UNKNOWN_NAMESPACE = "unknown_namespace"
    EMPTY = "empty"
    OVERSIZED = "oversized"  # above the chain's tx_bytes_max
    QUOTA = "quota"  # the namespace's, of bytes or transactions a second; carries retry_after_ms
    CLIENT_QUOTA = "client_quota"  # the sender's, over all namespaces; carries retry_after_ms
    FULL = "full"  # no room in the namespace's queue; carries retry_after_ms
    KNOWN = "known"  # seen here within the window; carries the hash
