"""Options that several commands share, and how their text is read."""

import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sequencer.cli.errors import UsageFault

if TYPE_CHECKING:
    from consensus.numbers import NamespaceId


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
