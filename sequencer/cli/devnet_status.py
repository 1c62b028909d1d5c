"""What a devnet shows while it runs: a figure line made from the validators' metrics.

Responsible for: reading the metrics page and readiness of a validator, and wording them.
Refuses to do: judge the network; it shows what one validator says.
"""

import re
from dataclasses import dataclass

import httpx

from sequencer.telemetry import table

_SAMPLE = re.compile(r"^(?P<name>[a-z_]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>[0-9.eE+-]+)$", re.MULTILINE)
_REQUEST_TIMEOUT_S = 2.0
_REASON_LENGTH_MAX = 120


@dataclass(frozen=True, slots=True)
class Figures:
    """One reading of a validator."""

    final_height: int
    attested_height: int
    transactions: int
    peers: int


def new_client() -> httpx.AsyncClient:
    """A client for the validators on this machine: no proxy, short patience."""
    return httpx.AsyncClient(timeout=_REQUEST_TIMEOUT_S, trust_env=False)


async def fetch_readiness(client: httpx.AsyncClient, rpc_url: str) -> tuple[bool, str]:
    """Whether a validator is ready, and in a few words why not."""
    try:
        answer = await client.get(f"{rpc_url}/readyz")
    except httpx.HTTPError:
        return False, "not listening yet"
    if answer.is_success:
        return True, "ready"
    text = " ".join(answer.text.split())
    return False, text[:_REASON_LENGTH_MAX] or f"HTTP {answer.status_code}"


async def fetch_figures(client: httpx.AsyncClient, metrics_url: str) -> Figures | None:
    """Reads a validator's metrics page; `None` if it does not answer."""
    try:
        answer = await client.get(metrics_url)
    except httpx.HTTPError:
        return None
    return read_figures(answer.text) if answer.is_success else None


def read_figures(page: str) -> Figures:
    """The figures on a metrics page; what is not there counts as 0."""
    samples = {(match["name"], match["labels"] or ""): float(match["value"]) for match in _SAMPLE.finditer(page)}
    return Figures(
        final_height=int(samples.get((table.CONSENSUS_HEIGHT.name, 'status="final"'), 0)),
        attested_height=int(samples.get((table.ATTESTING_HEIGHT.name, ""), 0)),
        transactions=int(samples.get((table.EXECUTION_TRANSACTIONS.name, ""), 0)),
        peers=int(samples.get((table.P2P_PEERS.name, ""), 0)),
    )


def status_line(now: Figures, before: Figures | None, elapsed_s: float, running: int, count: int) -> str:
    """One line: height, transactions since the start, and both rates since `before`."""
    parts = [f"height {now.final_height:,}", f"attested {now.attested_height:,}", f"{now.transactions:,} tx"]
    if before is not None and elapsed_s > 0:
        # A validator that was restarted counts from zero again.
        blocks, transactions = now.final_height - before.final_height, now.transactions - before.transactions
        parts.append(f"{max(0, blocks) / elapsed_s:.1f} blocks/s")
        parts.append(f"{max(0, transactions) / elapsed_s:,.0f} tx/s")
    parts.append(f"{running} of {count} validators running")
    return " · ".join(parts)
