"""`sequencer status`: whether a node is ready, and how far it is.

Invariants:
1. Exit code 0: ready; 3: running and not ready, with the reasons; 1: not reached.
"""

from typing import Annotated, Any

import typer

from sequencer.cli.errors import CommandError, ExitCode
from sequencer.cli.options import HomeOption, JsonOption, UrlOption
from sequencer.cli.output import print_fields, print_json, print_text, printable, say


def status(
    home: HomeOption,
    url: UrlOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, one line each time, until Ctrl-C.")] = False,
    interval_s: Annotated[
        float, typer.Option("--interval", min=0.1, metavar="SECONDS", help="Between two lines of --watch.")
    ] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Say whether a node is ready, and how far it is.

    Exit code: 0 ready, 3 running but not ready, 1 down.
    """
    from sequencer.cli.connection import call, node_url

    address = node_url(url, home)
    if watch:
        _watch(address, interval_s, as_json)
    progress = call(address, "seq_syncStatus")
    if as_json:
        print_json(progress)
    else:
        print_fields(_readable(progress))
    raise typer.Exit(ExitCode.SUCCESS if progress.get("ready") is True else ExitCode.SYNCING)


def _watch(address: str, interval_s: float, as_json: bool) -> None:
    import time

    from sequencer.cli.connection import call

    while True:
        try:
            progress = call(address, "seq_syncStatus")
        except CommandError as error:
            say(str(error))
        else:
            if as_json:
                print_json(progress, on_one_line=True)
            else:
                print_text("  ".join(f"{name} {printable(value)}" for name, value in _readable(progress).items()))
        time.sleep(interval_s)


def _readable(progress: dict[str, Any]) -> dict[str, Any]:
    reasons = progress.get("reasons") or []
    state = "ready" if progress.get("ready") is True else f"not ready ({', '.join(map(str, reasons)) or 'no reason'})"
    numbers = {
        name.removesuffix("_height"): value for name, value in progress.items() if name not in ("ready", "reasons")
    }
    return {"state": state, **numbers}
