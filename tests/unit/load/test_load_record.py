from sequencer.load.plan import LoadPlan
from sequencer.load.record import SECONDS_MAX, LoadRecord
from sequencer.load.summary import lines, summarize


def record_of_a_run():
    record = LoadRecord(2.0, 4.0)
    for second in range(6):
        record.note("due", second, 100)
        record.note("received", second, 100)
        record.note("final", second + 0.5, 100)
        record.latency("received", second, 0.010)
        record.latency("final", second, 0.100 * (second + 1))
    return record


def test_only_what_is_between_warm_up_and_end_counts():
    summary = summarize(LoadPlan(("http://a",), (1,), 4.0, warm_up_s=2.0), record_of_a_run())
    assert summary["offered_tx_per_s"] == summary["received_tx_per_s"] == summary["followed_final_tx_per_s"] == 100
    assert summary["latency_ms"]["final"]["n"] == 4
    assert summary["latency_ms"]["final"]["max"] == 600
    assert summary["latency_ms"]["ordered"]["p99"] is None


def test_every_second_is_kept_with_what_was_due_in_it():
    seconds = record_of_a_run().to_json()["seconds"]
    assert [entry["final"] for entry in seconds] == [100] * 6
    assert seconds[0]["latencies_ms"]["final"]["max"] == 100


def test_the_seconds_of_a_run_are_bounded():
    record = LoadRecord(0, 10)
    for second in range(0, 10 * SECONDS_MAX, 100):
        record.note("due", second, 1)
    assert max(record.seconds) == SECONDS_MAX
    assert record.total["due"] == SECONDS_MAX // 10


def test_losses_are_said_in_words():
    record = record_of_a_run()
    record.note("unsent", 1.0, 7)
    record.refused["full"] = 3
    shown = lines(summarize(LoadPlan(("http://a",), (1,), 4.0), record))
    assert "unsent 7" in shown[-1]
    assert "refused as full 3" in shown[-1]
