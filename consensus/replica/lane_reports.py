"""When this validator makes and sends a lane report.

Responsible for: making reports and their timing.
Refuses to do: know how lanes are held (`reporting.py`) or use the reports of others (`on_report.py`, `propose.py`).

Invariants:
1. A report for view v goes to leader(v) alone: with the vote of v−1, on entering v if none was sent ▲, and again while
   the leader waits: report_delay after the first unordered batch, then at doubling intervals until a proposal appears.
2. Where views are paced, the re-sent report is timed to reach the leader just before ts_ms + min_block_interval: the
   one that went with the vote is stale by a whole interval.
3. `sent_ms` = max(own clock, ts_ms of every tip and QC processed) ▲.
"""

from consensus.numbers import GENESIS_EPOCH, View
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
    state.reported_view = max(state.reported_view, view)
    state.send(state.leader(view), make_report(state, view))


def has_unordered(state: State) -> bool:
    """Whether we hold batches that no known block above our highest QC orders."""
    ordered = state.tree.effective
    tip = state.tree.get(state.high_qc.body.block_id)
    if tip is not None and (known := state.tree.order(tip)) is not None:
        ordered = known[0]
    return any(listed > end.seq for listed, end in zip(state.holdings.listed_ends(), ordered.cut, strict=True))


def schedule_report(state: State) -> None:
    """Plans the next report to a waiting leader, if there is something that its proposal would order."""
    if state.current.proposal_seen or Timer.REPORT in state.deadlines or not has_unordered(state):
        return
    count = state.current.report_count
    if count == 0:
        timing, parent_ts_ms = state.timing, state.high_qc.body.ts_ms
        paced = state.mono_at(parent_ts_ms + timing.min_block_interval_ms) - timing.report_lead_ms
        paced = min(paced, state.current.entered_mono_ms + timing.min_block_interval_ms)
        at = max(state.now.mono_ms + timing.report_delay_ms, paced)
    else:
        at = state.now.mono_ms + state.timing.report_delay_ms * 2 ** min(count, _DOUBLINGS_MAX)
    state.set_timer(Timer.REPORT, at)


def report_timer_fired(state: State) -> None:
    """Sends one more report for the current view and plans the next."""
    if state.current.proposal_seen:
        return
    state.current.report_count += 1
    send_report(state, state.view)
    schedule_report(state)
