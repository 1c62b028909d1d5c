import os

from tests.bench.marks import MARKS, slope
from tests.bench.trouble_subscription import text_frame
from tests.bench.usage import Look, read_page, spent, usage_of


def look(at_s, validator=0, transactions=0.0, cpu_s=0.0, **more):
    return Look(at_s, validator, cpu_s, more.pop("resident_bytes", 2**20), 0, transactions, **more)


def test_what_is_spent_is_a_difference_per_transaction():
    looks = [
        look(at_s, node, 100.0 * at_s, 0.01 * at_s, sent_bytes=50_000.0 * at_s) for at_s in range(11) for node in (0, 1)
    ]
    found = spent(looks, 2.0, 8.0)
    assert (found.seconds, found.transactions, found.final_tx_per_s) == (6.0, 600.0, 100.0)
    assert [node.validator for node in found.nodes] == [0, 1]
    assert round(found.nodes[0].cpu_us) == 100
    assert round(found.cpu_ms_per_1000) == 200
    assert found.nodes[1].sent_bytes == 500
    assert found.nodes[1].resident_mib_max == 1


def test_a_validator_that_was_restarted_counts_nothing():
    looks = [look(at_s, 0, 100.0 * at_s, 1.0 * at_s) for at_s in range(5)]
    looks += [look(at_s, 1, 100.0 * at_s, cpu_s) for at_s, cpu_s in ((0, 5.0), (1, 6.0), (3, 0.1), (4, 1.0))]
    assert [node.validator for node in spent(looks, 0, 10).nodes] == [0]


def test_nothing_seen_is_nothing_spent():
    assert spent([], 0, 10).final_tx_per_s == 0
    assert spent([look(1.0)], 0, 10).nodes == []


def test_a_metrics_page():
    page = read_page('# HELP a b\n# TYPE a counter\na_total{direction="sent"} 3.5e+02\nb 1\n\n')
    assert page == {'a_total{direction="sent"}': 350.0, "b": 1.0}


def test_our_own_process_uses_something():
    usage = usage_of(os.getpid())
    assert usage.cpu_s > 0
    assert usage.resident_bytes > 2**20


def test_memory_that_grows_has_a_slope():
    looks = [look(second, resident_bytes=(100 + second) * 2**20) for second in range(10)]
    assert round(slope(looks), 6) == 60
    assert slope([look(1.0), look(1.0)]) == 0


def test_a_mark_is_missed_reached_or_better():
    less, more = MARKS["busy_p50"], MARKS["throughput"]
    assert [less.verdict(value) for value in (81, 80, 40, None)] == ["missed", "reached", "aim reached", "not measured"]
    assert [more.verdict(value) for value in (49_999, 50_000, 80_000)] == ["missed", "reached", "aim reached"]
    assert all(mark.more_is_better == (mark.aim > mark.least) for mark in MARKS.values())


def test_a_text_frame_is_masked():
    for payload in (b"{}", b"x" * 300):
        frame = text_frame(payload)
        start = 2 if len(payload) < 126 else 4
        mask, body = frame[start : start + 4], frame[start + 4 :]
        assert frame[0] == 0x81
        assert frame[1] & 0x80
        assert bytes(byte ^ mask[place % 4] for place, byte in enumerate(body)) == payload
