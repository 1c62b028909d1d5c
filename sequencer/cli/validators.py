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
    from consensus.numbers import Epoch
    from sequencer.cli.connection import ask, find_node
    from sequencer.client.fields import to_hex

    found = ask(find_node(url, home), lambda client: client.validators(Epoch(epoch)))
    if found is None:
        raise CommandError(f"there is no epoch {epoch} yet")
    entries = [
        {
            "index": index,
            "stake": validator.stake,
            "node_public_key": to_hex(validator.node_public_key),
            "bls_public_key": to_hex(validator.bls_public_key),
        }
        for index, validator in enumerate(found)
    ]
    if as_json:
        print_json(entries)
    else:
        print_table(
            ["INDEX", "STAKE", "NODE PUBLIC KEY", "BLS PUBLIC KEY"], [list(entry.values()) for entry in entries]
        )
