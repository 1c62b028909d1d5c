"""Every moment at which the disk changes, numbered as they pass, so that a test can let a process die at each of them.

Responsible for: one place that all durable operations pass, before and after.
Refuses to do: anything unless `watch` was called, which only an armed failpoint of a development network does.
"""

from collections.abc import Callable

_Watcher = Callable[[str, Callable[[], object] | None], None]
_watcher: _Watcher | None = None


def watch(watcher: _Watcher | None) -> None:
    """From now on `watcher(name, undo)` hears of every boundary, in whatever thread it is passed; None: nobody."""
    global _watcher  # noqa: PLW0603 - one process, one disk
    _watcher = watcher


def pass_boundary(name: str, undo: Callable[[], object] | None = None) -> None:
    """The disk is about to change, or has changed. `undo` takes back what is not synced, as a power cut would."""
    if _watcher is not None:
        _watcher(name, undo)
