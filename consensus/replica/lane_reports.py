"""When this validator makes and sends a lane report.

Responsible for: making reports and their timing.
Refuses to do: know how lanes are held (`reporting.py`) or use the reports of others (`on_report.py`, `propose.py`).

Invariants:
1. A report for view v goes to leader(v) alone: with the vote of v−1, on entering v if none was sent ▲, and again while
   the leader waits: as soon as there is an unordered batch of another lane, report_delay after one of our own, and then
   at doubling intervals until a proposal appears. A report counts for a batch only if it was sent when a witness set
   had it, so an author's must not leave before the batch arrives elsewhere, and every report is repeated.
2. Where views are paced, the re-sent report is timed to reach the leader just before ts_ms + min_block_interval: the
   one that went with the vote is stale by a whole interval.
3. `sent_ms` = max(own clock, ts_ms of every tip and QC processed) ▲.
"""

from collections.abc import Mapping

from consensus.numbers import GENESIS_EPOCH, Seq, View
from consensus.replica.events import Timer
from consensus.replica.state import State
from consensus.vocabulary.report import LaneReport

_DOUBLINGS_MAX = 6


def make_report(state: State, view: View) -> LaneReport:
    """Our signed report for `view`, as of now."""
    report = LaneReport(
        epoch=GENESIS_EPOCH,
        view=view,
        validator=state.me,
        sent_ms=state.sent_ms(),
        l1_final=state.l1_final,
        lanes=state.holdings.rows(state.now),
    )
    return report.sign(state.chain, state.key)


def send_report(state: State, view: View) -> None:
    """Sends a report for `view` to its leader."""
    report = make_report(state, view)
    note_reported(state, report)
    state.send(state.leader(view), report)


def note_reported(state: State, report: LaneReport) -> None:
    """A report of ours leaves now: what it lists is known to its leader."""
    state.reported_view = max(state.reported_view, report.view)
    state.last_report, state.reported_mono_ms = report, state.now.mono_ms


def unordered_lanes(state: State) -> dict[int, Seq]:
    """Per lane of which we would list batches that no block up to our highest QC orders, the last that we would."""
    ordered = state.tree.effective
    tip = state.tree.get(state.high_qc.body.block_id)
    if tip is not None and (known := state.tree.order(tip)) is not None:
        ordered = known[0]
    ends = zip(state.holdings.listed_ends(), ordered.cut, strict=True)
    return {lane: listed for lane, (listed, end) in enumerate(ends) if listed > end.seq}


def schedule_report(state: State) -> None:
    """Sends or plans the next report to a waiting leader, if there is something that its proposal would order."""
    if state.view <= state.proposal_view or not (unordered := unordered_lanes(state)):
        return
    at, planned = _next_report_ms(state, unordered), state.deadlines.get(Timer.REPORT)
    if at <= state.now.mono_ms:
        _report_again(state)
    elif planned is None or at < planned:
        state.set_timer(Timer.REPORT, at)


def _next_report_ms(state: State, unordered: Mapping[int, Seq]) -> float:
    """The monotonic time of the next report, which may be past."""
    timing, current = state.timing, state.current
    if current.report_count:
        doublings = 1 << min(current.report_count, _DOUBLINGS_MAX)
        return state.reported_mono_ms + timing.report_delay_ms * doublings
    paced = state.mono_at(state.high_qc.body.ts_ms + timing.min_block_interval_ms) - timing.report_lead_ms
    paced = min(paced, current.entered_mono_ms + timing.min_block_interval_ms)
    return max(state.now.mono_ms + (0 if _has_news(state, unordered) else timing.report_delay_ms), paced)


def _has_news(state: State, unordered: Mapping[int, Seq]) -> bool:
    """Whether we hold an unordered batch of another validator that our last report did not list.

    Not for ourselves as the leader: it makes a report each time it tries to propose.
    """
    if state.leader(state.view) == state.me:
        return False
    known = state.last_report
    return any(
        lane != state.me and (known is None or last > known.lanes[lane].last_seq) for lane, last in unordered.items()
    )


def report_timer_fired(state: State) -> None:
    """Sends one more report for the current view and plans the next."""
    if state.view > state.proposal_view:
        _report_again(state)


def _report_again(state: State) -> None:
    state.current.report_count += 1
    send_report(state, state.view)
    state.set_timer(Timer.REPORT, None)
    schedule_report(state)
