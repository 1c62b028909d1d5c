"""Which exceptions must stop the node even when a request ran into them.

Invariant: nothing in this room swallows one of these; `except Exception` at the border asks here first.
"""

from consensus.errors import BrokenInvariant
from storage.errors import StorageFault

FATAL = (BrokenInvariant, StorageFault)


def find_fatal(error: Exception) -> Exception | None:
    """The broken invariant or storage fault that the error is, or that stands in a group of errors; else None."""
    if isinstance(error, ExceptionGroup):
        return next((found for inner in error.exceptions if (found := find_fatal(inner)) is not None), None)
    return error if isinstance(error, FATAL) else None
