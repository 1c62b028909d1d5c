"""Votes, timeouts and reports on their way to a certificate or a proposal, with their bounds.

Responsible for: counting stake per body, one entry per sender and view.
Refuses to do: check signatures (`consensus/validity.py`); the caller has done so.

Invariants:
1. Votes: one per voter and view, views from view − 1 to view + 10: at most 12 × n votes are kept.
2. Timeouts: one per signer, for the current view and the one before: at most 2 × n.
3. Reports: the latest per validator, views from view to view + 10, only where we lead: at most 11 × n.
"""

from collections.abc import Iterable

from consensus import limits
from consensus.numbers import ValidatorIndex, View
from consensus.validators import ValidatorSet
from consensus.vocabulary.certificates import QC, TC, VoteBody, make_qc
from consensus.vocabulary.messages import Timeout, Vote
from consensus.vocabulary.report import LaneReport


class VotePool:
    """Votes by view and voter."""

    def __init__(self, validators: ValidatorSet) -> None:
        self._validators = validators
        self._votes: dict[View, dict[ValidatorIndex, Vote]] = {}
        self._certified: set[View] = set()

    def wants(self, vote: Vote, view: View) -> bool:
        """Whether this vote could still help while we are in `view`: a cheap look before its signature is checked."""
        if not view - 1 <= vote.body.view <= view + limits.VIEWS_AHEAD or vote.body.view in self._certified:
            return False
        return vote.voter not in self._votes.get(vote.body.view, ())

    def add(self, vote: Vote) -> QC | None:
        """Keeps a checked vote; returns the QC that it completes."""
        votes = self._votes.setdefault(vote.body.view, {})
        votes.setdefault(vote.voter, vote)
        same = {voter: kept.signature for voter, kept in votes.items() if kept.body == vote.body}
        if not self._validators.is_quorum(same):
            return None
        self._certified.add(vote.body.view)
        return make_qc(vote.body, same, self._validators.count)

    def enter(self, view: View) -> None:
        """Drops what can no longer help."""
        self._votes = {kept: votes for kept, votes in self._votes.items() if kept >= view - 1}
        self._certified = {kept for kept in self._certified if kept >= view - 1}

    def bodies(self, view: View) -> set[VoteBody]:
        """The bodies voted for in a view (for traces and tests)."""
        return {vote.body for vote in self._votes.get(view, {}).values()}


class TimeoutPool:
    """Timeouts by view and signer."""

    def __init__(self, validators: ValidatorSet) -> None:
        self._validators = validators
        self._timeouts: dict[View, dict[ValidatorIndex, Timeout]] = {}

    def add(self, timeout: Timeout, view: View) -> bool:
        """Keeps a checked timeout of `view` or the view before; returns whether it was new."""
        if not view - 1 <= timeout.view <= view:
            return False
        same_view = self._timeouts.setdefault(timeout.view, {})
        if timeout.signer in same_view:
            return False
        same_view[timeout.signer] = timeout
        return True

    def knows(self, view: View, signer: ValidatorIndex) -> Timeout | None:
        """The signer's timeout of `view`, if kept."""
        return self._timeouts.get(view, {}).get(signer)

    def of_view(self, view: View) -> tuple[Timeout, ...]:
        """All kept timeouts of `view`."""
        return tuple(self._timeouts.get(view, {}).values())

    def certificate(self, timeouts: Iterable[Timeout]) -> TC | None:
        """The TC of these timeouts of one view, if they are a quorum."""
        ordered = sorted(timeouts, key=lambda timeout: timeout.signer)
        signers = tuple(timeout.signer for timeout in ordered)
        if not self._validators.is_quorum(signers):
            return None
        return TC(
            ordered[0].body.epoch,
            ordered[0].view,
            signers,
            tuple(timeout.body for timeout in ordered),
            tuple(timeout.signature for timeout in ordered),
            self._validators.count,
        )

    def enter(self, view: View) -> None:
        """Drops what can no longer help."""
        self._timeouts = {kept: entries for kept, entries in self._timeouts.items() if kept >= view - 1}


class ReportPool:
    """The latest report of each validator for views that we lead."""

    def __init__(self, validators: ValidatorSet) -> None:
        self._validators = validators
        self._reports: dict[View, dict[ValidatorIndex, LaneReport]] = {}

    def wants(self, report: LaneReport, view: View) -> bool:
        """Whether this report is for a view ahead and newer than what we have."""
        if not view <= report.view <= view + limits.VIEWS_AHEAD:
            return False
        kept = self._reports.get(report.view, {}).get(report.validator)
        return kept is None or kept.sent_ms < report.sent_ms

    def add(self, report: LaneReport) -> None:
        """Keeps a checked report."""
        self._reports.setdefault(report.view, {})[report.validator] = report

    def smallest_quorum(self, view: View, sent_ms_min: int) -> tuple[LaneReport, ...] | None:
        """The smallest quorum with the largest W among reports sent at `sent_ms_min` or later, sorted by validator."""
        usable = [report for report in self._reports.get(view, {}).values() if report.sent_ms >= sent_ms_min]
        usable.sort(key=lambda report: (-report.sent_ms, report.validator))
        chosen: list[LaneReport] = []
        for report in usable:
            chosen.append(report)
            if self._validators.is_quorum(kept.validator for kept in chosen):
                return tuple(sorted(self._without_spare(chosen), key=lambda kept: kept.validator))
        return None

    def _without_spare(self, chosen: list[LaneReport]) -> list[LaneReport]:
        """Drops the oldest reports that the quorum does not need (with unequal stakes there may be some)."""
        for report in reversed(chosen.copy()):
            rest = [kept for kept in chosen if kept is not report]
            if self._validators.is_quorum(kept.validator for kept in rest):
                chosen = rest
        return chosen

    def enter(self, view: View) -> None:
        """Drops what can no longer help."""
        self._reports = {kept: reports for kept, reports in self._reports.items() if kept >= view}
