"""Whom to ask for a digest, and how many requests may be out."""

from collections import Counter

import pytest

from consensus.numbers import Digest, ValidatorIndex
from sequencer.lanes.bounds import LaneBounds
from sequencer.lanes.effects import RequestBatch
from sequencer.lanes.fetching import Fetches
from tests.unit.lanes.lane_desk import at


def digest(number: int) -> Digest:
    return Digest(number.to_bytes(32, "big"))


def peers(*indices: int) -> tuple[ValidatorIndex, ...]:
    return tuple(ValidatorIndex(index) for index in indices)


def fetches(linked: int = 8, **bounds) -> Fetches:
    made = Fetches(LaneBounds(**bounds))
    for index in range(1, linked + 1):
        made.link_opened(ValidatorIndex(index))
    return made


def asked(made: Fetches, mono_ms: float) -> list[int]:
    return [request.peer for request in made.requests(at(mono_ms))]


def test_two_are_asked_and_the_next_two_after_two_round_trips() -> None:
    made = fetches()
    made.want(digest(1), peers(1, 2, 3, 4, 5), 0)
    assert asked(made, 0) == [1, 2]
    assert made.next_due_ms() == 100  # twice the round trip assumed at first
    assert asked(made, 99) == []
    assert asked(made, 100) == [3, 4]
    assert asked(made, 200) == [5]


def test_a_failure_is_replaced_at_once_by_one() -> None:
    made = fetches()
    made.want(digest(1), peers(1, 2, 3, 4), 0)
    assert asked(made, 0) == [1, 2]
    made.failed(digest(1), ValidatorIndex(1), at(10))
    assert asked(made, 10) == [3]
    made.failed(digest(1), ValidatorIndex(9), at(11))
    assert asked(made, 11) == []


def test_a_round_begins_again_after_a_pause_and_never_asks_who_still_owes_an_answer() -> None:
    made = fetches()
    made.want(digest(1), peers(1, 2), 0)
    assert asked(made, 0) == [1, 2]
    made.failed(digest(1), ValidatorIndex(2), at(1))
    assert asked(made, 1) == []
    assert asked(made, 100) == []  # the patience with 1 ends; the round is over
    assert asked(made, 350) == [2]


def test_only_linked_holders_are_asked() -> None:
    made = fetches(linked=2)
    made.want(digest(1), peers(2, 7), 0)
    assert asked(made, 0) == [2]
    made.link_opened(ValidatorIndex(7))
    assert asked(made, 100) == [7]


def test_a_wish_named_again_gets_more_holders() -> None:
    made = fetches()
    made.want(digest(1), peers(1), 0)
    made.want(digest(1), peers(1, 2), 0)
    assert asked(made, 0) == [1, 2]
    assert len(made) == 1


def test_a_wish_may_be_due_later() -> None:
    made = fetches()
    made.want(digest(1), peers(1), 20)
    assert asked(made, 19) == []
    assert made.next_due_ms() == 20
    made.drop(digest(1))
    assert made.next_due_ms() is None
    assert asked(made, 20) == []


def test_the_load_is_spread_and_bounded() -> None:
    made = fetches(linked=3, requests_max=10, requests_per_peer_max=4)
    for number in range(20):
        made.want(digest(number), peers(1, 2, 3), 0)
    sent = made.requests(at(0))
    assert len(sent) == made.in_flight_count == 10
    assert max(Counter(request.peer for request in sent).values()) == 4
    assert made.next_due_ms() is None  # only an answer helps
    made.answered(digest(0), sent[0].peer, at(5))
    made.drop(digest(0))
    assert len(made.requests(at(5))) == 1


def test_while_more_is_missing_than_may_be_asked_for_nothing_is_asked_for_twice() -> None:
    made = fetches(linked=3, requests_max=10)
    for number in range(11):
        made.want(digest(number), peers(1, 2, 3), 0)
    assert [request.digest for request in made.requests(at(0))] == [digest(number) for number in range(10)]
    for number in range(3):
        made.answered(digest(number), peers(1, 2, 3)[number], at(5))
        made.drop(digest(number))
    assert [request.digest for request in made.requests(at(5))] == [digest(10)] * 2


def answer(made: Fetches, mono_ms: float, liars: tuple[int, ...]) -> list[int]:
    """Asks, and every peer answers at once, the liars with nothing; returns who was asked."""
    sent = made.requests(at(mono_ms))
    for request in sent:
        if request.peer in liars:
            made.failed(request.digest, request.peer, at(mono_ms))
        else:
            made.answered(request.digest, request.peer, at(mono_ms))
            made.drop(request.digest)
    return [request.peer for request in sent]


def test_a_peer_that_gives_nothing_costs_one_request_for_each_that_it_had_at_once() -> None:
    made = fetches(linked=3, requests_per_peer_max=1)
    for number in range(100):
        made.want(digest(number), peers(1, 2, 3), 0)
    asked_of: Counter[int] = Counter()
    for turn in range(400):
        asked_of.update(answer(made, turn, (1,)))
    assert len(made) == 0
    assert asked_of[1] == 1
    assert 100 <= asked_of[2] + asked_of[3] <= 100 + 16  # twice at the end only


def test_one_honest_holder_is_enough_whatever_the_others_do() -> None:
    made = fetches(linked=4)
    for number in range(100):
        made.want(digest(number), peers(1, 2, 3, 4), 0)
    asked_of: Counter[int] = Counter()
    for turn in range(400):
        asked_of.update(answer(made, turn, (1, 2, 4)))
    assert len(made) == 0
    assert asked_of[3] == 100
    assert max(asked_of[liar] for liar in (1, 2, 4)) <= 4


def test_a_wish_waits_for_a_good_holder_that_is_busy() -> None:
    made = fetches(linked=2, requests_per_peer_max=1)
    made.want(digest(0), peers(1), 0)
    assert asked(made, 0) == [1]
    made.failed(digest(0), ValidatorIndex(1), at(0))
    made.drop(digest(0))
    for number in (1, 2):
        made.want(digest(number), peers(1, 2), 0)
    assert made.requests(at(1)) == [RequestBatch(ValidatorIndex(2), digest(1))]
    assert made.next_due_ms() == 1_000  # or when the good one has answered
    made.answered(digest(1), ValidatorIndex(2), at(3))
    made.drop(digest(1))
    assert made.requests(at(30)) == [RequestBatch(ValidatorIndex(2), digest(2))]
    assert asked(made, 200) == []
    assert made.next_due_ms() == 1_000
    assert asked(made, 1_000) == [1]  # it has rested, and the good one is slow


@pytest.mark.parametrize(("failures", "rest_ms"), [(1, 1_000), (2, 2_000), (3, 3_000), (40, 3_000)])
def test_it_rests_longer_after_each_failure_in_a_row(failures: int, rest_ms: float) -> None:
    made = fetches(linked=2, rest_ms=1_000, rest_max_ms=3_000)
    for number in range(failures):
        made.want(digest(number), peers(1), 0)
        assert asked(made, 0) == [1]
        made.failed(digest(number), ValidatorIndex(1), at(0))
        made.drop(digest(number))
    made.want(digest(100), peers(1, 2), 0)
    assert asked(made, rest_ms - 1) == [2]
    made.drop(digest(100))
    made.want(digest(101), peers(1, 2), 0)
    assert asked(made, rest_ms) == [1, 2]


def test_what_only_a_bad_holder_has_is_asked_of_it_and_forgiven_when_it_comes() -> None:
    made = fetches(linked=2)
    made.want(digest(0), peers(1), 0)
    assert asked(made, 0) == [1]
    made.failed(digest(0), ValidatorIndex(1), at(0))
    assert asked(made, 1_000) == []
    assert asked(made, 1_250) == [1]
    made.answered(digest(0), ValidatorIndex(1), at(1_260))
    made.drop(digest(0))
    made.want(digest(1), peers(1, 2), 2_000)
    assert asked(made, 2_000) == [1, 2]


def test_requests_that_were_given_up_still_count_until_answered_or_unlinked() -> None:
    made = fetches(linked=2, requests_max=2)
    made.want(digest(1), peers(1, 2), 0)
    made.want(digest(2), peers(1, 2), 0)
    assert asked(made, 0) == [1, 2]
    made.drop(digest(1))
    assert asked(made, 10_000) == []
    made.link_closed(ValidatorIndex(2), at(10_000))
    assert made.in_flight_count == 1
    assert asked(made, 10_000) == [1]


def test_a_closed_link_is_a_failure_of_all_that_it_owes() -> None:
    made = fetches()
    made.want(digest(1), peers(1, 2, 3), 0)
    assert asked(made, 0) == [1, 2]
    made.link_closed(ValidatorIndex(1), at(1))
    assert not made.is_in_flight(digest(1), ValidatorIndex(1))
    assert asked(made, 1) == [3]


def test_patience_follows_the_round_trips() -> None:
    made = fetches(patience_max_ms=400)
    for number in range(40):
        start = 10_000.0 * number
        made.want(digest(number), peers(1, 2), start)
        assert asked(made, start) == [1, 2]
        for peer in peers(1, 2):
            made.answered(digest(number), peer, at(start + 1_000))
        made.drop(digest(number))
    made.want(digest(99), peers(1, 2, 3), 10**6)
    asked(made, 10**6)
    assert made.next_due_ms() == 10**6 + 400


def test_no_more_wishes_than_allowed() -> None:
    made = fetches(wanted_max=2)
    assert [made.want(digest(number), peers(1), 0) for number in range(3)] == [True, True, False]
    assert made.want(digest(1), peers(2), 0)


def test_very_many_wishes_cost_a_step_little_and_lose_nobodys_turn() -> None:
    made = fetches(linked=1)
    for number in range(300):
        made.want(digest(number), peers(5), 0)  # nobody is linked who holds them
    made.want(digest(1_000), peers(1), 0)
    turns = 0
    while not made.in_flight_count:
        made.requests(at(turns))
        turns += 1
        assert turns < 10
