"""The errors of the running node, by who is to blame."""

from collections.abc import Sequence


class NodeError(Exception):
    """Root of every error raised by this room."""


class ConfigError(NodeError):
    """The operator's configuration cannot be used: exit 2, no traceback. `problems` holds every fault found."""

    def __init__(self, subject: str, problems: Sequence[str]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        super().__init__("\n".join((f"{subject}:", *(f"- {problem}" for problem in problems))))
