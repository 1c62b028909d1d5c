"""`sequencer peers`: a node's links to the other validators."""

import typer

from sequencer.cli.options import HomeOption, JsonOption, UrlOption
from sequencer.cli.output import print_json, print_table

app = typer.Typer(help="A node's peers.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_peers(home: HomeOption, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the other validators and the state of the links to them."""
    from sequencer.cli.connection import ask, find_node
    from sequencer.client.views import peer_to_json

    found = ask(find_node(url, home), lambda client: client.peers())
    if as_json:
        print_json([peer_to_json(peer) for peer in found])
        return
    print_table(
        ["INDEX", "ADDRESS", "CONNECTED", "ROUND TRIP MS", "SENT BYTES", "RECEIVED BYTES", "QUEUED BYTES", "PEER ID"],
        [
            (
                peer.index,
                peer.address,
                "yes" if peer.connected else "no",
                peer.round_trip_ms,
                peer.sent_bytes,
                peer.received_bytes,
                peer.queued_bytes,
                peer.peer_id,
            )
            for peer in found
        ],
    )
