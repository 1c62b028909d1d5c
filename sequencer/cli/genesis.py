"""`sequencer genesis`: make, check and hash the file that all validators of a chain share."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sequencer.cli.errors import UsageFault
from sequencer.cli.options import HomeOption, JsonOption, TermsOption, read_namespace, read_terms
from sequencer.cli.output import print_fields, print_json, print_text, say

if TYPE_CHECKING:
    from consensus.genesis import Genesis
    from consensus.validators import Validator

app = typer.Typer(help="The genesis of a chain.", no_args_is_help=True, rich_markup_mode=None)

FileArgument = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="A genesis file; without it, that of the node in --home.")
]


@app.command("new")
def new(
    name: Annotated[str, typer.Option("--name", help="The chain's name.")],
    output: Annotated[Path, typer.Option("--output", help="The file to write; it must not exist.")],
    validator: Annotated[
        list[str],
        typer.Option(
            "--validator",
            metavar="FILE[=STAKE]",
            help="What `sequencer keys show --json` printed at a validator, and its stake; in the order of indices.",
        ),
    ],
    namespace: Annotated[
        list[str] | None, typer.Option("--namespace", metavar="ID:NAME", help="A rollup; may be repeated.")
    ] = None,
    terms: TermsOption = None,
    l1_chain_id: Annotated[int, typer.Option("--l1-chain-id", min=0, help="EIP-155 id of the L1; 0 for none.")] = 0,
) -> None:
    """Make a genesis from the public keys of its validators."""
    from consensus.errors import GenesisError
    from consensus.genesis import ChainParameters, Genesis, Namespace, lane_report_batches_default
    from consensus.namespace_terms import DEFAULT_TERMS
    from consensus.numbers import Milliseconds, NamespaceId
    from sequencer.keys.genesis_file import render_genesis

    validators = tuple(_read_validator(entry) for entry in validator)
    namespaces = sorted(read_namespace(entry) for entry in namespace or [])
    given = read_terms(terms, (number for number, _ in namespaces))
    genesis = Genesis(
        name=name,
        time_ms=Milliseconds(time.time_ns() // 1_000_000),
        l1_chain_id=l1_chain_id,
        parameters=ChainParameters(lane_report_batches=lane_report_batches_default(len(validators))),
        validators=validators,
        namespaces=tuple(
            Namespace(NamespaceId(number), text, given.get(number, DEFAULT_TERMS)) for number, text in namespaces
        ),
    )
    try:
        text = render_genesis(genesis.check())
    except GenesisError as error:
        raise UsageFault(str(error)) from error
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageFault(f"{output} cannot be written: {error.strerror}") from error
    say(f"made {output}")
    print_text(f"0x{genesis.chain_id.hex()}")


@app.command("check")
def check(home: HomeOption, file: FileArgument = None, as_json: JsonOption = False) -> None:
    """Check a genesis: its form, its bounds, and every proof of possession."""
    genesis = _load(home, file)
    summary: dict[str, Any] = {
        "name": genesis.name,
        "chain_id": f"0x{genesis.chain_id.hex()}",
        "time_ms": genesis.time_ms,
        "l1_chain_id": genesis.l1_chain_id,
        "validators": len(genesis.validators),
        "stake": sum(entry.stake for entry in genesis.validators),
        "namespaces": len(genesis.namespaces),
    }
    if as_json:
        print_json(summary)
    else:
        print_fields(summary)


@app.command("hash")
def print_hash(home: HomeOption, file: FileArgument = None) -> None:
    """Print the chain id: the SHA-256 of the canonical genesis."""
    print_text(f"0x{_load(home, file).chain_id.hex()}")


def _load(home: Path, file: Path | None) -> "Genesis":
    from sequencer.keys.genesis_file import load_genesis

    return load_genesis(file or home / "config" / "genesis.toml")


def _read_validator(text: str) -> "Validator":
    from sequencer.keys.genesis_file import parse_public_keys

    path, equals, stake = text.rpartition("=")
    if not equals:
        path, stake = text, "1"
    if not (stake.isascii() and stake.isdigit()):
        raise UsageFault(f"--validator {text}: FILE=STAKE is wanted, the stake a whole number")
    try:
        entry = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageFault(f"--validator {path} cannot be read: {error}") from error
    if not isinstance(entry, dict):
        raise UsageFault(f"--validator {path}: what `sequencer keys show --json` prints is wanted")
    return parse_public_keys(entry, int(stake), path)
