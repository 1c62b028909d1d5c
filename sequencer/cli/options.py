"""Options that several commands share, and how their text is read."""

import tomllib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sequencer.cli.errors import UsageFault

if TYPE_CHECKING:
    from consensus.namespace_terms import NamespaceTerms
    from consensus.numbers import NamespaceId

_NUMBER_DIGITS_MAX = 18


def _default_home() -> Path:
    return Path("~/.sequencer").expanduser()


HomeOption = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar="SEQUENCER_HOME",
        help="Directory of the node's configuration, keys and data.",
        default_factory=_default_home,
        show_default="~/.sequencer",
    ),
]
L1DataOption = Annotated[
    str | None,
    typer.Option(
        "--l1-data",
        metavar="prefer|require|held",
        help="Where data goes: to the L1 while it fits (prefer), always (require), or only its hash (held).",
    ),
]
TermsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--terms",
        metavar="ID:TERM=NUMBER[,…]",
        help="What a rollup may use at each validator: bytes_per_s, tx_per_s, queue_bytes, queue_tx, share_permille. "
        "May be repeated; without it nothing bounds it in practice.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="SEQUENCER_URL",
        help="RPC address of a node, such as http://127.0.0.1:8645; without it, that of the node in --home.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.OPTION=VALUE", help="Set any configuration option; may be repeated."),
]
PresetOption = Annotated[
    str | None, typer.Option("--preset", metavar="NAME", help="Defaults to start from: default, lan or devnet.")
]


def read_settings(preset: str | None, entries: list[str] | None) -> dict[str, Any]:
    """`--preset` and `--set` as a map from option to value. A value is read as TOML, or else as plain text."""
    values: dict[str, Any] = {} if preset is None else {"preset": preset}
    for entry in entries or []:
        name, equals, text = entry.partition("=")
        if not equals or not name:
            raise UsageFault(f"--set {entry}: SECTION.OPTION=VALUE is wanted")
        try:
            values[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[name] = text
    return values


def read_l1_data(word: str) -> int:
    """The genesis parameter that a word stands for. Raises `UsageFault`."""
    from sequencer.keys.genesis_file import L1_DATA_NAMES

    if word not in L1_DATA_NAMES:
        raise UsageFault(f"--l1-data {word}: one of {', '.join(L1_DATA_NAMES)}")
    return L1_DATA_NAMES.index(word)


def read_namespace(text: str) -> tuple[int, str]:
    """`id:name` of a namespace. Raises `UsageFault`."""
    number, colon, name = text.partition(":")
    if not colon or not name or not (number.isascii() and number.isdigit()):
        raise UsageFault(f"--namespace {text}: ID:NAME is wanted, such as 1001:alpha")
    return int(number), name


def read_terms(entries: list[str] | None, known: Iterable[int]) -> "dict[int, NamespaceTerms]":
    """The terms of `--terms` by namespace, each of which is in `known`. Raises `UsageFault` with every fault found."""
    from consensus.namespace_terms import NamespaceTerms
    from sequencer.keys.genesis_file import TERM_COMMENTS

    found: dict[int, dict[str, int]] = {}
    faults, ids = [], set(known)
    for entry in entries or []:
        number, _, text = entry.partition(":")
        if not (number.isascii() and number.isdigit() and int(number) in ids):
            faults.append(f"--terms {entry}: {number or 'nothing'} is not the id of a --namespace")
            continue
        for term in text.split(","):
            name, _, value = term.partition("=")
            if name not in TERM_COMMENTS:
                faults.append(f"--terms {entry}: {name or 'nothing'} is none of {', '.join(TERM_COMMENTS)}")
            elif not (value.isascii() and value.isdigit() and len(value) <= _NUMBER_DIGITS_MAX):
                faults.append(f"--terms {entry}: {name} is a whole number")
            else:
                found.setdefault(int(number), {})[name] = int(value)
    if faults:
        raise UsageFault("\n".join(faults))
    return {number: NamespaceTerms(**values) for number, values in found.items()}


def read_namespace_id(text: str) -> "NamespaceId":
    """A namespace's id, as a number or `0x` hex. Raises `UsageFault`."""
    from consensus.numbers import NamespaceId

    digits, base = (text[2:], 16) if text.startswith("0x") else (text, 10)
    if digits.isascii() and digits.isalnum():
        with suppress(ValueError):
            number = int(digits, base)
            if number < 2**64:
                return NamespaceId(number)
    raise UsageFault(f"{text} is no namespace id: a number, or 0x and hex digits, below 2^64")
