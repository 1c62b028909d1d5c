"""Lane reports outside votes: which are kept, and which are not even checked."""

from dataclasses import replace

import pytest

from consensus import limits
from tests.simulation.seat import Seat


def seated(me: int) -> Seat:
    seat = Seat(me)
    seat.start()
    seat.enter(4)
    return seat


def hear_reports(seat: Seat, view: int) -> None:
    for validator in (1, 2, 3):
        if validator != seat.me:
            seat.hear(seat.forge.report(view, validator), validator)
    seat.hear(seat.forge.report(view, 0), 2)  # whoever passes it on


def test_a_report_that_nobody_signed_is_its_deliverers_fault_and_does_not_count():
    seat = seated(me=1)
    forged = replace(seat.forge.report(4, 2), signature=bytes(65))
    assert seat.faults(seat.hear(forged, 2)) == [(2, "bad_signature")]
    seat.hear(seat.forge.report(4, 0), 0)
    assert seat.state.reports.smallest_quorum(seat.state.view, 0) is None


@pytest.mark.parametrize(
    ("ahead", "is_kept"), [(0, True), (4, True), (2, False), (4 * (limits.VIEWS_AHEAD // 4) + 4, False)]
)
def test_reports_are_kept_for_views_that_we_lead_and_not_far_ahead(ahead, is_kept):
    """Validator 1 leads views 4, 8, 12, 16."""
    seat = seated(me=1)
    view = seat.state.view + ahead
    hear_reports(seat, view)
    assert (seat.state.reports.smallest_quorum(view, 0) is not None) == is_kept


def test_a_report_for_another_leader_is_not_even_checked():
    seat = seated(me=1)
    forged = replace(seat.forge.report(5, 2), signature=bytes(65))
    assert seat.faults(seat.hear(forged, 2)) == []
