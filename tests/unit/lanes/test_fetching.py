"""Whom to ask for a digest, and how many requests may be out."""

from collections import Counter

from consensus.numbers import Digest, ValidatorIndex
from sequencer.lanes.bounds import LaneBounds
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
    assert [request.digest for request in sent[:2]] == [digest(0), digest(0)]
    assert made.next_due_ms() is None  # only an answer helps
    made.answered(digest(0), sent[0].peer, at(5))
    made.drop(digest(0))
    assert len(made.requests(at(5))) == 1


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
