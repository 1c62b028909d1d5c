"""What a run of a benchmark leaves behind, and the comparison with the run before it.

Responsible for: `Result`, its folder under .bench/, finding the newest earlier run of the same kind, ratios.
Refuses to do: measure, or judge a ratio: a machine may have been busier.

Invariants:
1. A run is compared only with one that was asked for in the same words: the same kind, the same options.
2. `summary.json` is written last: a folder without it is a run that did not end.
"""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.plots import Plot
from tests.bench.tables import Table

RESULTS = Path(".bench")
SUMMARY_NAME = "summary.json"


@dataclass
class Result:
    """`figures`: those that a later run is compared by. `failures`: properties that did not hold."""

    kind: str
    options: Mapping[str, Any]
    tables: list[Table] = field(default_factory=list)
    figures: dict[str, float | None] = field(default_factory=dict)
    plots: list[Plot] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def show(self, table: Table) -> None:
        """Prints a table and keeps it."""
        print(f"\n{table.text()}", flush=True)
        self.tables.append(table)


@dataclass(frozen=True)
class Earlier:
    """A recorded run."""

    name: str
    figures: Mapping[str, float | None]


def find_earlier(root: Path, kind: str, options: Mapping[str, Any]) -> Earlier | None:
    """The newest run of this kind with these options."""
    wanted = json.loads(json.dumps(dict(options)))
    for path in sorted(root.glob(f"*/{SUMMARY_NAME}"), reverse=True):
        found = _load(path)
        if found.get("kind") == kind and found.get("options") == wanted:
            return Earlier(path.parent.name, found.get("figures", {}))
    return None


def _load(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def comparison(figures: Mapping[str, float | None], earlier: Earlier) -> Table:
    """New and old side by side; a ratio where both are above zero."""
    rows: list[Sequence[Any]] = []
    for name, new in figures.items():
        old = earlier.figures.get(name)
        rows.append([name, new, old, new / old if new and old else None])
    note = "new ÷ old; the machine may have been busier or quieter"
    return Table(f"compared with {earlier.name}", ("figure", "new", "old", "ratio"), rows, note)


def machine(directory: Path) -> dict[str, Any]:
    """What the figures depend on and no option says."""
    return {
        "cores": os.cpu_count(),
        "load_before": list(os.getloadavg()),
        "python": platform.python_version(),
        "system": platform.platform(),
        "homes_on": filesystem_of(directory),
    }


def filesystem_of(directory: Path) -> str:
    """Its type: a sync costs nothing on tmpfs."""
    wanted = directory.resolve()
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mounted_on, kind, *_ = line.split()
        if wanted.is_relative_to(mounted_on) and len(mounted_on) > len(best[0]):
            best = (mounted_on, kind)
    return best[1]


def new_folder(root: Path, kind: str) -> Path:
    """Of a run that begins now."""
    folder = root / f"{datetime.now(UTC).strftime('%Y-%m-%dT%H-%M-%SZ')}-{kind}"
    folder.mkdir(parents=True)
    return folder


def save(folder: Path, result: Result, conditions: Mapping[str, Any]) -> None:
    """Raw data first, the summary last."""
    for name, raw in result.raw.items():
        (folder / f"{name}.json").write_text(json.dumps(raw))
    summary = {
        "kind": result.kind,
        "options": dict(result.options),
        "machine": dict(conditions),
        "figures": result.figures,
        "failures": result.failures,
        "tables": [table.to_json() for table in result.tables],
    }
    (folder / SUMMARY_NAME).write_text(json.dumps(summary, indent=2) + "\n")
