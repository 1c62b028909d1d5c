"""The errors of rebuilding, by what the caller does about them.

1. `WrongBatch`: what the L1 endpoint says cannot be this chain's Inbox: the endpoint lies, the address is wrong, or a
   reorganisation came in between. Nothing of the batch was used.
2. `PayloadUnavailable`: the L1 has only the hash of a payload, and no node that was asked has it. Ask others, or later.

What a quorum has certified and is wrong all the same is no error: see `Fault` in `batches.py`.
"""


class DeriveError(Exception):
    """Root of every error raised by this room."""


class WrongBatch(DeriveError):
    """A batch is not the next one of this chain, or not certified by its validators; the message says why."""

    def __init__(self, index: int, detail: str) -> None:
        super().__init__(f"batch {index}: {detail}")
        self.index = index


class PayloadUnavailable(DeriveError):
    """A payload that is held off the L1 could not be fetched; the message says what each node answered."""

    def __init__(self, index: int, answers: str) -> None:
        super().__init__(f"the payload of batch {index} is held off the L1 and could not be fetched: {answers}")
        self.index = index
