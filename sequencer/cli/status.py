"""`sequencer status`: whether a node is ready, and how far it is.

Invariants:
1. Exit code 0: ready; 3: running and not ready, with the reasons; 1: not reached.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sequencer.cli.errors import ExitCode
from sequencer.cli.options import HomeOption, JsonOption, UrlOption
from sequencer.cli.output import print_fields, print_json, print_text, printable, say

if TYPE_CHECKING:
    from sequencer.cli.connection import Node
    from sequencer.client.client import SequencerClient
    from sequencer.client.views import SyncStatus


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
    from sequencer.cli.connection import ask, find_node
    from sequencer.client.views import sync_status_to_json

    node = find_node(url, home)
    if watch:
        _watch(node, interval_s, as_json)
    progress = ask(node, lambda client: client.sync_status())
    if as_json:
        print_json(sync_status_to_json(progress))
    else:
        print_fields(_readable(progress))
    raise typer.Exit(ExitCode.SUCCESS if progress.ready else ExitCode.SYNCING)


def _watch(node: "Node", interval_s: float, as_json: bool) -> None:
    import trio

    from sequencer.cli.connection import ask
    from sequencer.client.errors import ClientError
    from sequencer.client.views import sync_status_to_json

    async def go_on(client: "SequencerClient") -> None:
        while True:
            try:
                progress = await client.sync_status()
            except ClientError as error:
                say(printable(error))
            else:
                if as_json:
                    print_json(sync_status_to_json(progress), on_one_line=True)
                else:
                    print_text("  ".join(f"{name} {printable(value)}" for name, value in _readable(progress).items()))
            await trio.sleep(interval_s)

    ask(node, go_on)


def _readable(progress: "SyncStatus") -> dict[str, Any]:
    return {**_chain(progress), **_catching_up(progress), **_on_l1(progress)}


def _catching_up(progress: "SyncStatus") -> dict[str, Any]:
    figures = progress.catching_up
    if figures is None:
        return {}
    walk = "" if figures.walk_height is None else f", headers at {figures.walk_height}"
    left = "no end in sight" if figures.seconds_left is None else f"about {figures.seconds_left} s left"
    return {
        "catching_up": f"{figures.phase}{walk}, {figures.heights_left} heights left, "
        f"{figures.blocks_per_s} blocks/s, {left}"
    }


def _on_l1(progress: "SyncStatus") -> dict[str, Any]:
    if progress.l1 is None:
        return {}
    return {
        "posted": progress.l1.posted_height,
        "settled": progress.l1.settled_height,
        "l1_batch": progress.l1.batch_index,
        "l1_backlog": f"{progress.l1.backlog_bytes} bytes, {progress.l1.backlog_ms / 1_000:.1f} s",
        "poster": (progress.l1.poster or "does not post") if progress.l1.reachable else "the L1 does not answer",
    }


def _chain(progress: "SyncStatus") -> dict[str, Any]:
    return {
        "state": "ready" if progress.ready else f"not ready ({', '.join(progress.reasons) or 'no reason given'})",
        "view": progress.view,
        "ordered": progress.ordered_height,
        "final": progress.final_height,
        "executed": progress.executed_height,
        "attested": progress.attested_height,
        "target": progress.target_height,
        "missing_batches": progress.missing_batches,
    }
