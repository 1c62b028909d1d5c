"""The errors of execution. None of them is a peer's fault: what is executed was committed.

1. `MissingBatch`: the caller executes before it has the bytes; it fetches them and tries again.
2. `NotAttested`: a question about a height that the chain does not attest.
"""

from consensus.numbers import Digest, Height


class ExecutionError(Exception):
    """Root of every error raised by this room."""


class MissingBatch(ExecutionError):
    """A batch of the block is not among those handed in."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(f"batch {digest.hex()} is missing")
        self.digest = digest


class NotAttested(ExecutionError):
    """The chain does not attest this height, or its record was pruned."""

    def __init__(self, height: Height) -> None:
        super().__init__(f"height {height} is not attested")
        self.height = height
