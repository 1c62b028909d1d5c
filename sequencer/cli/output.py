"""What commands print: data on standard output, talk on standard error.

Invariants:
1. Standard output holds nothing but what was asked for, so that it can be piped.
2. JSON is one document per command, or one per line for a command that goes on.
3. Text that came from a node is shown without control characters: it cannot move a terminal's cursor.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def say(message: str) -> None:
    """One line for the person at the terminal."""
    print(message, file=sys.stderr, flush=True)


def print_json(value: Any, *, on_one_line: bool = False) -> None:
    """One JSON document."""
    print(json_line(value) if on_one_line else json.dumps(value, indent=2), flush=True)


def json_line(value: Any) -> str:
    """One JSON document on one line, without its end."""
    return json.dumps(value)


def print_text(text: str) -> None:
    """Text that is the command's result, as it is."""
    print(text, flush=True)


def print_fields(fields: Mapping[str, Any]) -> None:
    """One `name  value` line per field, aligned."""
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        print(f"{name:<{width}}  {printable(value)}", flush=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """An aligned table under its column names."""
    table = [list(columns), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(columns))]
    for row in table:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip(), flush=True)


def printable(value: Any) -> str:
    """`value` as text without control characters; nothing is a dash."""
    if value is None:
        return "-"
    if isinstance(value, dict | list):
        value = json.dumps(value)
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in str(value))
