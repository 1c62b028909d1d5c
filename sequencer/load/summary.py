"""What a load's record says, in figures and in lines for a terminal.

Responsible for: rates and percentiles after the warm-up, and their wording.
Refuses to do: judge, or print.
"""

from typing import Any

from sequencer.load.plan import LoadPlan
from sequencer.load.record import RUNGS, LoadRecord

_LOST = ("unsent", "failed", "refused", "unresolved", "unfollowed", "moved")
_COLUMNS = ("n", "p50", "p90", "p99", "p999", "max")


def summarize(plan: LoadPlan, record: LoadRecord) -> dict[str, Any]:
    """Rates in transactions per second and latencies in ms after the warm-up; what was lost counts over the whole run.

    `followed_final_tx_per_s` counts only what was followed.
    """
    seconds = plan.seconds - plan.warm_up_s
    counted = record.counted
    return {
        "offered_tx_per_s": counted["due"] / seconds,
        "received_tx_per_s": counted["received"] / seconds,
        "followed_final_tx_per_s": counted["final"] / seconds,
        "latency_ms": record.percentiles_ms(),
        "lost": {what: record.total[what] for what in _LOST},
        "refused": dict(record.refused),
        "failed_requests": dict(record.failed),
    }


def lines(summary: dict[str, Any]) -> list[str]:
    """For a terminal."""
    found = [f"{'ms':<10}" + "".join(f"{name:>10}" for name in _COLUMNS)]
    for rung in RUNGS:
        row = summary["latency_ms"][rung]
        cells = ["–" if row[name] is None else f"{row[name]:,.{0 if name == 'n' else 1}f}" for name in _COLUMNS]
        found.append(f"{rung:<10}" + "".join(f"{cell:>10}" for cell in cells))
    found.append(
        f"offered {summary['offered_tx_per_s']:,.0f} tx/s, received {summary['received_tx_per_s']:,.0f} tx/s, "
        f"final (of those followed) {summary['followed_final_tx_per_s']:,.0f} tx/s"
    )
    words = [f"{what} {count:,}" for what, count in summary["lost"].items() if count]
    words += [f"refused as {reason} {count:,}" for reason, count in summary["refused"].items()]
    words += [f"requests {kind} {count:,}" for kind, count in summary["failed_requests"].items()]
    found.append("transactions " + (", ".join(words) if words else "all received, none refused or lost"))
    return found
