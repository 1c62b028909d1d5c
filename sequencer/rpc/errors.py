"""The errors of the client-facing server, by who is to blame.

1. `RequestRefused`: the client, or the load. Answered with a code and a one-word reason; the node goes on.
2. `ListenFailed`: the operator's set-up. The node refuses to start.
Faults of the disk and broken invariants are not mapped here: they pass through the server and stop the node.
"""

from consensus.vocabulary.receipt import Receipt
from sequencer.client.fields import JsonObject
from sequencer.client.reasons import Reason, reason_of
from sequencer.client.wire import receipt_to_json


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


def error_object(refused: RequestRefused) -> JsonObject:
    """The error of an answer: `{code, message, data: {reason, retry_after_ms?, receipt?}}`."""
    data: JsonObject = {"reason": refused.reason}
    if refused.retry_after_ms is not None:
        data["retry_after_ms"] = refused.retry_after_ms
    if refused.first_receipt is not None:
        data["receipt"] = receipt_to_json(refused.first_receipt)
    return {"code": refused.entry.code, "message": refused.detail or refused.entry.meaning, "data": data}
