"""`sequencer evidence`: proofs that a validator broke the rules."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sequencer.cli.errors import CommandError, UsageFault
from sequencer.cli.options import HomeOption, JsonOption, UrlOption
from sequencer.cli.output import print_fields, print_json, print_table

if TYPE_CHECKING:
    from consensus.evidence.check import Offence
    from consensus.genesis import Genesis
    from sequencer.client.client import SequencerClient
    from sequencer.client.evidence_views import EvidenceView

FILE_BYTES_MAX = 256 * 1024 * 1024

app = typer.Typer(help="Proofs of validators' faults.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_evidence(home: HomeOption, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the proofs that a node keeps. With --json they come with the proofs, as `verify` reads them."""
    from sequencer.cli.connection import ask, find_node
    from sequencer.client.evidence_views import evidence_to_json

    async def fetch(client: "SequencerClient") -> "list[EvidenceView]":
        found: list[EvidenceView] = []
        while page := await client.evidence(found[-1].offence.encode() if found else b""):
            found.extend(page)
        return found

    found = ask(find_node(url, home), fetch)
    if as_json:
        print_json([evidence_to_json(evidence) for evidence in found])
        return
    rows = [
        ["0x" + evidence.offence.encode().hex(), *_columns(evidence.offence), str(len(evidence.proof))]
        for evidence in found
    ]
    print_table(["ID", "RULE", "VALIDATOR", "AT", "SLASHABLE", "BYTES"], rows)


@app.command("show")
def show(
    home: HomeOption,
    offence: Annotated[str, typer.Argument(metavar="ID", help="An offence's id, as `list` shows it.")],
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one offence. With --json it comes with its proof, as `verify` reads it."""
    from sequencer.cli.connection import ask, find_node
    from sequencer.client.evidence_views import evidence_to_json

    wanted = _read_offence(offence)
    found = ask(find_node(url, home), lambda client: client.evidence_of(wanted))
    if found is None:
        raise CommandError(f"this node keeps no proof of {wanted}")
    fields = evidence_to_json(found)
    if as_json:
        print_json(fields)
    else:
        del fields["proof"]
        print_fields({**fields, "bytes": len(found.proof)})


@app.command("verify")
def verify(
    home: HomeOption,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="What `list --json` or `show --json` prints, or a proof in hex; - is standard input."
        ),
    ] = "-",
    genesis: Annotated[
        Path | None, typer.Option("--genesis", metavar="FILE", help="The chain's genesis; by default the home's.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Judge proofs by the genesis alone: whom each convicts of what. Ends with 1 if one of them proves nothing."""
    from sequencer.keys.genesis_file import load_genesis

    chain = load_genesis(genesis or home / "config" / "genesis.toml")
    judged = [_judge(proof, chain) for proof in _read_proofs(file)]
    if as_json:
        print_json([_to_json(offence, why) for offence, why in judged])
    else:
        rows = [[*_columns(offence), why] for offence, why in judged]
        print_table(["RULE", "VALIDATOR", "AT", "SLASHABLE", "WHY NOT"], rows)
    false_count = sum(offence is None for offence, _ in judged)
    if false_count:
        raise CommandError(f"{false_count} of {len(judged)} proofs convict nobody")


def _read_offence(text: str) -> "Offence":
    from consensus.errors import DecodeError
    from consensus.evidence.check import Offence

    try:
        return Offence.decode(_from_hex(text))
    except (ValueError, DecodeError) as error:
        raise UsageFault(f"{text} is no offence: give the id that `evidence list` shows") from error


def _columns(offence: "Offence | None") -> list[str]:
    if offence is None:
        return ["-", "-", "-", "-"]
    return [f"E{offence.rule}", str(offence.validator), str(offence.place), "yes" if offence.is_slashable else "no"]


def _judge(proof: bytes, chain: "Genesis") -> "tuple[Offence | None, str]":
    from consensus.errors import InvalidObject
    from consensus.evidence.check import check_proof
    from consensus.evidence.proofs import decode_proof

    try:
        return check_proof(decode_proof(proof, chain.validator_set.count), chain), ""
    except InvalidObject as fault:
        return None, str(fault)


def _to_json(offence: "Offence | None", why: str) -> dict[str, Any]:
    from sequencer.client.evidence_views import offence_to_json

    if offence is None:
        return {"rule": None, "validator": None, "place": None, "slashable": None, "why_not": why}
    return {**offence_to_json(offence), "why_not": None}


def _read_proofs(file: str) -> list[bytes]:
    try:
        if file == "-":
            text = sys.stdin.read(FILE_BYTES_MAX + 1)
        else:
            with Path(file).open(encoding="ascii") as opened:
                text = opened.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        raise UsageFault(f"{file} cannot be read: {error}") from error
    if len(text) > FILE_BYTES_MAX:
        raise UsageFault(f"{file} has more than {FILE_BYTES_MAX} bytes")
    text = text.strip()
    try:
        if not text.startswith(("[", "{")):
            return [_from_hex(text)]
        told = json.loads(text)
        return [_from_hex(entry["proof"]) for entry in (told if isinstance(told, list) else [told])]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageFault(f"{file} holds neither what `evidence list --json` prints nor a proof in hex") from error


def _from_hex(text: object) -> bytes:
    if not isinstance(text, str):
        raise TypeError("a proof is a hex string")
    return bytes.fromhex(text.removeprefix("0x"))
