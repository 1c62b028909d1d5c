"""The errors of the client-facing server, by who is to blame.

1. `RequestRefused`: the client, or the load. Answered with a code and a one-word reason; the node goes on.
2. `ListenFailed`: the operator's set-up. The node refuses to start.
Faults of the disk and broken invariants are not mapped here: they pass through the server and stop the node.
"""

from consensus.vocabulary.receipt import Receipt
from sequencer.client.reasons import Reason, reason_of


class RpcError(Exception):
    """Root of every error raised by this room."""


class RequestRefused(RpcError):
    """A request that is answered with an error. `reason` is a word of `sequencer/client/reasons.py`."""

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        retry_after_ms: int | None = None,
        first_receipt: Receipt | None = None,
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.retry_after_ms = retry_after_ms
        self.first_receipt = first_receipt

    @property
    def entry(self) -> Reason:
        """Code, HTTP status and meaning."""
        return reason_of(self.reason)


class ListenFailed(RpcError):
    """An address cannot be listened on: in use, not ours, or not allowed."""

    def __init__(self, host: str, port: int, detail: str) -> None:
        super().__init__(
            f"cannot listen on {host}:{port}: {detail}. "
            "Stop what uses the port, or configure another one (0 picks a free one)."
        )
        self.host = host
        self.port = port
