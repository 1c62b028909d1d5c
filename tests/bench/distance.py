"""What distance costs: validators on hosts of their own with long lines, and the price of decentralisation.

Responsible for: the table of n by one-way delay, milliseconds to `ordered` and `final` of an idle network.
Refuses to do: measure throughput over emulated lines: the switch between the hosts is a thread of Python (ADR 16).
The load generator is a host of its own that is near every validator: only lines between validators are long.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.bench.measuring import measure_idle
from tests.bench.networks import Shape, running
from tests.bench.records import Result
from tests.bench.tables import Table

COUNTS = (1, 4, 7, 10)
DELAYS_MS = (0.0, 10.0, 50.0)


async def price(
    result: Result,
    shape: Shape,
    counts: Sequence[int],
    delays_ms: Sequence[float],
    transactions: int,
    directory: Path | None,
) -> None:
    """One network per cell; `shape` gives jitter and loss, which count where there is a delay."""
    rows: list[list[Any]] = []
    for count in counts:
        for delay_ms in delays_ms if count > 1 else delays_ms[:1]:
            print(f"{count} validators, {delay_ms:g} ms one way", file=sys.stderr)
            far = shape if delay_ms else replace(shape, jitter_ms=0.0, loss=0.0)
            async with running(replace(far, validators=count, delay_ms=delay_ms, on_hosts=True), directory) as network:
                record = await measure_idle(network, transactions)
            found = record.percentiles_ms()
            label = f"{count} × {delay_ms:g} ms"
            cells = [found[rung][share] for rung in ("ordered", "final") for share in ("p50", "p99")]
            final_ms = found["final"]["p50"]
            delays = final_ms / delay_ms if final_ms is not None and delay_ms else None
            rows.append([label, found["received"]["p50"], *cells, delays])
            result.figures[f"{label}: ordered p50 ms"] = found["ordered"]["p50"]
            result.figures[f"{label}: final p50 ms"] = final_ms
            result.raw[f"{count}-validators-{delay_ms:g}-ms"] = record.to_json()
    note = f"one transaction at a time; jitter up to {shape.jitter_ms:g} ms, {100 * shape.loss:g}% of packets lost"
    columns = ("n × one-way delay", "received p50", "ordered p50", "p99", "final p50", "p99", "final in delays")
    result.show(Table("the price of decentralisation (ms)", columns, rows, note))
