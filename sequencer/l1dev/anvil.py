"""Where the anvil binary is, and which one is wanted.

Responsible for: the pinned version and the place where it is kept.
Refuses to do: install it (`install.py`) or run it (`running.py`).

Invariants:
1. What ANVIL names is used as it is. Otherwise only the binary that `install.py` has put into this environment is used,
   never one that happens to be on the PATH: the version decides which block is final and what a state file holds.
"""

import os
import sys
from pathlib import Path

from sequencer.l1dev.errors import AnvilMissing

ANVIL_VERSION = "1.7.1"
ANVIL_VARIABLE = "ANVIL"


def installed_path() -> Path:
    """Where the binary of this environment is, or would be."""
    return Path(sys.prefix) / "share" / "sequencer" / f"anvil-{ANVIL_VERSION}" / "anvil"


def find_anvil() -> Path:
    """The binary to run. Raises `AnvilMissing`."""
    named = os.environ.get(ANVIL_VARIABLE)
    if named:
        if not os.access(named, os.X_OK):
            raise AnvilMissing(f"{ANVIL_VARIABLE} is {named}, which is no program; correct it or unset it")
        return Path(named)
    path = installed_path()
    if not os.access(path, os.X_OK):
        raise AnvilMissing(
            f"anvil {ANVIL_VERSION}, the development L1, is not installed in this environment; install it with "
            f"`{sys.executable} -m sequencer.l1dev install`, or name a binary with the variable {ANVIL_VARIABLE}"
        )
    return path
