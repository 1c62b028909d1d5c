"""Members whose lane reports lie: about the time, the L1, or what they hold and since when."""

from collections.abc import Iterable
from dataclasses import replace

from consensus.numbers import Milliseconds
from consensus.signing import sha256
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.messages import Vote
from consensus.vocabulary.report import LaneReport, LaneRow
from tests.simulation.attackers.attacker import Attacker, Said
from tests.simulation.cluster import Sent
from tests.simulation.keys import node_key

AGE_MS_MAX = 2**32 - 1


class _Reporter(Attacker):
    """Changes its node's reports, alone and on votes."""

    def change(self, report: LaneReport) -> LaneReport:
        """The lie, unsigned."""
        return report

    def lie(self, sent: Sent) -> Iterable[Said]:
        message = sent.message
        if isinstance(message, LaneReport):
            return ((0.0, self._signed(message)),)
        if isinstance(message, Vote) and message.report is not None:
            return ((0.0, replace(message, report=self._signed(message.report))),)
        return ((0.0, message),)

    def _signed(self, report: LaneReport) -> LaneReport:
        return self.change(report).sign(self.cluster.chain, node_key(self.member))


class ClockLiar(_Reporter):
    """Its reports come from the future, or from as far back as they are still taken."""

    def begin(self) -> None:
        self._shift_ms = self.random.choice((-3_600_000, -50, -10, 10, 50, 3_600_000, 365 * 24 * 3_600_000))

    def change(self, report: LaneReport) -> LaneReport:
        shifted_ms = report.sent_ms + self._shift_ms
        sent_ms = shifted_ms if self._shift_ms > 0 else max(self.adversary.newest_ts_ms, shifted_ms)
        return replace(report, sent_ms=Milliseconds(sent_ms))


class AnchorForger(_Reporter):
    """Its reports name an L1 block that does not exist, far ahead or at a number that others report."""

    def change(self, report: LaneReport) -> LaneReport:
        number = self.random.choice((report.l1_final.number, report.l1_final.number + 4, 2**62))
        return replace(report, l1_final=Anchor(number, sha256(b"no block")))


class BackdatingAuthor(_Reporter):
    """Authors batches; claims to hold them since long ago, and those of others since a moment ago."""

    def on_tick(self, view: int) -> None:
        if self.random.random() < 0.2 and self.cluster.nodes[self.member].alive:
            self.cluster.batch(self.member)

    def change(self, report: LaneReport) -> LaneReport:
        rows = [
            LaneRow(
                row.base_seq,
                tuple((digest, AGE_MS_MAX if lane == self.member else 0) for digest, _ in row.batches),
            )
            for lane, row in enumerate(report.lanes)
        ]
        return replace(report, lanes=tuple(rows))


class ReportMiser(_Reporter):
    """Lists nothing of anybody's lane but its own."""

    def change(self, report: LaneReport) -> LaneReport:
        rows = [row if lane == self.member else LaneRow(row.base_seq, ()) for lane, row in enumerate(report.lanes)]
        return replace(report, lanes=tuple(rows))
