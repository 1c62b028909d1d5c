"""`sequencer checkpoint`: what a new node can start from instead of from block 0.

Invariants:
1. A file is written only if this chain's validators prove what is in it, and appears under its name whole.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sequencer.cli.errors import CommandError, UsageFault
from sequencer.cli.options import HomeOption, JsonOption, UrlOption
from sequencer.cli.output import print_fields, print_json

if TYPE_CHECKING:
    from consensus.genesis import Genesis
    from sequencer.execution.checkpoint import Checkpoint

app = typer.Typer(help="Recent states that a node can start from.", no_args_is_help=True, rich_markup_mode=None)

GenesisOption = Annotated[
    Path | None, typer.Option("--genesis", help="Genesis file of the chain; else the one in --home.")
]


@app.command("fetch")
def fetch(
    output: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; storage.checkpoint names it.")],
    home: HomeOption,
    genesis: GenesisOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a node for its newest checkpoint, verify it with the genesis, and write it to a file.

    Any node will do: it cannot lie. The older the checkpoint is when a node starts from it, the more it has to catch
    up, and the others keep only as much as their storage.keep_s says.
    """
    from sequencer.cli.connection import ask, find_node
    from sequencer.keys.genesis_file import load_genesis

    chain = load_genesis(genesis or home / "config" / "genesis.toml")
    found = ask(find_node(url, home), lambda client: client.checkpoint())
    if found is None:
        raise CommandError("this node has no checkpoint yet: nothing is attested, or it has just begun")
    checkpoint = _verified(found.data, chain, "the node's answer")
    draft = output.with_name(f"{output.name}.part")
    try:
        draft.write_bytes(found.data)
        draft.replace(output)
    except OSError as error:
        raise CommandError(f"{output} cannot be written: {error.strerror}") from error
    _show(checkpoint, len(found.data), as_json=as_json)


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `checkpoint fetch` wrote.")],
    home: HomeOption,
    genesis: GenesisOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a checkpoint file with the genesis, and say what it is of."""
    from sequencer.execution.checkpoint import checkpoint_bytes_max
    from sequencer.keys.genesis_file import load_genesis

    chain = load_genesis(genesis or home / "config" / "genesis.toml")
    try:
        with file.open("rb") as opened:
            data = opened.read(checkpoint_bytes_max(chain) + 1)
    except OSError as error:
        raise UsageFault(f"{file} cannot be read: {error.strerror}") from error
    _show(_verified(data, chain, str(file)), len(data), as_json=as_json)


def _verified(data: bytes, chain: "Genesis", subject: str) -> "Checkpoint":
    from consensus.errors import DecodeError, InvalidObject
    from sequencer.execution.checkpoint import Checkpoint

    try:
        checkpoint = Checkpoint.decode(data, chain)
        checkpoint.check(chain)
    except (DecodeError, InvalidObject) as error:
        raise CommandError(f"{subject} is not a checkpoint of this chain: {error}") from error
    return checkpoint


def _show(checkpoint: "Checkpoint", byte_count: int, *, as_json: bool) -> None:
    state, certificate = checkpoint.state, checkpoint.certificate
    fields = {
        "height": state.height,
        "block_id": f"0x{state.block_id.hex()}",
        "ts_ms": state.ts_ms,
        "namespaces": len(state.namespaces.heads),
        "attested_by": len(certificate.signers),
        "bytes": byte_count,
    }
    if as_json:
        print_json(fields)
    else:
        print_fields(fields)
