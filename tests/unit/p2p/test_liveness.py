"""Silence is judged by the other side's bytes and never by our own absence."""

import pytest

from p2p.errors import PeerFault
from p2p.liveness import HEARTBEAT_BYTES, Liveness


def fresh(now: float = 100.0) -> Liveness:
    return Liveness(now=now, silence_s=3.0, tick_s=0.25)


def ticks(liveness: Liveness, begin: float, end: float, received_at: float) -> float | None:
    """Tick as the watchdog does; when it would close the link, or None."""
    now = begin
    while now <= end:
        if liveness.tick(now, received_at):
            return now
        now += 0.25
    return None


def test_silence_of_three_seconds_is_noticed_and_less_is_not() -> None:
    assert ticks(fresh(), 100.25, 102.75, received_at=100.0) is None
    assert ticks(fresh(), 100.25, 110.0, received_at=100.0) == 103.0


def test_any_byte_is_a_sign_of_life() -> None:
    liveness = fresh()
    for second in range(100, 130):
        assert ticks(liveness, second + 0.25, second + 1.0, received_at=float(second)) is None
    assert ticks(liveness, 130.25, 140.0, received_at=129.0) == 132.0


def test_our_own_absence_is_not_the_peers_silence() -> None:
    liveness = fresh()
    assert ticks(liveness, 100.25, 101.0, received_at=101.0) is None
    assert not liveness.tick(131.0, received_at=101.0), "we were stopped for 30 s"
    assert ticks(liveness, 131.25, 150.0, received_at=101.0) == 133.75


def test_round_trip_is_measured_without_the_time_spent_on_the_other_side() -> None:
    ours, theirs = fresh(100.0), fresh(5_000.0)
    theirs.heartbeat_received(ours.encode_heartbeat(101.0), now=5_001.0)
    ours.heartbeat_received(theirs.encode_heartbeat(5_001.8), now=101.85)
    assert ours.round_trip_ms == pytest.approx(50.0, abs=0.01)
    assert theirs.round_trip_ms is None


def test_a_value_we_never_sent_measures_nothing() -> None:
    ours, theirs = fresh(), fresh()
    theirs.heartbeat_received(fresh().encode_heartbeat(90.0), now=100.0)
    ours.encode_heartbeat(101.0)
    ours.heartbeat_received(theirs.encode_heartbeat(100.5), now=101.5)
    assert ours.round_trip_ms is None


def test_a_value_counts_once() -> None:
    ours, theirs = fresh(), fresh()
    theirs.heartbeat_received(ours.encode_heartbeat(100.0), now=100.1)
    answer = theirs.encode_heartbeat(100.1)
    ours.heartbeat_received(answer, now=100.2)
    assert ours.round_trip_ms == pytest.approx(200.0, abs=0.01)
    ours.heartbeat_received(answer, now=160.0)
    assert ours.round_trip_ms == pytest.approx(200.0, abs=0.01)


def test_a_lie_about_the_delay_gives_zero_and_never_less() -> None:
    ours = fresh()
    sent = ours.encode_heartbeat(100.0)[:8]
    ours.heartbeat_received(bytes(8) + sent + b"\xff" * 8, now=100.1)
    assert ours.round_trip_ms == 0


@pytest.mark.parametrize("length", [0, HEARTBEAT_BYTES - 1, HEARTBEAT_BYTES + 1])
def test_a_heartbeat_of_another_length_is_a_fault(length: int) -> None:
    with pytest.raises(PeerFault, match="bad_heartbeat"):
        fresh().heartbeat_received(bytes(length), now=100.0)
