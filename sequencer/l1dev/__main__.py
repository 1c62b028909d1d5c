"""`python -m sequencer.l1dev install`: fetches the development L1, so that nothing needs a network later."""

import sys

from sequencer.l1dev.errors import L1DevError
from sequencer.l1dev.install import install_anvil

USAGE = "usage: python -m sequencer.l1dev install"


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    if arguments != ["install"]:
        _say(USAGE)
        return 2
    try:
        path = install_anvil(_say)
    except L1DevError as error:
        _say(f"sequencer: {error}")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
