"""Every metric of the table is fed by somebody, and counters of the links never fall or repeat."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from p2p.peers import HostCounters, PeerStatus
from sequencer.node.gauges import Gauges
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[3]


def test_no_metric_is_declared_that_nothing_feeds():
    names = [name for name, value in vars(table).items() if any(value is metric for metric in table.METRICS)]
    sources = "\n".join(path.read_text() for path in (ROOT / "sequencer").rglob("*.py") if path.name != "table.py")
    fed_elsewhere = {"PROCESS_BUILD_INFO"}  # by the metrics themselves
    assert [name for name in names if f"table.{name}" not in sources and name not in fed_elsewhere] == []


def make_gauges(tmp_path, counters, peers):
    figures = SimpleNamespace(waiting_bytes=1_500, oldest_age_ms=250)
    stand_ins: dict[str, Any] = {
        "mempool": SimpleNamespace(
            namespaces=(1, 2), waiting_count=6, waiting_bytes=3_000, figures=lambda namespace, now: figures
        ),
        "lanes": SimpleNamespace(lanes=SimpleNamespace(uncommitted_bytes=lambda: (7, 0))),
        "host": SimpleNamespace(counters=counters, peers=lambda: peers),
    }
    metrics = Metrics("test")
    return metrics, Gauges(metrics=metrics, stores={"chain": tmp_path}, **stand_ins)


def status(bytes_in, bytes_out):
    return PeerStatus(1, True, 0.0, bytes_in, bytes_out, 40, 2.5, 0, None)


async def test_what_waits_and_what_the_links_counted(tmp_path):
    counters, peers = HostCounters(), [status(100, 10)]
    metrics, gauges = make_gauges(tmp_path, counters, peers)
    counters.frames_in[2] = 5
    counters.frames_out[254], counters.frames_out[255] = 2, 4  # kinds of the links themselves
    counters.dials, counters.dials_failed["timeout"] = 3, 1
    gauges.read()
    gauges.read()
    assert metrics.value(table.MEMPOOL_QUEUED) == 6
    assert metrics.value(table.MEMPOOL_QUEUED_BYTES) == 3_000
    assert metrics.value(table.MEMPOOL_NAMESPACE_BYTES, "2") == 1_500
    assert metrics.value(table.MEMPOOL_OLDEST, "1") == 0.25
    assert metrics.value(table.LANES_UNCOMMITTED_BYTES, "0") == 7
    assert metrics.value(table.P2P_FRAMES, "received", "vote") == 5
    assert metrics.value(table.P2P_FRAMES, "sent", "link") == 6
    assert metrics.value(table.P2P_DIALS, "connected") == 2
    assert metrics.value(table.P2P_BYTES, "received") == 100
    assert metrics.value(table.P2P_ROUND_TRIP, "1") == 0.0025

    peers[0] = status(160, 10)
    counters.frames_in[2] = 6
    gauges.read()
    assert metrics.value(table.P2P_FRAMES, "received", "vote") == 6
    assert metrics.value(table.P2P_BYTES, "received") == 160


async def test_the_disk_is_measured(tmp_path, nursery, autojump_clock):
    (tmp_path / "one").write_bytes(bytes(100))
    (tmp_path / "two").write_bytes(bytes(50))
    metrics, gauges = make_gauges(tmp_path, HostCounters(), [])
    await gauges._read_disk()
    assert metrics.value(table.STORAGE_DISK_BYTES, "chain") == 150
