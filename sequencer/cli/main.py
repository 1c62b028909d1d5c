"""The `sequencer` command: its nouns, and how a command ends.

Responsible for: the list of commands, and turning errors into one message and an exit code.
Refuses to do: anything a command does; each noun has a file of its own, imported here, which imports what is heavy only
when it runs, so that `--help` is quick.

Invariants:
1. Exit codes: 0 done, 1 failed or down, 2 command line or configuration, 3 syncing (`status`), 130 interrupted.
2. An error that an operator can mend ends in one message and no traceback; a bug ends in a traceback.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import typer

from sequencer.cli import (
    batch,
    bench,
    checkpoint,
    config,
    derive,
    devnet,
    evidence,
    genesis,
    init,
    keys,
    l1,
    namespace,
    peers,
    start,
    status,
    testnet,
    tx,
    validators,
)
from sequencer.cli import version as version_noun
from sequencer.cli.errors import CommandError, ExitCode
from sequencer.cli.output import printable, say

INTERRUPTED = 130  # 128 + SIGINT, as shells have it

app = typer.Typer(
    name="sequencer",
    help="A decentralized shared sequencer: one set of validators orders the transactions of many rollups.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("devnet")(devnet.devnet)
app.command("init")(init.init)
app.command("testnet")(testnet.make_testnet)
app.command("start")(start.start)
app.command("status")(status.status)
app.add_typer(keys.app, name="keys")
app.add_typer(genesis.app, name="genesis")
app.add_typer(config.app, name="config")
app.add_typer(l1.app, name="l1")
app.add_typer(tx.app, name="tx")
app.add_typer(namespace.app, name="namespace")
app.add_typer(validators.app, name="validators")
app.add_typer(batch.app, name="batch")
app.add_typer(evidence.app, name="evidence")
app.add_typer(checkpoint.app, name="checkpoint")
app.add_typer(peers.app, name="peers")
app.command("derive")(derive.derive)
app.command("bench")(bench.bench)
app.command("version")(version_noun.version)


def run() -> None:
    """The console script's entry point: runs the command line and exits."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    try:
        app(list(arguments), prog_name="sequencer")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        code = _report(_innermost(error))
        if code is None:
            raise
        return code
    return ExitCode.SUCCESS


def _innermost(error: BaseException) -> BaseException:
    # A nursery wraps what its tasks raised; a group of one is that one.
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _report(error: BaseException) -> int | None:
    """Says what went wrong and returns the exit code; `None` for an error that is a bug."""
    from sequencer.client.errors import ClientError, NodeUnreachable
    from sequencer.derive.errors import DeriveError
    from sequencer.keys.errors import KeysError
    from sequencer.l1.errors import L1Error, WrongInbox
    from sequencer.node.errors import ConfigError

    match error:
        case KeyboardInterrupt():
            return INTERRUPTED
        case BrokenPipeError():
            # Whoever read our output has gone. Python would complain once more when it closes the stream.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ExitCode.FAILURE
        case CommandError():
            say(f"sequencer: {error}")
            return error.code
        case ConfigError() | KeysError():
            say(f"sequencer: {error}")
            return ExitCode.USAGE
        case OSError():
            # A directory that cannot be written, a disk that is full: the system's words say more than a traceback.
            say(f"sequencer: {error}")
            return ExitCode.FAILURE
        case WrongInbox():
            say(f"sequencer: {printable(error)}")
            return ExitCode.USAGE
        case NodeUnreachable():
            say(f"sequencer: the node cannot be reached: {printable(error)}")
            return ExitCode.FAILURE
        case ClientError() | DeriveError() | L1Error():
            say(f"sequencer: {printable(error)}")
            return ExitCode.FAILURE
        case _:
            return None
