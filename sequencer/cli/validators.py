"""`sequencer validators`: who orders transactions on this chain."""

from typing import Annotated

import typer

from sequencer.cli.errors import CommandError
from sequencer.cli.options import HomeOption, JsonOption, UrlOption
from sequencer.cli.output import print_json, print_table

app = typer.Typer(help="The validators of the chain.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_validators(
    home: HomeOption,
    epoch: Annotated[int, typer.Option("--epoch", min=0, help="The epoch whose set is meant.")] = 0,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the validators with their stakes and keys."""
    from sequencer.cli.connection import call, node_url

    found = call(node_url(url, home), "seq_getValidators", epoch=epoch)
    if found is None:
        raise CommandError(f"there is no epoch {epoch} yet")
    if as_json:
        print_json(found)
        return
    columns = ("index", "stake", "node_public_key", "bls_public_key")
    print_table(
        [name.upper().replace("_", " ") for name in columns],
        [[entry[name] for name in columns] for entry in found["validators"]],
    )
