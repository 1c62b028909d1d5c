"""The errors of this room: all are the operator's to mend, so each message says how."""

from collections.abc import Sequence


class KeysError(Exception):
    """Root of every error raised by this room."""


class KeyFileError(KeysError):
    """A key file is missing, exposed, malformed or in the way."""


class GenesisFileError(KeysError):
    """A genesis file cannot be used. `problems` holds every fault found."""

    def __init__(self, subject: str, problems: Sequence[str]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        super().__init__("\n".join((f"{subject}:", *(f"- {problem}" for problem in problems))))
