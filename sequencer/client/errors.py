"""The errors of the client library, by who is to blame.

1. `MalformedAnswer`: a node answered something that is not of the documented shape.
2. `UnprovedAnswer`: the shape is right and the content does not follow from the genesis and the signatures.
"""


class ClientError(Exception):
    """Root of every error raised by this room."""


class MalformedAnswer(ClientError):
    """JSON of a node that does not have the documented shape; the message names the field."""


class UnprovedAnswer(ClientError):
    """A proof, block or receipt does not hold; `reason` is one stable word."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
