"""`sequencer namespace`: the rollups of a chain and their blocks."""

from typing import Any

import typer

from sequencer.cli.options import HomeOption, JsonOption, UrlOption
from sequencer.cli.output import print_json, print_table

app = typer.Typer(help="Rollups and their blocks.", no_args_is_help=True, rich_markup_mode=None)

_PAGE = 1000


@app.command("list")
def list_namespaces(home: HomeOption, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the namespaces with the newest block of each."""
    from sequencer.cli.connection import call, node_url

    address, found = node_url(url, home), list[dict[str, Any]]()
    while True:
        start = 0 if not found else _number(found[-1]["id"]) + 1
        page = call(address, "seq_listNamespaces", from_id=start, count=_PAGE)
        found += page
        if len(page) < _PAGE:
            break
    if as_json:
        print_json(found)
    else:
        columns = ("id", "name", "index", "height", "hash")
        print_table([name.upper() for name in columns], [[entry[name] for name in columns] for entry in found])


def _number(value: int | str) -> int:
    return int(value, 16) if isinstance(value, str) else value
