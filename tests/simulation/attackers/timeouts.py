"""Members that misuse timers, timeouts and certificates."""

from collections.abc import Iterable
from dataclasses import replace

from consensus.numbers import View
from consensus.vocabulary.certificates import QC, TC, TimeoutBody
from consensus.vocabulary.messages import Timeout
from consensus.vocabulary.tip import Tip
from tests.simulation.attackers.attacker import Attacker, Said
from tests.simulation.attackers.leaders import SilentLeader
from tests.simulation.cluster import Sent

FAR = (1_000, 2**40, 2**63 - 2)


class EarlyTimer(Attacker):
    """Times out in every view as soon as it begins."""

    possesses = False

    def on_view(self, view: int) -> None:
        entry = self.entry_of(view)
        if entry is not None:
            qc = self.adversary.qcs[max(number for number in self.adversary.qcs if number < view)]
            self.adversary.time_out(view, qc, entry, self.honest, self.member)


class StaleTipLiar(Attacker):
    """Reports in its timeouts a tip or a QC below what it voted for."""

    def lie(self, sent: Sent) -> Iterable[Said]:
        if not isinstance(sent.message, Timeout):
            return ((0.0, sent.message),)
        timeout = sent.message
        old = [qc for number, qc in self.adversary.qcs.items() if number < timeout.view][-4:]
        pool: list[Tip | QC] = [*old, *self.recent_tips(timeout.view - 1)[-3:]]
        high = self.random.choice(pool)
        stale = self.forge.timeout(timeout.view, self.member, high, timeout.entry, timeout.backup_vote)
        return ((0.0, stale),)


class TimeoutLiar(Attacker):
    """Claims another view or justify view for a tip; as the next leader it re-proposes on that."""

    possesses = False

    def on_view(self, view: int) -> None:
        tips, entry = self.recent_tips(view), self.entry_of(view)
        if not tips or entry is None:
            return
        tip = self.random.choice(tips[-3:])
        claimed = self.random.choice((view, view, tip.view, max(1, tip.view - 1)))
        below = self.random.choice((claimed - 1, max(0, tip.justify.view - 1), tip.justify.view))
        if below >= claimed:
            return
        body = TimeoutBody(tip.header.epoch, View(view), View(claimed), tip.id, View(below))
        honest = self.forge.timeout(view, self.member, tip, entry)
        lie = replace(honest, body=body, signature=self.forge.sign_timeout(body, self.member))
        self.adversary.send(lie, self.some(), self.member)
        if self.leads(view + 1):
            wait_ms = self.random.uniform(0.9, 1.3) * self.cluster.timing.view_timeout_ms
            self.cluster.after(wait_ms, lambda: self._re_propose(view, tip, body))

    def _re_propose(self, view: int, tip: Tip, body: TimeoutBody) -> None:
        certificate = self.adversary.tc(view, self.honest, body)
        if certificate is not None and certificate.high.tip_id == tip.id:
            self.adversary.propose(view + 1, tip, self.honest, certificate)


class TipWithholder(SilentLeader):
    """Makes a tip as leader, shows it to nobody or to one, and names it in its timeouts ever after."""

    def begin(self) -> None:
        self._withheld: Tip | None = None

    def on_view(self, view: int) -> None:
        ground = self.ground(view) if self.leads(view) else None
        if ground is not None:
            self._withheld = self.adversary.fresh_tip(view, *ground) or self._withheld
            if self._withheld is not None and self.random.random() < 0.5:
                self.adversary.propose(view, self._withheld, self.random.sample(self.honest, 1))
        entry = self.entry_of(view)
        if self._withheld is not None and entry is not None and self._withheld.view <= view:
            self.adversary.time_out(view, self._withheld, entry, self.some(), self.member)


class ViewJumper(Attacker):
    """Speaks of views that are far ahead, with numbers that look for an overflow."""

    possesses = False

    def on_view(self, view: int) -> None:
        far = view + self.random.choice((11, 12, *FAR))
        tips, qc = self.recent_tips(view), self.adversary.qcs[max(self.adversary.qcs)]
        if far >= 2**63 - 1:
            far = 2**63 - 2
        if tips:
            self.adversary.vote(tips[-1], far, self.some(), self.member)
        self.adversary.time_out(far, qc, qc, self.some(), self.member)
        self.adversary.send(self.forge.report(far, self.member), self.some(), self.member)
        weak = self.forge.tc(far, {self.member: qc})
        self.adversary.send(weak, self.some(), self.member)


class CertificateSpammer(Attacker):
    """Sends old certificates, many TCs of one view with different signers, and certificates of too few."""

    possesses = False

    def on_view(self, view: int) -> None:
        messages: list[QC | TC] = [qc for qc in list(self.adversary.qcs.values())[-3:] if qc.view]
        messages += [tc for _ in range(3) if (tc := self.any_tc(max(1, view - self.random.randrange(3)))) is not None]
        tips = self.recent_tips(view)
        if tips:
            messages.append(self.forge.certify(tips[-1], view, signers=[self.member]))
        for message in messages:
            self.adversary.send(message, self.some(), self.member)
