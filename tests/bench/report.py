"""One page of HTML that holds everything of a run: conditions, tables, plots. It refers to no other file.

Responsible for: the page.
Refuses to do: run scripts in the reader's browser, or say what is not in the result.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tests.bench.records import Result
from tests.bench.tables import Table, cell_text

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: .5em 0 }
th, td { padding: .2em .7em; border-bottom: 1px solid #ddd; text-align: right; font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left }
img { max-width: 100% }
.note { color: #666 } .failed { color: #a00 }
"""


def page(result: Result, conditions: Mapping[str, Any], pictures: Sequence[tuple[str, bytes]]) -> str:
    """`pictures`: titles and PNGs."""
    title = f"Benchmark: {result.kind}"
    parts = [f"<h1>{escape(title)}</h1>"]
    parts += [f'<p class="failed">{escape(failure)}</p>' for failure in result.failures]
    parts += [_table(table) for table in result.tables]
    parts += [
        f'<h2>{escape(words)}</h2><img alt="{escape(words)}" src="data:image/png;base64,{b64encode(png).decode()}">'
        for words, png in pictures
    ]
    if len(pictures) < len(result.plots):
        parts.append('<p class="note">No plots: matplotlib is not installed.</p>')
    parts.append(_table(Table("Conditions", ("", ""), [[name, str(value)] for name, value in conditions.items()])))
    asked = [[name, str(value)] for name, value in result.options.items()]
    parts.append(_table(Table("Options", ("", ""), asked)))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell_text(cell))}</td>' for cell in row)}</tr>" for row in table.rows)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return f"<h2>{escape(table.title)}</h2><table><tr>{head}</tr>{rows}</table>{note}"
