"""Lines on standard error, the last of which may be a status line that is written over.

Invariants:
1. On a terminal a status line never wraps, since a wrapped line cannot be written over.
2. Elsewhere every status line is a line of its own.
"""

import shutil
import sys

from sequencer.cli.output import say

_ERASE_LINE = "\r\x1b[K"


class Terminal:
    """Standard error of a command that stays in the foreground."""

    def __init__(self) -> None:
        self.is_live = sys.stderr.isatty()
        self._shown = False

    def say(self, message: str) -> None:
        """A line that stays."""
        self.clear()
        say(message)

    def show(self, line: str) -> None:
        """A line that the next one replaces."""
        if not self.is_live:
            say(line)
            return
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(_ERASE_LINE + (line if len(line) <= width else f"{line[: width - 1]}…"))
        sys.stderr.flush()
        self._shown = True

    def clear(self) -> None:
        """Takes the status line away."""
        if self._shown:
            sys.stderr.write(_ERASE_LINE)
            sys.stderr.flush()
            self._shown = False
