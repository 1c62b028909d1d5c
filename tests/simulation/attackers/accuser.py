"""A member that tries to make honest validators look guilty, to those who listen and to those who judge."""

from dataclasses import replace

from consensus.numbers import ValidatorIndex
from consensus.vocabulary.messages import Timeout, Vote
from tests.simulation.attackers.attacker import Attacker


class Accuser(Attacker):
    """Repeats what honest validators signed with parts exchanged that their signatures do not cover, or with bits of
    them changed. Nobody may believe a word of it, or blame anybody but this member.
    """

    def on_view(self, view: int) -> None:
        for lie in (self._timeout, self._tip, self._proposal, self._vote):
            if self.random.random() < 0.5:
                lie(max(1, view - self.random.randrange(2)))

    def _send(self, message: object) -> None:
        self.adversary.send(message, self.some(), self.member, is_evidence=False)  # type: ignore[arg-type]

    def _timeout(self, view: int) -> None:
        """An honest body in an envelope of other certificates, over our link and over its signer's name."""
        known = sorted(set(self.adversary.timeouts[view]) - set(self.adversary.members))
        entry = self.entry_of(view)
        if not known or entry is None:
            return
        signer = self.random.choice(known)
        body, signature = self.adversary.timeouts[view][ValidatorIndex(signer)]
        qc = self.adversary.qcs[self.random.choice(sorted(self.adversary.qcs))]
        self._send(Timeout(body, ValidatorIndex(signer), signature, qc, None, entry))

    def _tip(self, view: int) -> None:
        """An honest tip with another justify, proof or author's signature."""
        tips = self.recent_tips(view)
        if not tips:
            return
        tip = self.random.choice(tips)
        other = self.adversary.other_qc(tip.justify, self.random)
        changed = [replace(tip, author_sig=bytes(65)), replace(tip, fresh=self.any_tc(max(1, tip.view - 1)))]
        if other is not None:
            changed.append(replace(tip, justify=other))
        self._send(self.random.choice(changed))

    def _proposal(self, view: int) -> None:
        """An honest leader's proposal with another entry or tip under its signature."""
        proposals = self.adversary.proposals.get(view, ())
        if not proposals:
            return
        proposal = self.random.choice(proposals)
        entry = self.any_tc(max(1, view - 1))
        tips = self.recent_tips(view)
        if proposal.entry is not None and entry is not None:
            self._send(replace(proposal, entry=entry))
        elif tips:
            self._send(replace(proposal, tip=tips[0]))

    def _vote(self, view: int) -> None:
        """An honest vote's signature under another body."""
        tips = self.recent_tips(view)
        voters = [(body, votes) for body, votes in self.adversary.votes_of(view) if votes]
        if not tips or not voters:
            return
        body, votes = voters[0]
        voter = min(votes)
        self._send(Vote(replace(body, block_id=tips[0].id, justify_view=tips[0].justify.view), voter, votes[voter]))
