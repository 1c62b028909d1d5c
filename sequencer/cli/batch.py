"""`sequencer batch`: what of the chain is on the L1."""

from typing import TYPE_CHECKING, Annotated

import typer

from sequencer.cli.errors import CommandError, UsageFault
from sequencer.cli.options import HomeOption, JsonOption, UrlOption
from sequencer.cli.output import print_fields, print_json, print_table

if TYPE_CHECKING:
    from sequencer.client.l1_views import BatchName

app = typer.Typer(help="Batches of blocks on the L1.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_batches(
    home: HomeOption,
    from_index: Annotated[
        int | None, typer.Option("--from", min=1, metavar="N", help="First batch; without it the newest ones.")
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=100, help="How many at most.")] = 20,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List batches by number, the newest last."""
    from sequencer.cli.connection import ask, find_node
    from sequencer.client.client import SequencerClient
    from sequencer.client.l1_views import L1BatchView, l1_batch_to_json

    async def fetch(client: SequencerClient) -> list[L1BatchView]:
        first = from_index
        if first is None:
            newest = await client.l1_batch("posted")
            first = max(1, newest.index - count + 1) if newest is not None else 1
        return await client.l1_batches(first, count)

    found = ask(find_node(url, home), fetch)
    if as_json:
        print_json([l1_batch_to_json(batch) for batch in found])
        return
    rows = [
        [
            str(batch.index),
            f"{batch.first_height}-{batch.last_height}",
            batch.data,
            str(batch.byte_count),
            str(batch.block_number),
            batch.status.value,
            f"0x{batch.transaction.hex()}",
        ]
        for batch in found
    ]
    print_table(["INDEX", "HEIGHTS", "DATA", "BYTES", "L1 BLOCK", "STATUS", "L1 TRANSACTION"], rows)


@app.command("show")
def show(
    which: Annotated[str, typer.Argument(metavar="BATCH", help="A number, or posted or settled for the newest.")],
    home: HomeOption,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one batch."""
    from sequencer.cli.connection import ask, find_node
    from sequencer.client.l1_views import l1_batch_to_json

    wanted = _read_which(which)
    found = ask(find_node(url, home), lambda client: client.l1_batch(wanted))
    if found is None:
        raise CommandError(f"batch {which} is not on the L1, as far as this node sees")
    fields = l1_batch_to_json(found)
    if as_json:
        print_json(fields)
    else:
        print_fields(fields)


def _read_which(text: str) -> "int | BatchName":
    match text:
        case "posted" | "settled":
            return text
        case _ if text.isascii() and text.isdigit() and 0 < len(text) <= 15:
            return int(text)
        case _:
            raise UsageFault(f"{text} is no batch: give a number, or posted or settled")
