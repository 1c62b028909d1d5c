"""Errors of the settlement room."""


class SettlementError(Exception):
    """Root of every error raised by this room."""


class MissingBlocks(SettlementError):
    """A range cannot be packed here: a block of it is not executed, or its batches are not held."""


class NoQuorum(SettlementError):
    """Too few validators signed; `answers` counts their words."""

    def __init__(self, answers: dict[str, int]) -> None:
        super().__init__(", ".join(f"{word} {count}" for word, count in sorted(answers.items())) or "no answers")
        self.answers = answers
