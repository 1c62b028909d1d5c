"""`sequencer peers`: a node's links to the other validators."""

import typer

from sequencer.cli.options import HomeOption, JsonOption, UrlOption
from sequencer.cli.output import print_json, print_table

app = typer.Typer(help="A node's peers.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_peers(home: HomeOption, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the other validators and the state of the links to them."""
    from sequencer.cli.connection import call, node_url

    found = call(node_url(url, home), "seq_listPeers")
    if as_json:
        print_json(found)
        return
    columns = ("index", "address", "connected", "round_trip_ms", "sent_bytes", "received_bytes", "peer_id")
    print_table(
        [name.upper().replace("_", " ") for name in columns], [[entry[name] for name in columns] for entry in found]
    )
