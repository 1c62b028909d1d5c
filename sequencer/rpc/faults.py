"""Which exceptions must stop the node even when a request ran into them.

Invariant: nothing in this room swallows one of these; `except Exception` at the border asks here first.
"""

from consensus.errors import BrokenInvariant
from storage.errors import StorageFault

FATAL = (BrokenInvariant, StorageFault)


def is_fatal(error: BaseException) -> bool:
    """Whether the error, or one inside a group of errors, is a broken invariant or a storage fault."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_fatal(inner) for inner in error.exceptions)
    return isinstance(error, FATAL)
