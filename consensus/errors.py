"""The errors of the protocol core, by who is to blame.

1. `InvalidObject` and `DecodeError`: the sender is at fault. The object is dropped, the sender's score falls.
2. `GenesisError`: the operator's configuration is at fault. The node refuses to start.
3. `BrokenInvariant`: we are at fault, or the disk lied. The process must stop. One kind is the operator's to mend:
   `KeyUsedElsewhere`.
"""


class ConsensusError(Exception):
    """Root of every error raised by this room."""


class InvalidObject(ConsensusError):
    """A protocol object breaks a validity rule; `reason` is one stable word for metrics and logs."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class DecodeError(InvalidObject):
    """Bytes are not the one encoding of any value of the expected type."""

    def __init__(self, detail: str) -> None:
        super().__init__("malformed", detail)


class GenesisError(ConsensusError):
    """A genesis description contradicts itself or a bound; the message says which and how to mend it."""


class BrokenInvariant(ConsensusError):
    """A state that correct code on an honest disk cannot reach. Never continue after it."""


class KeyUsedElsewhere(BrokenInvariant):
    """Our key has signed what our record does not know: an older copy of the data, or a second process with the key."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"{found}, and its record does not know it: the data directory is an older copy, or another process signs "
            "with this key. Signing on can contradict what was signed and cost the stake. Stop the other process, or "
            "put back the data directory as it was when this validator last ran; if it is lost, register new keys."
        )
