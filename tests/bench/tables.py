"""Tables of figures, and what stands in their rows.

Responsible for: aligned text for a terminal, and the form that is saved.
Refuses to do: measure or draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bench.measuring import Measured

NOTHING = "–"


@dataclass(frozen=True)
class Table:
    """Cells are text, numbers or None; `note` says what to read them with."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]] = field(default_factory=list)
    note: str = ""

    def text(self) -> str:
        """Aligned: the first column to the left, the others to the right."""
        cells = [list(self.columns), *([cell_text(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[place]) for row in cells) for place in range(len(self.columns))]
        lines = [
            "  ".join(
                cell.rjust(width) if place else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        return "\n".join([self.title, *(f"  {line}" for line in lines), *([f"  {self.note}"] if self.note else [])])

    def to_json(self) -> dict[str, Any]:
        """For `summary.json`."""
        return {
            "title": self.title,
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
            "note": self.note,
        }


def cell_text(cell: Any) -> str:
    """Numbers with three digits that count."""
    if cell is None:
        return NOTHING
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.1f}" if abs(cell) >= 1 else f"{cell:.2g}"
    return str(cell)


LOAD_COLUMNS = (
    "offered tx/s", "final tx/s", "received p50", "p99", "ordered p50", "p99", "final p50", "p99", "lost %",
    "CPU ms / 1,000 tx", "MiB max",
)  # fmt: skip


def load_cells(measured: Measured) -> list[Any]:
    """One row of `LOAD_COLUMNS`."""
    latency = measured.client["latency_ms"]
    times = [latency[rung][share] for rung in ("received", "ordered", "final") for share in ("p50", "p99")]
    return [
        measured.client["offered_tx_per_s"],
        measured.spent.final_tx_per_s,
        *times,
        100 * measured.lost_share,
        measured.spent.cpu_ms_per_1000,
        max((node.resident_mib_max for node in measured.spent.nodes), default=None),
    ]


def latency_table(title: str, latency_ms: dict[str, dict[str, float | None]]) -> Table:
    """Of one measurement."""
    columns = ("n", "p50", "p90", "p99", "p999", "max")
    rows = [[rung, *(found[name] for name in columns)] for rung, found in latency_ms.items()]
    return Table(title, ("ms", *columns), rows)


def usage_table(measured: Measured) -> Table:
    """What each validator used."""
    columns = ("validator", "CPU %", "CPU µs/tx", "disk B/tx", "sent B/tx", "received B/tx", "MiB max")
    rows = [
        [
            str(node.validator), node.cpu_percent, node.cpu_us, node.disk_bytes, node.sent_bytes, node.received_bytes,
            node.resident_mib_max,
        ]
        for node in measured.spent.nodes
    ]  # fmt: skip
    return Table("per validator", columns, rows, "per transaction of the whole network; frames before encryption")


def lost_words(measured: Measured) -> str:
    """What did not go through."""
    client = measured.client
    words = [f"{what} {count:,}" for what, count in client["lost"].items() if count]
    words += [f"refused as {reason} {count:,}" for reason, count in client["refused"].items()]
    return ", ".join(words) or "nothing was refused or lost"
