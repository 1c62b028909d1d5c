"""Lane reports: what they say of this validator, and when the leader gets one."""

import itertools

import pytest

from consensus.clock import Now
from consensus.genesis import Genesis
from consensus.numbers import Digest, Milliseconds, Seq, ValidatorIndex
from consensus.ordering.effective import OrderedBatch
from consensus.replica.events import BatchHeld, L1Finalized, LaneForked
from consensus.replica.reporting import Holdings
from consensus.signing import NodeKey
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.messages import Vote
from consensus.vocabulary.report import LaneReport, LaneRow
from tests.simulation.forge import START_MS, no_block
from tests.simulation.seat import Seat

LANE = ValidatorIndex(0)


def digest(seq: int, fork: str = "") -> Digest:
    return Digest(no_block(f"batch {seq}{fork}"))


def at(ms: float) -> Now:
    return Now(Milliseconds(int(START_MS + ms)), ms)


class Lane:
    """One lane of `Holdings`, in short words."""

    def __init__(self, base: int = 0, batches_max: int = 4) -> None:
        self.holdings = Holdings([Seq(base), Seq(0)], batches_max)

    def hold(self, *seqs: int, fork: str = "", chained: bool = True, ms: float = 0) -> None:
        for seq in seqs:
            arrival = Milliseconds(int(START_MS + ms))
            self.holdings.note_held(LANE, Seq(seq), digest(seq, fork), arrival, at(ms), chained=chained)

    def commit(self, *seqs: int, fork: str = "") -> list[int]:
        batches = [OrderedBatch(LANE, Seq(seq), digest(seq, fork), 0) for seq in seqs]
        return [batch.seq for batch in self.holdings.note_committed(batches)]

    def row(self, ms: float = 0) -> LaneRow:
        return self.holdings.rows(at(ms))[LANE]

    def listed(self) -> tuple[int, list[Digest]]:
        row = self.row()
        return row.base_seq, [found for found, _ in row.batches]


def test_the_base_covers_what_is_committed_and_held_and_nothing_else():
    lane = Lane()
    lane.hold(1, 2, 3)
    assert lane.listed() == (0, [digest(1), digest(2), digest(3)])
    assert lane.commit(1, 2) == []
    assert lane.listed() == (2, [digest(3)])


def test_the_base_waits_for_a_committed_batch_that_is_missing():
    lane = Lane()
    lane.hold(1)
    assert lane.commit(1, 2, 3) == [2, 3]
    assert lane.listed() == (1, [])
    lane.hold(3, chained=False)
    assert lane.listed() == (1, [])
    lane.hold(2, chained=False)
    assert lane.listed() == (3, [])


def test_a_batch_fetched_by_its_digest_is_not_listed_before_it_is_chained():
    lane = Lane()
    lane.hold(1, chained=False)
    assert lane.listed() == (0, [])
    lane.hold(1)
    assert lane.listed() == (0, [digest(1)])


def test_a_row_is_contiguous():
    lane = Lane()
    lane.hold(1, 3)
    assert lane.listed() == (0, [digest(1)])


def test_a_row_lists_the_oldest_first_and_lanes_do_not_compete_for_room():
    lane = Lane(batches_max=4)
    lane.hold(*range(1, 60))
    lane.holdings.note_held(ValidatorIndex(1), Seq(1), digest(1), Milliseconds(START_MS), at(0), chained=True)
    rows = lane.holdings.rows(at(0))
    assert [found for found, _ in rows[0].batches] == [digest(1), digest(2), digest(3), digest(4)]
    assert len(rows[1].batches) == 1


def test_of_a_lane_with_a_known_fork_nothing_is_listed_and_the_base_goes_on():
    lane = Lane()
    lane.hold(1, 2)
    lane.holdings.note_forked(LANE)
    assert lane.listed() == (0, [])
    lane.commit(1)
    assert lane.listed() == (1, [])


def test_a_committed_batch_other_than_ours_is_a_fork_too():
    lane = Lane()
    lane.hold(1, 2)
    assert lane.commit(1, fork="'") == [1]
    assert lane.listed() == (0, [])
    lane.hold(1, fork="'", chained=False)
    assert lane.listed() == (1, [])


def test_the_base_never_falls():
    lane = Lane(base=5)
    lane.hold(1, 5)
    lane.commit(3)
    assert lane.listed() == (5, [])


def test_ages_run_on_the_monotonic_clock_and_start_at_the_stored_arrival():
    lane = Lane()
    lane.holdings.note_held(
        LANE, Seq(1), digest(1), Milliseconds(START_MS - 70), at(0), chained=True
    )  # of an earlier life
    lane.holdings.note_held(
        LANE, Seq(2), digest(2), Milliseconds(START_MS + 900), at(0), chained=True
    )  # clock went back
    assert [age for _, age in lane.row(30).batches] == [100, 30]
    skewed = Now(Milliseconds(START_MS - 10**6), 30)
    assert [age for _, age in lane.holdings.rows(skewed)[LANE].batches] == [100, 30]


def test_sent_ms_is_never_below_the_time_of_a_tip_or_qc_that_was_processed():
    """Else a validator with a slow clock could not be quoted on top of what it voted for."""
    seat = Seat(me=2)
    seat.start()
    ahead = seat.forge.tip(1, seat.forge.genesis_qc, reports=seat.forge.reports(1, seat.now.wall_ms + 5_000))
    effects = seat.hear(seat.forge.proposal(1, ahead), 0)
    (report,) = [vote.report for vote in seat.said(Vote, effects) if vote.report is not None]
    assert report.sent_ms == ahead.header.ts_ms


def test_the_time_of_a_qc_counts_without_its_tip():
    seat = Seat(me=3)
    seat.start()
    first = seat.forge.certify(seat.forge.tip(1, seat.forge.genesis_qc))
    ahead = seat.forge.tip(2, first, reports=seat.forge.reports(2, START_MS + 5_000))
    (report,) = seat.said(LaneReport, seat.hear(seat.forge.certify(ahead)))
    assert report.view == 3
    assert report.sent_ms == ahead.header.ts_ms
    seat.restart()
    assert seat.state.sent_ms() >= ahead.header.ts_ms


def test_sent_ms_is_otherwise_the_own_clock():
    seat = Seat(me=3)
    seat.start()
    (report,) = seat.said(LaneReport)
    assert report.sent_ms == seat.now.wall_ms
    assert report.view == 1


def test_a_report_says_what_l1_block_is_final():
    seat = Seat(me=3)
    anchor = Anchor(64, no_block("l1"))  # type: ignore[arg-type]
    seat.step(L1Finalized(anchor))
    seat.start()
    assert seat.said(LaneReport)[0].l1_final == anchor


def hold(seat: Seat, seq: int) -> None:
    seat.step(BatchHeld(LANE, Seq(seq), digest(seq), Milliseconds(seat.now.wall_ms)))


def idle_seat(me: int = 3) -> Seat:
    seat = Seat(me=me)
    seat.start()
    seat.wait(50)
    seat.effects.clear()
    return seat


def report_moments(seat: Seat, until_ms: float) -> list[float]:
    """When reports left from now on, in ms from now."""
    start, moments = seat.time_ms, list[float]()
    while seat.time_ms < start + until_ms:
        if seat.said(LaneReport, seat.wait(0.5)):
            moments.append(seat.time_ms - start)
    return moments


def test_an_idle_validator_reports_the_first_batch_at_once_and_then_less_and_less_often():
    seat = idle_seat()
    hold(seat, 1)
    assert len(seat.said(LaneReport)) == 1
    moments = [0.0, *report_moments(seat, 40)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert gaps == pytest.approx([2, 4, 8, 16], abs=0.6)
    assert set(seat.sent_to(LaneReport)) == {seat.forge.leader(1)}


def test_an_author_does_not_report_its_batch_before_others_can_have_it():
    """Its report would be older than the batch at every witness set, and could not be quoted for it."""
    seat = idle_seat()
    seat.step(BatchHeld(seat.state.me, Seq(1), digest(1), Milliseconds(seat.now.wall_ms)))
    assert not seat.said(LaneReport)
    moments = report_moments(seat, 5)
    assert moments == pytest.approx([1, 3], abs=0.6)


def test_a_batch_that_was_held_after_it_was_ordered_does_not_hurry_an_own_one():
    """A proposal may overtake a batch that it orders: a report would bring its leader nothing of that lane."""
    seat = idle_seat(me=1)
    reports = tuple(
        seat.forge.report(1, other, seat.now.wall_ms, {0: (0, [(digest(1), 5)])}) for other in seat.forge.quorum()
    )
    first = seat.forge.tip(1, seat.forge.genesis_qc, reports=reports)
    seat.hear(seat.forge.proposal(1, first), seat.forge.leader(1))
    hold(seat, 1)
    seat.hear(seat.forge.certify(first))
    seat.wait(50)
    assert not seat.said(LaneReport)
    seat.step(BatchHeld(seat.state.me, Seq(1), digest(1), Milliseconds(seat.now.wall_ms)))
    assert not seat.said(LaneReport)
    assert report_moments(seat, 2) == pytest.approx([1], abs=0.6)


def test_however_many_batches_come_a_waiting_leader_is_sent_few_reports():
    seat = idle_seat()
    hold(seat, 1)
    seat.effects.clear()
    sent = []
    for seq in range(2, 64):
        hold(seat, seq)
        sent += [moment + seq - 2 for moment in report_moments(seat, 1)]
    assert sent == pytest.approx([2, 6, 14, 30, 62], abs=1)


def test_what_went_with_the_vote_is_not_reported_again_at_once():
    seat = idle_seat(me=1)
    hold(seat, 1)
    first = seat.forge.tip(1, seat.forge.genesis_qc, reports=seat.forge.reports(1, seat.now.wall_ms - 100))
    seat.hear(seat.forge.proposal(1, first), 0)
    seat.effects.clear()
    seat.hear(seat.forge.certify(first))
    assert not seat.said(LaneReport)
    assert report_moments(seat, 2) == pytest.approx([1], abs=0.6)


def test_a_paced_view_is_reported_to_just_before_its_proposal():
    """Else the report would be stale when the leader quotes it, or there would be two."""
    seat = Seat(me=1)
    seat.start()
    first = seat.forge.tip(1, seat.forge.genesis_qc, reports=seat.forge.reports(1, seat.now.wall_ms))
    seat.hear(seat.forge.proposal(1, first), 0)
    seat.hear(seat.forge.certify(first))
    seat.effects.clear()
    hold(seat, 1)
    assert not seat.said(LaneReport)
    moment, *_ = report_moments(seat, 12)
    assert moment == pytest.approx(seat.timing.min_block_interval_ms - seat.timing.report_lead_ms, abs=1)


def test_a_proposal_ends_the_reports():
    seat = Seat(me=3)
    seat.start()
    seat.step(BatchHeld(LANE, Seq(1), digest(1), Milliseconds(seat.now.wall_ms)))
    seat.wait(4)
    seat.hear(seat.forge.proposal(1, seat.forge.tip(1, seat.forge.genesis_qc)), 0)
    assert not seat.said(LaneReport, seat.wait(100))


def test_a_proposal_that_brings_its_view_is_not_waited_for():
    """Its leader has proposed, so a report would only stand before our vote."""
    seat = idle_seat(me=1)
    first = seat.forge.tip(1, seat.forge.genesis_qc, reports=seat.forge.reports(1, seat.now.wall_ms))
    seat.hear(seat.forge.proposal(1, first), seat.forge.leader(1))
    hold(seat, 1)
    seat.wait(10)
    second = seat.forge.tip(2, seat.forge.certify(first), reports=seat.forge.reports(2, seat.now.wall_ms))
    effects = seat.hear(seat.forge.proposal(2, second), seat.forge.leader(2))
    assert seat.said(Vote, effects)
    assert not seat.said(LaneReport, effects)


def test_a_leader_signs_one_report_when_it_holds_a_batch(monkeypatch: pytest.MonkeyPatch):
    """The one that it quotes; its own comes with each attempt to propose."""
    seat = idle_seat(me=Seat().forge.leader(1))
    signed, sign = list[LaneReport](), LaneReport.sign

    def noted(report: LaneReport, chain: Genesis, key: NodeKey) -> LaneReport:
        signed.append(report)
        return sign(report, chain, key)

    monkeypatch.setattr(LaneReport, "sign", noted)
    other = ValidatorIndex((seat.me + 1) % 4)
    seat.step(BatchHeld(other, Seq(1), digest(1), Milliseconds(seat.now.wall_ms)))
    assert len(signed) == 1


def test_a_forked_lane_gives_no_reason_to_report():
    seat = Seat(me=3)
    seat.start()
    seat.step(LaneForked(LANE))
    seat.effects.clear()
    seat.step(BatchHeld(LANE, Seq(1), digest(1), Milliseconds(seat.now.wall_ms)))
    assert not seat.said(LaneReport, seat.wait(100))
