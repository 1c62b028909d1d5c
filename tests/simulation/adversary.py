"""What Byzantine validators can do: they see every message, own their keys, and talk to whom they like.

Responsible for: remembering all statements seen and making new ones out of them and of the own keys: tips, proposals,
votes, timeouts, certificates out of any quorum.
Refuses to do: use an honest key. Whatever it shows an honest node was signed by those whose names it bears.
"""

import random
from collections import defaultdict
from collections.abc import Iterable
from functools import partial

from consensus.numbers import BlockId, ValidatorIndex, View
from consensus.replica.effects import Message
from consensus.replica.state import received
from consensus.vocabulary.certificates import QC, TC, Certificate, TimeoutBody, VoteBody
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Tip
from tests.simulation.cluster import Cluster, Sent, reencode
from tests.simulation.forge import START_MS, Forge


class Adversary:
    """The Byzantine validators of a cluster, acting together."""

    def __init__(self, cluster: Cluster, *members: int) -> None:
        self.cluster = cluster
        self.members = members
        self.forge = Forge(cluster.chain)
        self.tips: dict[BlockId, Tip] = {}
        self.votes: dict[VoteBody, dict[ValidatorIndex, bytes]] = defaultdict(dict)
        self.timeouts: dict[int, dict[ValidatorIndex, tuple[TimeoutBody, bytes]]] = defaultdict(dict)
        self.reports: dict[int, dict[ValidatorIndex, LaneReport]] = defaultdict(dict)
        self.qcs: dict[int, QC] = {0: self.forge.genesis_qc}
        self.tcs: dict[int, TC] = {}
        self._by_view: dict[int, list[Tip]] = defaultdict(list)
        self._votes_by_view: dict[int, list[VoteBody]] = defaultdict(list)
        self.newest_ts_ms = 0  # of any justify seen
        self.proposals: dict[int, list[Proposal]] = defaultdict(list)
        cluster.byzantine.update(members)
        cluster.on_transmit = self._see

    # what it knows

    def _see(self, sent: Sent) -> None:
        message = sent.message
        match message:
            case Proposal():
                self.proposals[message.view].append(message)
                self._see_tip(message.tip)
                if message.entry is not None:
                    self._see_certificate(message.entry)
            case Tip():
                self._see_tip(message)
            case Vote():
                self._see_vote(message)
            case Timeout():
                self.timeouts[message.view][message.signer] = (message.body, message.signature)
                self._see_certificate(message.entry)
                if message.qc is not None:
                    self._see_certificate(message.qc)
                if message.backup_vote is not None:
                    self._see_vote(message.backup_vote)
            case QC() | TC():
                self._see_certificate(message)
            case LaneReport():
                self.reports[message.view][message.validator] = message

    def keep_tip(self, tip: Tip) -> None:
        """Remembers a tip, seen or made."""
        if tip.id not in self.tips:
            self._by_view[tip.view].append(tip)
            self.newest_ts_ms = max(self.newest_ts_ms, tip.justify.body.ts_ms)
        self.tips[tip.id] = tip

    def recent_tips(self, first: int, last: int) -> list[Tip]:
        """Tips of these views, by view, in the order in which they were seen."""
        return [tip for view in range(max(1, first), last + 1) for tip in self._by_view.get(view, ())]

    def _see_tip(self, tip: Tip) -> None:
        self.keep_tip(tip)
        self._see_certificate(tip.justify)
        if tip.fresh is not None:
            self._see_certificate(tip.fresh)

    def _see_vote(self, vote: Vote) -> None:
        if vote.body not in self.votes:
            self._votes_by_view[vote.body.view].append(vote.body)
        self.votes[vote.body][vote.voter] = vote.signature
        if vote.report is not None:
            self.reports[vote.report.view][vote.report.validator] = vote.report

    def _see_certificate(self, certificate: Certificate) -> None:
        if isinstance(certificate, QC):
            self.qcs.setdefault(certificate.view, certificate)
            return
        self.tcs.setdefault(certificate.view, certificate)
        for signer, body, signature in zip(
            certificate.signers, certificate.bodies, certificate.signatures, strict=True
        ):
            self.timeouts[certificate.view].setdefault(signer, (body, signature))

    def tips_of(self, view: int) -> list[Tip]:
        """Every tip of `view` that was ever shown to anybody."""
        return [tip for tip in self.tips.values() if tip.view == view]

    # what it makes

    def qc(self, view: int) -> QC | None:
        """A QC of `view`: one that was seen, or made of votes seen and own ones."""
        if view in self.qcs:
            return self.qcs[view]
        for body in self._votes_by_view.get(view, ()):
            signatures = self._signatures(body)
            if self.cluster.chain.validator_set.is_quorum(signatures):
                voters = tuple(sorted(signatures))
                self.qcs[view] = QC(body, voters, tuple(signatures[voter] for voter in voters), self.forge.count)
                return self.qcs[view]
        return None

    def _signatures(self, body: VoteBody) -> dict[ValidatorIndex, bytes]:
        own = {ValidatorIndex(member): self.forge.vote(body, member).signature for member in self.members}
        return self.votes[body] | own

    def votes_of(self, view: int) -> list[tuple[VoteBody, dict[ValidatorIndex, bytes]]]:
        """The bodies voted for in a view, with the signatures seen."""
        return [(body, self.votes[body]) for body in self._votes_by_view.get(view, ())]

    def other_qc(self, qc: QC, rng: random.Random) -> QC | None:
        """A QC for the same body with other signers, if enough votes were seen."""
        signatures = self._signatures(qc.body) | dict(zip(qc.signers, qc.signatures, strict=True))
        mixed = rng.sample(sorted(signatures), len(signatures))
        for size in range(1, len(mixed) + 1):
            chosen = tuple(sorted(mixed[:size]))
            if self.cluster.chain.validator_set.is_quorum(chosen):
                other = QC(qc.body, chosen, tuple(signatures[voter] for voter in chosen), self.forge.count)
                return other if other.encoded != qc.encoded else None
        return None

    def usable_reports(self, view: int, justify: QC) -> dict[ValidatorIndex, LaneReport]:
        """Reports that a tip of `view` on `justify` may quote, the members' own made up where there is none."""
        found = {
            validator: report
            for validator, report in self.reports[view].items()
            if report.sent_ms >= justify.body.ts_ms
        }
        sent_ms = max(START_MS + int(self.cluster.time_ms), justify.body.ts_ms)
        for member in self.members:
            found.setdefault(ValidatorIndex(member), self.forge.report(view, member, sent_ms))
        return found

    def tc(self, view: int, honest: Iterable[int], high: Tip | QC | TimeoutBody) -> TC | None:
        """A TC of these honest signers' timeouts, with the members' own, which report `high`."""
        known = self.timeouts[view]
        bodies = {signer: known[ValidatorIndex(signer)] for signer in honest if signer in known}
        own = high if isinstance(high, TimeoutBody) else self.forge.body(view, high)
        for member in self.members:
            bodies[member] = (own, self.forge.sign_timeout(own, member))
        if not self.cluster.chain.validator_set.is_quorum(bodies):
            return None
        signers = tuple(ValidatorIndex(signer) for signer in sorted(bodies))
        return TC(
            own.epoch,
            View(view),
            signers,
            tuple(bodies[signer][0] for signer in signers),
            tuple(bodies[signer][1] for signer in signers),
            self.forge.count,
        )

    def fresh_tip(self, view: int, justify: QC, fresh: TC | None = None, *, salt: int = 0) -> Tip | None:
        """A valid fresh tip of reports seen; another `salt` gives another tip. None without a quorum of reports."""
        sent_ms = max(START_MS + int(self.cluster.time_ms), justify.body.ts_ms)
        reports = {
            validator: report
            for validator, report in self.reports[view].items()
            if report.sent_ms >= justify.body.ts_ms and validator not in self.members
        }
        for member in self.members:
            reports[ValidatorIndex(member)] = self.forge.report(view, member, sent_ms + salt)
        if not self.cluster.chain.validator_set.is_quorum(reports):
            return None
        tip = self.forge.tip(view, justify, fresh, tuple(reports[validator] for validator in sorted(reports)))
        self.keep_tip(tip)
        return tip

    # what it does

    def send(
        self, message: Message, receivers: Iterable[int], sender: int | None = None, *, is_evidence: bool = True
    ) -> None:
        """Delivers after a link's delay, whatever partitions say. Not `is_evidence`: what honest names stand under is
        not what they signed, so it must convince nobody.
        """
        cluster = self.cluster
        source = ValidatorIndex(self.members[0] if sender is None else sender)
        if is_evidence:
            cluster.watcher.see(source, message)
        cluster.witness(message)
        decoded = reencode(message, cluster.count)
        for receiver in receivers:
            if receiver in cluster.byzantine:
                continue
            event = received(source, decoded)
            cluster.after(cluster.delay(source, receiver), partial(cluster.nodes[receiver].step, event))

    def propose(self, view: int, tip: Tip, receivers: Iterable[int], entry: TC | None = None) -> None:
        """Shows a proposal of a view that a member leads."""
        leader = self.cluster.leader(view)
        assert leader in self.members
        self.send(self.forge.proposal(view, tip, entry), receivers, leader)

    def vote(self, tip: Tip, view: int, receivers: Iterable[int], member: int | None = None) -> None:
        """Votes for a tip in any view, as often as it likes."""
        voter = self.members[0] if member is None else member
        self.send(self.forge.vote(tip.vote_body(View(view)), voter), receivers, voter)

    def time_out(
        self, view: int, high: Tip | QC, entry: Certificate, receivers: Iterable[int], member: int | None = None
    ) -> None:
        """Sends a timeout of `view` that reports `high`."""
        signer = self.members[0] if member is None else member
        self.send(self.forge.timeout(view, signer, high, entry), receivers, signer)
