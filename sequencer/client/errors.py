"""The errors of the client library, by who is to blame.

1. `MalformedAnswer`: a node answered something that is not of the documented shape.
2. `UnprovedAnswer`: the shape is right and the content does not follow from the genesis and the signatures.
3. `RequestRefused`: a node understood the request and says no, with a code and a one-word reason.
4. `NodeUnreachable` and `OutcomeUnknown`: the network, or a node that is down.
5. `NoSubscriptions`: a node that serves no WebSocket, or no more of them. Ask it instead.
6. `StatusNotReached`: a transaction has not come as far as it was waited for.
"""

from consensus.vocabulary.receipt import Receipt


class ClientError(Exception):
    """Root of every error raised by this room."""


class MalformedAnswer(ClientError):
    """JSON of a node that does not have the documented shape; the message names the field."""


class UnprovedAnswer(ClientError):
    """A proof, block or receipt does not hold; `reason` is one stable word."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class RequestRefused(ClientError):
    """A node's refusal. `code` and `reason` are those of `reasons.py`, or of a newer node's table."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        retry_after_ms: int | None = None,
        first_receipt: Receipt | None = None,
    ) -> None:
        super().__init__(f"{reason} ({code}): {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after_ms = retry_after_ms
        self.first_receipt = first_receipt  # of a transaction that is known


class NodeUnreachable(ClientError):
    """No node answered, and nothing was handed in."""


class OutcomeUnknown(ClientError):
    """A submission was sent and its answer was lost: the node may have taken it. Ask for the status by hash."""


class NoSubscriptions(ClientError):
    """The node answers, but takes no subscriptions: an older one, or one with too many of them."""


class StatusNotReached(ClientError):
    """The transaction has ended below the status waited for, or the time is over. The words are those of the ladder."""

    def __init__(self, reached: str, wanted: str, reason: str | None = None) -> None:
        super().__init__(f"the transaction is {reached}, not {wanted}" + (f", reason {reason}" if reason else ""))
        self.reached = reached
        self.wanted = wanted
        self.reason = reason
