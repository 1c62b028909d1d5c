"""`sequencer namespace`: the rollups of a chain and their blocks."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sequencer.cli.errors import UsageFault
from sequencer.cli.options import HomeOption, JsonOption, UrlOption, read_namespace_id
from sequencer.cli.output import print_json, print_table, print_text, say

if TYPE_CHECKING:
    from sequencer.cli.connection import Node
    from sequencer.client.client import SequencerClient
    from sequencer.client.following import FollowedBlock
    from sequencer.client.namespace_views import NamespaceView

app = typer.Typer(help="Rollups and their blocks.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_namespaces(home: HomeOption, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the namespaces: newest block, and what goes on in each at the node that is asked.

    WAITING is bytes in the queue, ADMITTED and SEALED are transactions per second of late, QUOTA how much of the
    namespace's quota that is, SHARE its part of the node's batches (in brackets the least, if the genesis grants one).
    --json has more.
    """
    from sequencer.cli.connection import ask, find_node
    from sequencer.client.namespace_views import namespace_view_to_json

    found = ask(find_node(url, home), lambda client: client.namespaces())
    if as_json:
        print_json([namespace_view_to_json(view) for view in found])
    else:
        head = ["ID", "NAME", "INDEX", "HEIGHT", "WAITING", "OLDEST", "ADMITTED", "SEALED", "QUOTA", "SHARE", "REFUSED"]
        print_table(head, [_line(view) for view in found])


def _line(view: "NamespaceView") -> list[object]:
    block, load = [view.id, view.name, view.index, view.height], view.load
    if load is None:
        return [*block, *[None] * 7]
    least = view.terms.share_permille / 10
    refused = ", ".join(f"{count} {reason}" for reason, count in sorted(load.refused.items()))
    return [
        *block,
        load.queued_bytes,
        f"{load.oldest_waiting_ms} ms",
        f"{load.admitted_tx_per_s}/s",
        f"{load.sealed_tx_per_s}/s",
        f"{load.quota_used_permille / 10:.1f}%",
        f"{load.sealed_share_permille / 10:.0f}%" + (f" ({least:.0f}%)" if least else ""),
        refused or "0",
    ]


@app.command("follow")
def follow(  # noqa: PLR0913, PLR0917 (options of a command line)
    namespace: Annotated[str, typer.Argument(metavar="NAMESPACE", help="Id of the rollup, a number or 0x hex.")],
    home: HomeOption,
    from_index: Annotated[int, typer.Option("--from", min=0, metavar="INDEX", help="The first block to print.")] = 0,
    count: Annotated[int | None, typer.Option("--count", min=1, help="Stop after so many blocks.")] = None,
    transactions: Annotated[bool, typer.Option("--transactions", help="Print each block's transactions.")] = False,
    genesis: Annotated[
        Path | None, typer.Option("--genesis", help="Genesis file of the chain, to verify with; that of --home if any.")
    ] = None,
    chain_id: Annotated[
        str | None, typer.Option("--chain-id", metavar="HEX", help="Instead of a genesis: fetch it and check its hash.")
    ] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a namespace's blocks as they come, each verified from the genesis.

    With --url alone nothing can be verified: name the chain with --genesis or --chain-id.
    """
    from consensus.numbers import NamespaceIndex
    from sequencer.cli.connection import ask, find_node

    namespace_id, node = read_namespace_id(namespace), _on_chain(find_node(url, home), genesis, chain_id)
    if node.genesis is None and node.chain_id is None:
        say("blocks are not verified: name the chain with --genesis or --chain-id")

    async def print_blocks(client: "SequencerClient") -> None:
        from contextlib import aclosing

        left = count
        async with aclosing(client.follow_namespace(namespace_id, NamespaceIndex(from_index))) as blocks:
            async for block in blocks:
                _print_block(block, transactions, as_json)
                left = None if left is None else left - 1
                if left == 0:
                    return

    ask(node, print_blocks)


def _on_chain(node: "Node", genesis: Path | None, chain_id: str | None) -> "Node":
    from sequencer.keys.genesis_file import load_genesis

    if genesis is not None and chain_id is not None:
        raise UsageFault("--genesis or --chain-id, not both")
    if genesis is not None:
        return replace(node, genesis=load_genesis(genesis))
    if chain_id is None:
        return node
    digits = chain_id.removeprefix("0x")
    if len(digits) != 64 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise UsageFault(f"--chain-id {chain_id}: 0x and 64 hex digits are wanted")
    return replace(node, genesis=None, chain_id=bytes.fromhex(digits))


def _print_block(followed: "FollowedBlock", transactions: bool, as_json: bool) -> None:
    from sequencer.cli.block_lines import block_to_json
    from sequencer.client.fields import to_hex

    block = followed.block
    fields = block_to_json(block, followed.hash, followed.transactions, proved=followed.proved)
    if as_json:
        print_json(fields, on_one_line=True)
        return
    print_text(
        f"block {block.index}  height {block.height}  {fields['tx_count']} tx  {fields['byte_count']} bytes  "
        f"{to_hex(followed.hash)}  {'proved' if followed.proved else 'not proved'}"
    )
    if transactions:
        for item in followed.transactions:
            print_text(f"  {to_hex(item)}")
