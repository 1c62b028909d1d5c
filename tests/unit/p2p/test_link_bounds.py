"""Tables that could not be kept are refused when they are made."""

import pytest

from p2p.bounds import FRAME_BYTES_CEILING, LinkBounds, LinkTimes


@pytest.mark.parametrize(
    ("frames", "requests"),
    [
        ({0: 10}, {}),
        ({255: 10}, {}),
        ({256: 10}, {}),
        ({-1: 10}, {}),
        ({1: -1}, {}),
        ({1: FRAME_BYTES_CEILING + 1}, {}),
        ({}, {300: 1}),
        ({}, {1: FRAME_BYTES_CEILING + 1}),
    ],
)
def test_impossible_tables_are_refused(frames: dict[int, int], requests: dict[int, int]) -> None:
    with pytest.raises(ValueError, match="kind"):
        LinkBounds(frames=frames, requests=requests)


@pytest.mark.parametrize(
    "change",
    [
        {"hello_bytes_max": 0},
        {"hello_bytes_max": 64 * 1024 + 1},
        {"answer_bytes_max": 0},
        {"answer_bytes_max": FRAME_BYTES_CEILING + 1},
        {"requests_in_flight_max": 0},
        {"requests_in_flight_max": 33},
    ],
)
def test_impossible_bounds_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        LinkBounds(frames={}, requests={}, **change)


def test_a_request_may_have_a_kind_that_frames_reserve() -> None:
    assert LinkBounds(frames={}, requests={0: 1, 255: 1}).requests == {0: 1, 255: 1}


@pytest.mark.parametrize(
    "change", [{"silence_ms": 1_000}, {"tick_ms": 0}, {"tick_ms": 1_001}, {"redial_first_ms": 0}, {"redial_last_ms": 9}]
)
def test_impossible_times_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="times"):
        LinkTimes(**change)
