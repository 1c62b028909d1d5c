"""`sequencer tx`: send a transaction and see where it stands."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sequencer.cli.errors import UsageFault
from sequencer.cli.options import HomeOption, JsonOption, UrlOption, read_namespace_id
from sequencer.cli.output import print_fields, print_json, print_text, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consensus.numbers import Hash
    from consensus.vocabulary.receipt import Receipt
    from sequencer.cli.connection import Node
    from sequencer.client.client import SequencerClient
    from sequencer.client.status import Status, TransactionStatus

app = typer.Typer(help="Transactions.", no_args_is_help=True, rich_markup_mode=None)

RUNGS = ("received", "ordered", "final", "attested", "posted", "settled")
_DATA_BYTES_MAX = 1024 * 1024  # the longest transaction that any genesis may allow

HashArgument = Annotated[str, typer.Argument(metavar="HASH", help="The transaction's hash, 0x and 64 hex digits.")]
TimeoutOption = Annotated[
    int | None,
    typer.Option(
        "--timeout-ms",
        min=1,
        metavar="MS",
        help="How long to wait, in milliseconds. 10,000; for posted and settled 1,200,000, since an L1 takes its time.",
    ),
]
_TIMEOUT_MS, _L1_TIMEOUT_MS = 10_000, 1_200_000


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
    timeout_ms: TimeoutOption = None,
    url: UrlOption = None,
    also: Annotated[
        list[str] | None,
        typer.Option("--also", metavar="URL", help="Send a copy through this node, too; may be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Send a transaction; prints its hash once the node, or one of several, has signed a receipt."""
    from sequencer.cli.connection import ask, find_node
    from sequencer.client.fields import to_hex
    from sequencer.client.wire import receipt_to_json

    namespace_id, payload = read_namespace_id(namespace), _read_payload(data, text, file)
    rung = None if wait_for is None else _read_rung(wait_for)
    node, others = find_node(url, home), _read_others(also or [])

    async def submit(client: "SequencerClient") -> "tuple[Receipt, ...]":
        if not others:
            return (await client.send(namespace_id, payload),)
        sent = await client.send_copies(namespace_id, payload, 1 + len(others))
        for failure in sent.failures:
            say(f"a node has not taken it: {failure}")
        return sent.receipts

    receipts = ask(node, submit, others)
    hash = receipts[0].items[0].hash
    if rung is not None:
        _wait(node, hash, rung, timeout_ms, as_json, receipts[0], others)
    elif as_json:
        shown = [receipt_to_json(receipt) for receipt in receipts]
        print_json({"hash": to_hex(hash), "receipt": shown[0], **({"receipts": shown} if others else {})})
    else:
        for receipt in receipts:
            say(f"received by validator {receipt.lane}, in batch {receipt.seq} of its lane")
        print_text(to_hex(hash))


@app.command("status")
def status(hash: HashArgument, home: HomeOption, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Print where a transaction stands."""
    from sequencer.cli.connection import ask, find_node

    wanted = _read_hash(hash)
    _print_status(ask(find_node(url, home), lambda client: client.status(wanted)), as_json)


@app.command("wait")
def wait(
    hash: HashArgument,
    home: HomeOption,
    wanted: Annotated[str, typer.Option("--status", metavar="STATUS", help=f"One of {', '.join(RUNGS)}.")] = "final",
    timeout_ms: TimeoutOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait until a transaction has reached a status; exit code 1 if it has not in time."""
    from sequencer.cli.connection import find_node

    transaction, rung = _read_hash(hash), _read_rung(wanted)
    _wait(find_node(url, home), transaction, rung, timeout_ms, as_json)


def _read_others(urls: list[str]) -> list[str]:
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise UsageFault(f"--also {url}: an address starts with http:// or https://")
    return urls


def _read_hash(text: str) -> "Hash":
    from consensus.numbers import Hash

    digits = text.removeprefix("0x")
    if len(digits) != 64 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise UsageFault(f"{text} is no hash: 0x and 64 hex digits")
    return Hash(bytes.fromhex(digits))


def _read_payload(data: str | None, text: str | None, file: Path | None) -> bytes:
    if sum(source is not None for source in (data, text, file)) != 1:
        raise UsageFault("one of DATA, --text and --file is wanted")
    if text is not None:
        return text.encode()
    if data is not None and data != "-":
        return _read_hex(data)
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


def _read_hex(data: str) -> bytes:
    try:
        if data.startswith("0x"):
            return bytes.fromhex(data[2:])
    except ValueError:
        pass
    raise UsageFault(f"DATA is 0x and an even number of hex digits; for text use: --text {data[:32]!r}")


def _read_rung(wanted: str) -> "Status":
    from sequencer.client.status import Status

    if wanted not in RUNGS:
        raise UsageFault(f"{wanted} is no status to wait for: {', '.join(RUNGS)}")
    return Status(wanted)


def _wait(
    node: "Node",
    hash: "Hash",
    wanted: "Status",
    timeout_ms: int | None,
    as_json: bool,
    receipt: "Receipt | None" = None,
    others: "Sequence[str]" = (),
) -> None:
    """With a receipt any node of the chain can be asked."""
    from sequencer.cli.connection import ask
    from sequencer.client.errors import StatusNotReached

    is_on_l1 = wanted.value in {"posted", "settled"}
    if timeout_ms is None:
        timeout_ms = _L1_TIMEOUT_MS if is_on_l1 else _TIMEOUT_MS
    if is_on_l1:
        say(f"waiting until it is {wanted.value}, for {timeout_ms / 1_000:g} s at most")
    timeout_s = timeout_ms / 1_000

    async def question(client: "SequencerClient") -> None:
        try:
            _print_status(await client.wait(hash, wanted, timeout_s, receipt), as_json)
        except StatusNotReached:
            _print_status(await client.status(hash, receipt), as_json)
            raise

    ask(node, question, others)


def _print_status(found: "TransactionStatus", as_json: bool) -> None:
    from sequencer.client.status import status_to_json

    fields = status_to_json(found)
    if as_json:
        print_json(fields)
    else:
        # The receipt is for programs, and what is not known yet is not worth a line.
        print_fields({name: value for name, value in fields.items() if value is not None and name != "receipt"})
