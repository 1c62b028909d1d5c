"""`sequencer tx`: send a transaction and see where it stands."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sequencer.cli.errors import CommandError, UsageFault
from sequencer.cli.options import HomeOption, JsonOption, UrlOption
from sequencer.cli.output import print_fields, print_json, print_text, say

app = typer.Typer(help="Transactions.", no_args_is_help=True, rich_markup_mode=None)

RUNGS = ("received", "ordered", "final", "attested", "posted", "settled")
_DATA_BYTES_MAX = 1024 * 1024  # the longest transaction that any genesis may allow

HashArgument = Annotated[str, typer.Argument(metavar="HASH", help="The transaction's hash, 0x and 64 hex digits.")]
TimeoutOption = Annotated[
    int, typer.Option("--timeout-ms", min=1, metavar="MS", help="How long to wait, in milliseconds.")
]


@app.command("send")
def send(  # noqa: PLR0913, PLR0917 (options of a command line)
    namespace: Annotated[str, typer.Argument(metavar="NAMESPACE", help="Id of the rollup, a number or 0x hex.")],
    home: HomeOption,
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="The bytes as 0x hex; - for stdin.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="The bytes as text, instead of DATA.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A file with the bytes, instead of DATA.")] = None,
    wait_for: Annotated[
        str | None, typer.Option("--wait", metavar="STATUS", help=f"Wait until it is {', '.join(RUNGS[1:4])} …")
    ] = None,
    timeout_ms: TimeoutOption = 10_000,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a transaction; prints its hash once the node has signed a receipt."""
    from sequencer.cli.connection import call, node_url

    payload = _read_payload(data, text, file)
    if wait_for is not None:
        _require_rung(wait_for)
    address = node_url(url, home)
    answer = call(address, "seq_sendTransaction", namespace=read_namespace_id(namespace), data=f"0x{payload.hex()}")
    if wait_for is not None:
        _wait(address, str(answer["hash"]), wait_for, timeout_ms, as_json)
    elif as_json:
        print_json(answer)
    else:
        receipt = answer["receipt"]
        say(f"received by validator {receipt['lane']} in batch {receipt['seq']} of its lane")
        print_text(str(answer["hash"]))


@app.command("status")
def status(hash: HashArgument, home: HomeOption, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Print where a transaction stands."""
    from sequencer.cli.connection import call, node_url

    _print_status(call(node_url(url, home), "seq_getTransactionStatus", hash=read_hash(hash)), as_json)


@app.command("wait")
def wait(
    hash: HashArgument,
    home: HomeOption,
    wanted: Annotated[str, typer.Option("--status", metavar="STATUS", help=f"One of {', '.join(RUNGS)}.")] = "final",
    timeout_ms: TimeoutOption = 10_000,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait until a transaction has reached a status; exit code 1 if it has not in time."""
    from sequencer.cli.connection import node_url

    _require_rung(wanted)
    _wait(node_url(url, home), read_hash(hash), wanted, timeout_ms, as_json)


def read_namespace_id(text: str) -> int | str:
    """A namespace as a request takes it. Raises `UsageFault`."""
    if text.isascii() and text.isdigit():
        number = int(text)
    else:
        try:
            number = int(text.removeprefix("0x"), 16) if text.startswith("0x") else -1
        except ValueError:
            number = -1
    if not 0 <= number < 2**64:
        raise UsageFault(f"{text} is no namespace id: a number, or 0x and hex digits")
    return number if number < 2**53 else hex(number)


def read_hash(text: str) -> str:
    """A hash as a request takes it. Raises `UsageFault`."""
    digits = text.removeprefix("0x")
    if len(digits) != 64 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise UsageFault(f"{text} is no hash: 0x and 64 hex digits")
    return f"0x{digits.lower()}"


def _read_payload(data: str | None, text: str | None, file: Path | None) -> bytes:
    if sum(source is not None for source in (data, text, file)) != 1:
        raise UsageFault("one of DATA, --text and --file is wanted")
    if text is not None:
        return text.encode()
    if data is not None and data != "-":
        try:
            return bytes.fromhex(data.removeprefix("0x")) if data.startswith("0x") else _no_hex(data)
        except ValueError:
            return _no_hex(data)
    try:
        if file is not None:
            with file.open("rb") as source:
                payload = source.read(_DATA_BYTES_MAX + 1)
        else:
            payload = sys.stdin.buffer.read(_DATA_BYTES_MAX + 1)
    except OSError as error:
        raise UsageFault(f"{file or 'stdin'} cannot be read: {error.strerror}") from error
    if len(payload) > _DATA_BYTES_MAX:
        raise UsageFault(f"a transaction has at most {_DATA_BYTES_MAX} bytes")
    return payload


def _no_hex(data: str) -> bytes:
    raise UsageFault(f"DATA is 0x and an even number of hex digits; for text use: --text {data[:32]!r}")


def _require_rung(wanted: str) -> None:
    if wanted not in RUNGS:
        raise UsageFault(f"{wanted} is no status to wait for: {', '.join(RUNGS)}")


def _wait(address: str, hash: str, wanted: str, timeout_ms: int, as_json: bool) -> None:
    from sequencer.cli.connection import call

    found = call(address, "seq_waitForTransaction", hash=hash, status=wanted, timeout_ms=timeout_ms)
    _print_status(found, as_json)
    reached = found.get("status")
    if reached not in RUNGS or RUNGS.index(reached) < RUNGS.index(wanted):
        raise CommandError(f"the transaction is {reached}, not {wanted}, after {timeout_ms} ms")


def _print_status(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        # The receipt is for programs, and what is not known yet is not worth a line.
        print_fields({name: value for name, value in found.items() if value is not None and name != "receipt"})
