"""Turns the effects of a cluster into short, stable lines: who did what, in which order.

Tips are named after the view they were made in (a second one of a view gets a letter), batches `lane:seq`. The same
words by several nodes within one command make one line. Timers are not shown; saves and lane reports only if wanted.
"""

from consensus.numbers import BlockId, Digest
from consensus.ordering.cut import determine_cut
from consensus.replica.effects import (
    Broadcast,
    Commit,
    Confirm,
    Effect,
    EnterView,
    FetchTips,
    Message,
    NeedBatches,
    PeerFault,
    Save,
    Send,
)
from consensus.replica.safety import SafetyRecord
from consensus.vocabulary.certificates import QC
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Tip
from tests.simulation.cluster import Cluster
from tests.simulation.node import Node


class Trace:
    """Collects the lines of one command after another."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._names: dict[BlockId, str] = {}
        self._said: set[tuple[int, str]] = set()  # statements of a node that it may send many times
        self._lines: dict[str, tuple[float, list[int]]] = {}
        self._records: dict[int, SafetyRecord] = {}
        self.shows_saves = self.shows_reports = False
        cluster.observers.append(self._observe)

    def take(self) -> list[str]:
        """The lines since the last call."""
        lines = []
        for text, (time_ms, nodes) in self._lines.items():
            lines.append(f"  {time_ms:6.1f}  {' '.join(map(str, sorted(nodes)))}: {text}")
        self._lines = {}
        return lines

    def say(self, node: int, text: str) -> None:
        """Adds a line, or a node to the line that says the same."""
        _, nodes = self._lines.setdefault(text, (self._cluster.time_ms, []))
        if node not in nodes:
            nodes.append(node)

    def name(self, tip: Tip) -> str:
        """`tip 3`, or `tip 3b` for the second tip of view 3 that is mentioned."""
        return self._name(tip.id, tip.view)

    def _name(self, tip_id: BlockId, view: int) -> str:
        if tip_id not in self._names:
            others = sum(name.removeprefix("tip ").rstrip("bcdef") == str(view) for name in self._names.values())
            self._names[tip_id] = f"tip {view}" + ("" if others == 0 else "bcdef"[others - 1])
        return self._names[tip_id]

    def named(self, name: str) -> BlockId:
        """The id of the tip with this name."""
        return next(tip_id for tip_id, known in self._names.items() if known == name)

    def _batch(self, lane: int, digest: Digest) -> str:
        lanes = self._cluster.lanes[lane]
        return f"{lane}:{lanes.index(digest) + 1 if digest in lanes else digest.hex()[:8]}"

    def _observe(self, node: Node, effect: Effect) -> None:
        text = self._text(node, effect)
        if text is not None:
            self.say(node.index, text)
        if self.shows_reports and isinstance(effect, Send):
            report = effect.message.report if isinstance(effect.message, Vote) else effect.message
            if isinstance(report, LaneReport):
                self.say(node.index, self._reported(report, effect.to))

    def _reported(self, report: LaneReport, to: int) -> str:
        """How far the report says that each lane is held."""
        ends = [(lane, row.base_seq, row.base_seq + len(row.batches)) for lane, row in enumerate(report.lanes)]
        held = " ".join(f"{lane}:{end}" for lane, _, end in ends if end)
        base = " ".join(f"{lane}:{base}" for lane, base, _ in ends if base)
        committed = f", committed up to {base}" if base else ""
        return f"reports to {to} for view {report.view}: {held or 'nothing'}{committed}"

    def _saved(self, node: Node, record: SafetyRecord) -> str | None:
        """What a save adds to the one before."""
        before = self._records.get(node.index)
        self._records[node.index] = record
        parts = []
        if record.vote is not None and (before is None or before.voted_view < record.voted_view):
            parts.append(f"its vote of view {record.voted_view}")
        if record.timeout is not None and (before is None or before.timeout_view < record.timeout_view):
            parts.append(f"its timeout of view {record.timeout_view}")
        if record.proposal is not None and (before is None or before.proposed_view < record.proposed_view):
            parts.append(f"its proposal of view {record.proposed_view}")
        return "saves " + " and ".join(parts) if parts else None

    def _text(self, node: Node, effect: Effect) -> str | None:
        match effect:
            case Save(record):
                saved = self._saved(node, record)
                return saved if self.shows_saves else None
            case Broadcast(message):
                return self._sent(node, message, None)
            case Send(to, message):
                return self._sent(node, message, to)
            case EnterView(view, _, by_timeout):
                return self._entered(node, view, by_timeout)
            case Confirm(tip):
                return f"confirms {self.name(tip)}"
            case Commit(blocks):
                return "commits " + ", ".join(self._block(block.tip, block.batches) for block in blocks)
            case FetchTips(wanted, _, peers):
                return f"asks {peers[0]} for {self._names.get(wanted, 'an unknown tip')}"
            case NeedBatches(batches):
                return "needs " + " ".join(self._batch(batch.lane, batch.digest) for batch in batches)
            case PeerFault(sender, reason):
                return f"blames {sender}: {reason}"
            case _:
                return None

    def _block(self, tip: Tip, batches: tuple) -> str:
        listed = " ".join(self._batch(batch.lane, batch.digest) for batch in batches)
        return self.name(tip) + (f" [{listed}]" if listed else "")

    def _entered(self, node: Node, view: int, by_timeout: bool) -> str:
        if node.core.state.silent_view == view:
            return f"restarts in view {view}"
        if view == 1:
            return f"starts in view 1, leader {self._cluster.leader(1)}"
        return f"enters view {view}, leader {self._cluster.leader(view)}, by {'TC' if by_timeout else 'QC'} {view - 1}"

    def _sent(self, node: Node, message: Message, to: int | None) -> str | None:
        match message:
            case Proposal():
                return self._once(node, self._proposed(message))
            case Vote():
                return self._once(node, self._voted(message))
            case Timeout():
                return self._timed_out(node, message)
            case QC(body, signers) if to is None:
                voters = " ".join(map(str, signers))
                return f"forms QC {body.view} for {self._name(body.block_id, body.block_view)} of {voters}"
            case Tip():
                return f"sends {self.name(message)} to {to}"
            case _:
                return None

    def _once(self, node: Node, text: str) -> str | None:
        if (node.index, text) in self._said:
            return None
        self._said.add((node.index, text))
        return text

    def _voted(self, vote: Vote) -> str:
        body = vote.body
        late = "" if body.is_fresh else f" in view {body.view}"
        return f"votes for {self._name(body.block_id, body.block_view)}{late}"

    def _proposed(self, proposal: Proposal) -> str:
        tip = proposal.tip
        name = self.name(tip)
        if proposal.entry is not None:
            return f"re-proposes {name} by TC {proposal.entry.view}"
        ends = determine_cut(tip.reports, self._cluster.chain.validator_set).ends
        cut = " ".join(f"{lane}:{end.seq}" for lane, end in enumerate(ends) if end.seq)
        proof = f" by TC {tip.fresh.view}" if tip.fresh else ""
        return f"proposes {name} on QC {tip.justify.view}{proof}" + (f", up to {cut}" if cut else "")

    def _timed_out(self, node: Node, timeout: Timeout) -> str:
        body, vote = timeout.body, timeout.backup_vote
        high = self._name(body.tip_id, body.tip_view) if body.names_tip else f"QC {body.qc_view}"
        voted = ""
        if vote is not None:
            is_cast = (node.index, self._voted(vote)) in self._said
            kind = "its vote" if is_cast else "a backup vote"
            voted = f", with {kind} for {self._name(vote.body.block_id, vote.body.block_view)}"
        text = f"times out in view {timeout.view} with {high}{voted}"
        return self._once(node, text) or f"repeats its timeout of view {timeout.view}"
