"""Leaders that do not propose what the reports say, or not to everybody, or not in time."""

from collections.abc import Iterable
from dataclasses import replace

from consensus.numbers import Digest
from consensus.signing import sha256
from consensus.vocabulary.messages import Proposal
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Tip
from tests.simulation.attackers.attacker import Attacker, Said
from tests.simulation.cluster import Sent
from tests.simulation.keys import node_key


class SilentLeader(Attacker):
    """Never proposes."""

    def lie(self, sent: Sent) -> Iterable[Said]:
        return () if isinstance(sent.message, Proposal | Tip) else ((0.0, sent.message),)


class LateLeader(Attacker):
    """Proposes when the timers of others are about to fire, to each at another moment."""

    def lie(self, sent: Sent) -> Iterable[Said]:
        if not isinstance(sent.message, Proposal):
            return ((0.0, sent.message),)
        return ((self.random.uniform(0.3, 1.3) * self.cluster.timing.view_timeout_ms, sent.message),)


class SelectiveSender(Attacker):
    """In each view only some hear anything of it."""

    def begin(self) -> None:
        self._heard_by: dict[int, list[int]] = {}

    def lie(self, sent: Sent) -> Iterable[Said]:
        view = self.cluster.nodes[self.member].core.state.view if self.cluster.nodes[self.member].alive else 0
        if view not in self._heard_by:
            self._heard_by = {view: self.some()}
        return ((0.0, sent.message),) if sent.receiver in self._heard_by[view] else ()


class _Forging(SilentLeader):
    """Keeps its node's proposals back and makes its own."""

    def on_view(self, view: int) -> None:
        if self.leads(view):
            self.cluster.after(self.random.choice((0.0, 2.0, 5.0)), lambda: self.lead(view))

    def lead(self, view: int) -> None:
        """The view is ours."""


class EquivocatingLeader(_Forging):
    """Shows one tip to some and another to the rest, and votes for both."""

    def lead(self, view: int) -> None:
        ground = self.ground(view)
        if ground is None:
            return
        for salt, receivers in enumerate(self.halves()):
            tip = self.adversary.fresh_tip(view, *ground, salt=salt)
            if tip is not None:
                self.adversary.propose(view, tip, receivers)
                self.adversary.vote(tip, view, self.random.choice((receivers, self.honest)), self.member)


class TailForker(_Forging):
    """Builds on as little as a TC lets it, to leave out what others have voted for; or claims more than it lets."""

    def lead(self, view: int) -> None:
        entry = self.any_tc(view - 1, tries=6)
        if entry is None:
            self._skip_the_parent(view)
            return
        if entry.high.names_tip and self.random.random() < 0.7:
            tip = self.adversary.tips.get(entry.high.tip_id)
            if tip is not None:
                self.adversary.propose(view, tip, self.some(), entry)
            return
        any_base = self.adversary.qcs[self.random.choice(sorted(self.adversary.qcs))]
        bases = [self.adversary.qc(entry.high.qc_view), any_base]
        for base in bases[: self.random.choice((1, 2))]:
            if base is not None and base.view < view:
                tip = self.adversary.fresh_tip(view, base, entry)
                if tip is not None:
                    self.adversary.propose(view, tip, self.some())

    def _skip_the_parent(self, view: int) -> None:
        """QC(view − 1) is known to others: a fresh tip on an older one, with the newest TC there is for a proof."""
        older = self.adversary.qc(max(0, view - 2))
        proof = self.adversary.tcs.get(max(self.adversary.tcs, default=0))
        if older is not None:
            tip = self.adversary.fresh_tip(view, older, proof)
            if tip is not None:
                self.adversary.propose(view, tip, self.honest)


class ReportChooser(_Forging):
    """Quotes the quorum of reports that lists least of one lane, or has the smallest times."""

    def lead(self, view: int) -> None:
        ground = self.ground(view)
        if ground is None:
            return
        victim, by_time = self.random.choice(self.honest), self.random.random() < 0.3
        known = self.adversary.usable_reports(view, ground[0])

        def worth(report: LaneReport) -> tuple[int, int]:
            listed = report.lanes[victim]
            return (report.sent_ms, 0) if by_time else (listed.base_seq + len(listed.batches), report.sent_ms)

        chosen: list[LaneReport] = []
        for report in sorted(known.values(), key=worth):
            chosen.append(report)
            if self.cluster.chain.validator_set.is_quorum({quoted.validator for quoted in chosen}):
                reports = tuple(sorted(chosen, key=lambda quoted: quoted.validator))
                tip = self.forge.tip(view, *ground, reports)
                self.adversary.keep_tip(tip)
                self.adversary.propose(view, tip, self.honest)
                return


class ReportForger(_Forging):
    """Quotes a report that its validator never made, or an own one that lists what does not exist."""

    def lead(self, view: int) -> None:
        ground = self.ground(view)
        tip = self.adversary.fresh_tip(view, *ground) if ground is not None else None
        if ground is None or tip is None:
            return
        reports = list(tip.reports)
        place = self.random.randrange(len(reports))
        report = reports[place]
        lane = self.random.randrange(self.cluster.count)
        row = report.lanes[lane]
        invented = Digest(sha256(b"invented %d" % self.random.randrange(2**32)))
        rows = list(report.lanes)
        rows[lane] = replace(row, batches=((invented, self.random.randrange(10_000)),))
        forged = replace(report, lanes=tuple(rows))
        if report.validator in self.adversary.members:
            forged = forged.sign(self.cluster.chain, node_key(report.validator))
        reports[place] = forged
        self.adversary.propose(view, self.forge.tip(view, *ground, tuple(reports)), self.honest)


class CertificateSwapper(_Forging):
    """Replaces a certificate inside a proposal by another that says the same, or nearly, after it was signed."""

    def lead(self, view: int) -> None:
        ground = self.ground(view)
        tip = self.adversary.fresh_tip(view, *ground) if ground is not None else None
        if ground is None or tip is None:
            return
        first, second = self.halves()
        self.adversary.propose(view, tip, first)
        swapped = self._swap(tip)
        if swapped is not None:
            self.adversary.send(replace(self.forge.proposal(view, tip), tip=swapped), second, self.member)
            self.adversary.send(swapped, self.honest, self.member)

    def _swap(self, tip: Tip) -> Tip | None:
        other = self.adversary.other_qc(tip.justify, self.random)
        if tip.fresh is not None and self.random.random() < 0.5:
            fresh = self.any_tc(tip.view - 1)
            return replace(tip, fresh=fresh) if fresh is not None else None
        return replace(tip, justify=other) if other is not None else None
