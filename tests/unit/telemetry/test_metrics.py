"""The metrics table, its registries and its page."""

from pathlib import Path

import pytest

from sequencer.telemetry import table
from sequencer.telemetry.errors import MetricMisuse
from sequencer.telemetry.metric_types import OTHER, ROOMS, Counter, Gauge, Label
from sequencer.telemetry.metrics import Metrics
from sequencer.telemetry.reference import metrics_page

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "metrics.md"


def test_the_reference_page_is_up_to_date():
    assert PAGE.read_text() == metrics_page(), "python -m sequencer.telemetry.reference > docs/reference/metrics.md"


def test_names_are_unique_and_every_room_is_measured():
    names = [metric.name for metric in table.METRICS]
    assert len(names) == len(set(names))
    assert {name.split("_")[1] for name in names} == set(ROOMS)


@pytest.mark.parametrize(
    "declare",
    [
        lambda: Counter("sequencer_rpc_requests_count", "a counter ends in _total"),
        lambda: Gauge("sequencer_rpc_requests_total", "a gauge does not"),
        lambda: Gauge("sequencer_kitchen_pots_count", "no such room"),
        lambda: Gauge("sequencer_rpc_latency_ms", "base units only"),
        lambda: Gauge("sequencer_rpc_count", "a noun is missing"),
        lambda: Label("reason", "neither closed nor bounded"),
        lambda: Label("reason", "both", values=("a",), values_max=1),
    ],
)
def test_a_declaration_against_the_rules_is_refused(declare):
    with pytest.raises(MetricMisuse):
        declare()


def test_two_nodes_in_one_process_share_nothing():
    first, second = Metrics("1"), Metrics("1")
    first.add(table.MEMPOOL_EXPIRED, 3, "1001")
    assert first.value(table.MEMPOOL_EXPIRED, "1001") == 3
    assert second.value(table.MEMPOOL_EXPIRED, "1001") == 0


def test_a_value_outside_a_closed_label_set_counts_as_other():
    metrics = Metrics("1")
    metrics.add(table.P2P_BYTES, 5, "sideways")
    metrics.add(table.P2P_BYTES, 7, "sent")
    assert metrics.value(table.P2P_BYTES, OTHER) == 5
    assert metrics.value(table.P2P_BYTES, "sent") == 7


def test_an_open_label_stops_growing_at_its_bound():
    metrics = Metrics("1")
    bound = table.RPC_DURATION.labels[0].values_max
    for place in range(bound + 10):
        metrics.add(table.RPC_TRANSACTIONS, 1, f"method{place}")
    assert metrics.value(table.RPC_TRANSACTIONS, f"method{bound - 1}") == 1
    assert metrics.value(table.RPC_TRANSACTIONS, f"method{bound}") == 0
    assert metrics.value(table.RPC_TRANSACTIONS, OTHER) == 10


def test_a_wrong_number_of_labels_is_noticed():
    with pytest.raises(MetricMisuse):
        Metrics("1").add(table.P2P_BYTES, 1)


def test_histograms_gauges_and_the_build_stand_in_the_exposition():
    metrics = Metrics("1.2.3")
    metrics.observe(table.STORAGE_SYNC, 0.004, "batches")
    metrics.set(table.CONSENSUS_VIEW, 17)
    text = metrics.exposition().decode()
    assert 'sequencer_storage_sync_seconds_bucket{le="0.005",store="batches"} 1.0' in text
    assert "sequencer_consensus_view_number 17.0" in text
    assert 'sequencer_process_build_info{version="1.2.3"} 1.0' in text
    assert "process_cpu_seconds_total" in text
    assert "_created" not in text
