"""`sequencer keys`: make, import, list, show and export a validator's keys.

Invariants:
1. A secret is read from standard input and printed only by `export`, after a confirmation; never from or to anywhere
   else.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sequencer.cli.errors import UsageFault
from sequencer.cli.options import HomeOption, JsonOption
from sequencer.cli.output import print_fields, print_json, print_table, print_text, say

if TYPE_CHECKING:
    from sequencer.keys.key_files import KeyKind

app = typer.Typer(help="A validator's keys.", no_args_is_help=True, rich_markup_mode=None)

KindArgument = Annotated[str, typer.Argument(metavar="KIND", help="node, bls or poster")]
_STDIN_BYTES_MAX = 1024


@app.command("new")
def new(home: HomeOption, as_json: JsonOption = False) -> None:
    """Make the node key, the BLS key and the poster key, where they are missing."""
    from sequencer.keys.key_files import KeyKind, create_key, key_path, new_secret

    keys_dir = home / "keys"
    missing = [kind for kind in KeyKind if not key_path(keys_dir, kind).exists()]
    if not missing:
        raise UsageFault(f"{keys_dir} has all keys already; a key is never overwritten")
    for kind in missing:
        say(f"made {create_key(keys_dir, kind, new_secret(kind))}")
    _print_public(keys_dir, as_json)


@app.command("import")
def import_key(kind: KindArgument, home: HomeOption, as_json: JsonOption = False) -> None:
    """Take a key from standard input, as 64 hex digits."""
    from sequencer.keys.key_files import create_key, parse_secret

    key_kind = _read_kind(kind)
    if sys.stdin.isatty():
        text = typer.prompt("the key, 64 hex digits (not shown)", hide_input=True, err=True)
    else:
        text = sys.stdin.read(_STDIN_BYTES_MAX)
    path = create_key(home / "keys", key_kind, parse_secret(key_kind, text))
    say(f"made {path}")
    if as_json:
        print_json({"kind": key_kind, "path": str(path)})


@app.command("list")
def list_keys(home: HomeOption, as_json: JsonOption = False) -> None:
    """List the keys of a home and their public halves; of the poster key its L1 address."""
    from sequencer.keys.key_files import KeyKind, key_path, load_bls_key, load_node_key, load_secret

    keys_dir = home / "keys"
    found: list[dict[str, str]] = []
    if key_path(keys_dir, KeyKind.NODE).exists():
        node_key = load_node_key(keys_dir)
        found.append(
            {"kind": "node", "public_key": _hex(node_key.public_key), "path": str(key_path(keys_dir, KeyKind.NODE))}
        )
    if key_path(keys_dir, KeyKind.BLS).exists():
        bls_key = load_bls_key(keys_dir)
        found.append(
            {"kind": "bls", "public_key": _hex(bls_key.public_key), "path": str(key_path(keys_dir, KeyKind.BLS))}
        )
    if key_path(keys_dir, KeyKind.POSTER).exists():
        from sequencer.l1.transactions import address_of

        address = _hex(address_of(load_secret(keys_dir, KeyKind.POSTER)))
        found.append({"kind": "poster", "public_key": address, "path": str(key_path(keys_dir, KeyKind.POSTER))})
    if as_json:
        print_json(found)
    else:
        print_table(["KIND", "PUBLIC KEY", "PATH"], [list(key.values()) for key in found])


@app.command("show")
def show(home: HomeOption, as_json: JsonOption = False) -> None:
    """Print the public half of a validator: what its entry in the genesis holds, and its peer id."""
    _print_public(home / "keys", as_json)


@app.command("export")
def export(
    kind: KindArgument,
    home: HomeOption,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the secret is printed.")] = False,
) -> None:
    """Print a secret key. Whoever sees it can act as this validator."""
    from sequencer.keys.key_files import load_secret

    key_kind = _read_kind(kind)
    secret = load_secret(home / "keys", key_kind)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageFault("a secret is printed only after a confirmation at a terminal, or with --yes")
        typer.confirm(f"Print the secret {key_kind} key of {home}?", abort=True, err=True)
    print_text(secret.hex())


def _read_kind(text: str) -> "KeyKind":
    from sequencer.keys.key_files import KeyKind

    try:
        return KeyKind(text)
    except ValueError as error:
        raise UsageFault(f"there is no {text} key, only node, bls and poster") from error


def _print_public(keys_dir: Path, as_json: bool) -> None:
    public = _public_half(keys_dir)
    if as_json:
        print_json(public)
    else:
        print_fields(public)


def _public_half(keys_dir: Path) -> dict[str, Any]:
    from sequencer.keys.key_files import load_bls_key, load_node_key
    from sequencer.keys.peer_id import peer_id_text

    node_key, bls_key = load_node_key(keys_dir), load_bls_key(keys_dir)
    return {
        "node_public_key": _hex(node_key.public_key),
        "bls_public_key": _hex(bls_key.public_key),
        "possession": _hex(bls_key.prove_possession()),
        "peer_id": peer_id_text(node_key.public_key),
    }


def _hex(data: bytes) -> str:
    return f"0x{data.hex()}"
