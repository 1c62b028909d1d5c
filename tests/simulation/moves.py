"""What one Byzantine validator may do at random, aimed at what is hard.

It prefers stale highs, equivocates, votes twice, hides what it has and shows it late, and lies about what it holds.
Every object it shows an honest node is signed by those whose names it bears.
"""

import itertools
import random
from collections.abc import Callable
from dataclasses import replace

from consensus.numbers import View
from consensus.vocabulary.certificates import QC, TC, TimeoutBody
from consensus.vocabulary.tip import Tip
from tests.simulation.adversary import Adversary


class RandomMoves:
    """The moves of one member of an adversary."""

    def __init__(self, adversary: Adversary, member: int, rng: random.Random) -> None:
        self.adversary = adversary
        self.byzantine = member
        self.random = rng
        self.cluster = adversary.cluster
        self.honest = [node.index for node in self.cluster.honest]
        self._moves: tuple[Callable[[int], None], ...] = (
            self._propose,
            self._propose,
            self._split,
            self._vote,
            self._vote,
            self._time_out,
            self._time_out,
            self._lie,
            self._break_a_rule,
            self._show_qc,
            self._show_tc,
            self._show_tip,
        )

    def act(self, view: int) -> None:
        """One move in `view`."""
        self.random.choice(self._moves)(view)

    def _some(self) -> list[int]:
        return self.random.sample(self.honest, self.random.randrange(1, len(self.honest) + 1))

    def _any_tip(self, view: int) -> Tip | None:
        tips = sorted((tip for tip in self.adversary.tips.values() if view - 6 <= tip.view <= view), key=_name)
        return self.random.choice(tips) if tips else None

    def _any_high(self, view: int) -> Tip | QC:
        """A tip or QC below `view`, rather an old one."""
        qcs = [qc for number, qc in self.adversary.qcs.items() if number < view]
        tips = sorted((tip for tip in self.adversary.tips.values() if tip.view <= view), key=_name)
        pool: list[Tip | QC] = [*qcs[-4:], *tips[-6:]]
        return self.random.choice(pool)

    def _any_tc(self, view: int) -> TC | None:
        if view < 1:
            return None
        if self.random.random() < 0.2 and view in self.adversary.tcs:
            return self.adversary.tcs[view]
        signers = sorted(self.adversary.timeouts[view].keys() - set(self.adversary.members))
        self.random.shuffle(signers)
        for size in range(len(signers) + 1):
            certificate = self.adversary.tc(view, signers[:size], self._any_high(view))
            if certificate is not None:
                return certificate
        return None

    def _propose(self, view: int) -> None:
        """As leader: any valid proposal it can make, or one on whatever it likes."""
        if self.cluster.leader(view) != self.byzantine:
            return
        entry = self._any_tc(view - 1) if self.random.random() < 0.5 else None
        if entry is not None and entry.high.names_tip:
            tip = self.adversary.tips.get(entry.high.tip_id)
            if tip is not None:
                self.adversary.propose(view, tip, self._some(), entry)
            return
        named = entry.high.qc_view if entry else view - 1
        if self.random.random() < 0.2:
            named = max(0, named - self.random.randrange(1, 4))
        justify = self.adversary.qc(named)
        if justify is None:
            return
        tip = self.adversary.fresh_tip(view, justify, entry, salt=self.random.randrange(4))
        if tip is not None:
            self.adversary.propose(view, tip, self._some())

    def _split(self, view: int) -> None:
        """As leader after a failed view: two fresh tips, each with a proof of its own, to two halves of the honest."""
        if self.cluster.leader(view) != self.byzantine:
            return
        known = sorted(self.adversary.timeouts[view - 1].keys() - set(self.adversary.members))
        entries: dict[int, TC] = {}
        for signers in itertools.combinations(known, max(0, len(known) - 1)):
            entry = self.adversary.tc(view - 1, signers, self.adversary.qcs[0])
            if entry is not None and not entry.high.names_tip:
                entries[entry.high.qc_view] = entry
        halves = self.random.sample(self.honest, len(self.honest))
        for half, (qc_view, entry) in enumerate(sorted(entries.items())[:2]):
            justify = self.adversary.qc(qc_view)
            tip = self.adversary.fresh_tip(view, justify, entry) if justify is not None else None
            if tip is not None:
                self.adversary.propose(view, tip, halves[half::2])
                self.adversary.vote(tip, view, self._some(), self.byzantine)

    def _vote(self, view: int) -> None:
        tip = self._any_tip(view)
        if tip is not None:
            self.adversary.vote(tip, view, self._some(), self.byzantine)

    def _time_out(self, view: int) -> None:
        entry = self.adversary.qcs.get(view - 1) or self.adversary.tcs.get(view - 1)
        if entry is not None:
            self.adversary.time_out(view, self._any_high(view), entry, self._some(), self.byzantine)

    def _lie(self, view: int) -> None:
        """A timeout that claims another view or justify view for a tip; or the re-proposal that builds on it."""
        tip = self._any_tip(view)
        entry = self.adversary.qcs.get(view - 1) or self.adversary.tcs.get(view - 1)
        if tip is None or entry is None:
            return
        highest = self.random.random() < 0.6
        claimed = view if highest else self.random.randrange(1, view + 1)
        below = claimed - 1 if highest else self.random.randrange(claimed)
        body = TimeoutBody(tip.header.epoch, View(view), View(claimed), tip.id, View(below))
        if self.cluster.leader(view + 1) == self.byzantine and self.random.random() < 0.8:
            certificate = self.adversary.tc(view, self.honest, body)
            if certificate is not None and certificate.high.tip_id == tip.id:
                self.adversary.propose(view + 1, tip, self._some(), certificate)
            return
        honest = self.adversary.forge.timeout(view, self.byzantine, tip, entry)
        signature = self.adversary.forge.sign_timeout(body, self.byzantine)
        self.adversary.send(replace(honest, body=body, signature=signature), self._some(), self.byzantine)

    def _break_a_rule(self, view: int) -> None:
        """A proposal that no honest node takes: another tip or base than the TC names, or a QC of too few."""
        rng, adversary = self.random, self.adversary
        tip, entry = self._any_tip(view), self._any_tc(view - rng.choice((1, 1, 2)))
        if self.cluster.leader(view) == self.byzantine and entry is not None and tip is not None:
            if rng.random() < 0.5:
                adversary.propose(view, tip, self.honest, entry)
                return
            base = adversary.qcs[rng.choice(sorted(adversary.qcs)[-5:])]
            made = adversary.fresh_tip(view, base, entry, salt=9) if base.view < view else None
            if made is not None:
                adversary.propose(view, made, self.honest)
        elif tip is not None:
            weak = adversary.forge.certify(tip, max(tip.view, view - 1), signers=[self.byzantine])
            adversary.send(weak, self._some(), self.byzantine)

    def _show_qc(self, view: int) -> None:
        qc = self.adversary.qc(max(0, view - self.random.randrange(4)))
        if qc is not None and qc.view > 0:
            self.adversary.send(qc, self._some(), self.byzantine)

    def _show_tc(self, view: int) -> None:
        certificate = self._any_tc(view - self.random.randrange(2))
        if certificate is not None:
            self.adversary.send(certificate, self._some(), self.byzantine)

    def _show_tip(self, view: int) -> None:
        tip = self._any_tip(view)
        if tip is not None:
            self.adversary.send(tip, self._some(), self.byzantine)


def _name(tip: Tip) -> tuple[int, bytes]:
    return tip.view, tip.id
