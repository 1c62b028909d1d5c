"""A lane report arrives for a view that we lead: keep the latest of each validator, and see whether we can propose."""

from consensus.replica.events import ReportReceived
from consensus.replica.propose import try_propose
from consensus.replica.state import State


def on_report(state: State, event: ReportReceived) -> None:
    """Takes a report that is newer than what we have for a view ahead of us."""
    report = event.report
    if state.leader(max(1, report.view)) != state.me or not state.reports.wants(report, state.view):
        return
    if event.sender != state.me:
        state.validity.check_report(report)
    state.reports.add(report)
    if report.view == state.view:
        try_propose(state)
