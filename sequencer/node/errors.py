"""The errors of the running node, by who is to blame."""

from collections.abc import Sequence


class NodeError(Exception):
    """Root of every error raised by this room."""


class OtherL1(NodeError):
    """The L1 at hand is not the one this node was used with, or its Inbox is another chain's: exit 2 at a start."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")


class PrunedHere(NodeError):
    """What was asked for lies below what this node keeps; another may have it."""


class ConfigError(NodeError):
    """The operator's configuration cannot be used: exit 2, no traceback. `problems` holds every fault found."""

    def __init__(self, subject: str, problems: Sequence[str]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        super().__init__("\n".join((f"{subject}:", *(f"- {problem}" for problem in problems))))
