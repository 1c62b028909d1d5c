"""Voters that say two things, and collectors of votes that keep what they have."""

from collections.abc import Iterable

from consensus.vocabulary.certificates import QC
from consensus.vocabulary.messages import Vote
from tests.simulation.attackers.attacker import Attacker, Said
from tests.simulation.cluster import Sent


class DoubleVoter(Attacker):
    """Votes for every tip in every view that somebody may still count."""

    possesses = False

    def on_view(self, view: int) -> None:
        for tip in self.recent_tips(view)[-4:]:
            for late in (0, 1):
                self.adversary.vote(tip, max(tip.view, view - late), self.honest, self.member)


class VoteSplitter(Attacker):
    """Gives half of the others a vote for the tip and the rest one for another tip or none."""

    def begin(self) -> None:
        self._voted: dict[int, list[int]] = {}

    def lie(self, sent: Sent) -> Iterable[Said]:
        if not isinstance(sent.message, Vote):
            return ((0.0, sent.message),)
        view = sent.message.body.view
        if view not in self._voted:
            self._voted = {view: self.halves()[0]}
        if sent.receiver in self._voted[view]:
            return ((0.0, sent.message),)
        others = [tip for tip in self.recent_tips(view) if tip.id != sent.message.body.block_id]
        if not others:
            return ()
        other = self.forge.vote(others[-1].vote_body(view), self.member, sent.message.report)
        return ((0.0, other),)


class QcHoarder(Attacker):
    """Keeps its votes and QCs back, completes QCs with them alone, and shows those later, to one or a few."""

    def begin(self) -> None:
        self._shown: set[int] = set()

    def lie(self, sent: Sent) -> Iterable[Said]:
        return () if isinstance(sent.message, QC | Vote) else ((0.0, sent.message),)

    def on_view(self, view: int) -> None:
        age = self.random.choice((0, 1, 1, 2, 3))
        hoarded = self.adversary.qc(max(0, view - age))
        if hoarded is not None and hoarded.view > 0 and hoarded.view not in self._shown:
            self._shown.add(hoarded.view)
            receivers = self.random.sample(self.honest, self.random.choice((1, 1, max(1, len(self.honest) // 2))))
            delay_ms = self.random.uniform(0, 1.5) * self.cluster.timing.view_timeout_ms
            self.cluster.after(delay_ms, lambda: self.adversary.send(hoarded, receivers, self.member))
