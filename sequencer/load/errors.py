"""What goes wrong between a load generator and a node, by whose fault it is."""


class LoadError(Exception):
    """Base of this room's errors."""


class PlanFault(LoadError):
    """A load that cannot be: the message says which bound it breaks."""


class Unanswered(LoadError):
    """A node did not answer, or not with HTTP; `kind` is one word: refused, reset, timeout or garbage."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
