"""How long a view may take: growth without doubling, and a quarter for leaders that were absent."""

import itertools

import pytest

from consensus.numbers import ValidatorIndex
from consensus.replica.pacemaker import Pacemaker
from tests.simulation.seat import Seat

LEADER, OTHER = ValidatorIndex(0), ValidatorIndex(1)


def pacemaker(timeouts: int, *, seen: bool = True) -> Pacemaker:
    made = Pacemaker(base_ms=1_000, max_ms=8_000)
    for _ in range(timeouts):
        made.view_ended(LEADER, by_timeout=True, proposal_seen=seen)
    return made


@pytest.mark.parametrize(
    ("timeouts", "factor"), [(0, 1.0), (1, 1.2), (6, 1.2**6), (7, 1.2**6 * 1.1), (10, 1.2**6 * 1.1**4)]
)
def test_the_growth_is_a_fifth_six_times_then_a_tenth(timeouts, factor):
    assert pacemaker(timeouts).duration_ms(OTHER) == pytest.approx(1_000 * factor)


def test_it_never_doubles_and_ends_at_the_maximum():
    durations = [pacemaker(timeouts).duration_ms(OTHER) for timeouts in range(60)]
    assert all(later <= 1.2 * earlier + 1e-9 for earlier, later in itertools.pairwise(durations))
    assert durations[-1] == 8_000
    assert pacemaker(5_000).duration_ms(OTHER) == 8_000


def test_one_view_that_ends_by_a_qc_resets_it():
    made = pacemaker(9)
    made.view_ended(OTHER, by_timeout=False, proposal_seen=True)
    assert made.duration_ms(OTHER) == 1_000


def test_a_leader_whose_last_slot_passed_without_a_proposal_gets_a_quarter_and_never_zero():
    made = pacemaker(1, seen=False)
    assert made.duration_ms(LEADER) == pytest.approx(made.duration_ms(OTHER) / 4)
    made = pacemaker(400, seen=False)
    assert made.duration_ms(LEADER) >= 250


def test_it_has_its_full_time_back_when_one_of_its_proposals_succeeds_and_not_before():
    made = pacemaker(1, seen=False)
    made.view_ended(OTHER, by_timeout=False, proposal_seen=True)
    assert made.duration_ms(LEADER) == 250
    made.view_ended(LEADER, by_timeout=True, proposal_seen=True)
    assert made.duration_ms(LEADER) == 1_200 / 4
    made.view_ended(LEADER, by_timeout=False, proposal_seen=True)
    assert made.duration_ms(LEADER) == 1_000


def test_a_leader_whose_proposal_was_seen_is_not_called_absent():
    assert pacemaker(1, seen=True).duration_ms(LEADER) == 1_200


def test_a_replica_gives_an_absent_leader_a_quarter_the_next_time():
    seat = Seat(me=0)
    seat.start()
    tips = seat.enter(4)
    qc = seat.forge.certify(tips[-1])
    seat.hear(seat.forge.tc_of(4, qc))  # leader(4) = 1 proposed nothing
    for view in (5, 6, 7):
        tip = seat.forge.tip(view, qc, seat.forge.tc_of(4, qc) if view == 5 else None)
        seat.hear(seat.forge.proposal(view, tip), seat.forge.leader(view))
        qc = seat.forge.certify(tip)
        seat.hear(qc)
    assert seat.state.view == 8
    assert seat.forge.leader(8) == 1
    assert seat.timers[next(timer for timer in seat.timers if timer.value == "view")] == pytest.approx(
        seat.time_ms + seat.timing.view_timeout_ms / 4
    )
