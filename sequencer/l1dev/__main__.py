"""`python -m sequencer.l1dev`: fetches the development L1, so that nothing needs a network later, or runs one.

The devnet needs neither: it runs its own. `run` is for containers.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sequencer.l1dev.errors import L1DevError
from sequencer.l1dev.install import install_anvil


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sequencer.l1dev", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="fetch anvil into this environment")
    run = commands.add_parser("run", help="run anvil until SIGTERM, its state kept in a directory")
    run.add_argument("--directory", type=Path, required=True)
    run.add_argument("--host", default="127.0.0.1")
    run.add_argument("--port", type=int, default=8545)
    run.add_argument("--chain-id", type=int, default=31337)
    options = parser.parse_args(arguments)
    try:
        if options.command == "install":
            sys.stdout.write(f"{install_anvil(_say)}\n")
        else:
            _run(options)
    except L1DevError as error:
        _say(f"sequencer: {error}")
        return 1
    except BaseExceptionGroup as group:
        died = group.subgroup(L1DevError)
        if died is None:
            raise
        _say(f"sequencer: {died.exceptions[0]}")
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    # Installing works before there is anything else in the environment.
    import trio  # noqa: PLC0415

    from sequencer.l1dev.serving import serve  # noqa: PLC0415
    from sequencer.l1dev.state import StateDirectory  # noqa: PLC0415

    state = StateDirectory(options.directory)
    trio.run(serve, state, options.host, options.port, options.chain_id, _say)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
