"""Sees every signed statement that ever left a node and convicts by the evidence rules E1 to E5.

Responsible for: collecting statements out of all messages, wherever they stand (certificates, entries, envelopes), and
for what an honest node never does even though nobody could prove it: two timeouts of a view that differ in any byte.
Refuses to do: forgive a restart. A key has one history.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from consensus.replica.effects import Message
from consensus.vocabulary.certificates import QC, TC, Certificate, TimeoutBody, VoteBody
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Tip

_INFINITE = 2**64
Statement = TypeVar("Statement")


@dataclass(frozen=True)
class Conviction:
    """A rule of evidence, whom it convicts, and in which view."""

    rule: str
    validator: int
    view: int


class Watcher:
    """All statements by validator."""

    def __init__(self, leader: Callable[[int], int], is_quorum: Callable[[Iterable[int]], bool]) -> None:
        """`leader`: who leads a view; `is_quorum`: whether these validators are one."""
        self._leader = leader
        self._is_quorum = is_quorum
        self.tips: dict[tuple[int, int], set[bytes]] = defaultdict(set)  # (author, view) → tip ids
        self.proposals: dict[tuple[int, int], set[bytes]] = defaultdict(set)  # (leader, view) → tip ids
        self.votes: dict[tuple[int, int], set[VoteBody]] = defaultdict(set)  # (voter, view)
        self.timeouts: dict[tuple[int, int], set[TimeoutBody]] = defaultdict(set)  # (signer, view)
        self.timeout_bytes: dict[tuple[int, int], set[bytes]] = defaultdict(set)  # (signer, view), sent by the signer
        self.certified: dict[int, set[bytes]] = defaultdict(set)  # view → ids of blocks that a QC was seen for
        self._seen: set[bytes] = set()

    def see(self, sender: int, message: Message) -> None:
        """Takes one message that `sender` sent."""
        match message:
            case Proposal():
                self._proposal(message)
            case Vote():
                self._vote(message)
            case Timeout():
                self._timeout(sender, message)
            case QC() | TC():
                self._certificate(message)
            case Tip():
                self._tip(message)
            case LaneReport():
                pass

    def _is_new(self, encoded: bytes) -> bool:
        if encoded in self._seen:
            return False
        self._seen.add(encoded)
        return True

    def _proposal(self, proposal: Proposal) -> None:
        if not self._is_new(proposal.encoded):
            return
        self.proposals[self._leader(proposal.view), proposal.view].add(proposal.tip.id)
        self._tip(proposal.tip)
        if proposal.entry is not None:
            self._certificate(proposal.entry)

    def _tip(self, tip: Tip) -> None:
        if not self._is_new(tip.encoded):
            return
        self.tips[tip.header.author, tip.view].add(tip.id)
        self._certificate(tip.justify)
        if tip.fresh is not None:
            self._certificate(tip.fresh)

    def _vote(self, vote: Vote) -> None:
        self.votes[vote.voter, vote.body.view].add(vote.body)

    def _timeout(self, sender: int, timeout: Timeout) -> None:
        if sender == timeout.signer:
            self.timeout_bytes[sender, timeout.view].add(timeout.encoded)
        if not self._is_new(timeout.encoded):
            return
        self.timeouts[timeout.signer, timeout.view].add(timeout.body)
        if timeout.qc is not None:
            self._certificate(timeout.qc)
        if timeout.backup_vote is not None:
            self._vote(timeout.backup_vote)
        self._certificate(timeout.entry)

    def _certificate(self, certificate: Certificate) -> None:
        if not self._is_new(certificate.encoded):
            return
        if isinstance(certificate, QC):
            if self._is_quorum(certificate.signers):
                self.certified[certificate.view].add(certificate.body.block_id)
            for signer in certificate.signers:
                self.votes[signer, certificate.view].add(certificate.body)
        else:
            for signer, body in zip(certificate.signers, certificate.bodies, strict=True):
                self.timeouts[signer, certificate.view].add(body)

    # judgement

    def convictions(self) -> list[Conviction]:
        """Everybody who can be convicted, by every rule, in order."""
        found: set[Conviction] = set()
        for rule, table in (("E1", self.tips), ("E2", self.proposals), ("E3", self.votes), ("E5", self.timeouts)):
            for (validator, view), statements in table.items():
                if len(statements) > 1:
                    found.add(Conviction(rule, validator, view))
        for validator in {voter for voter, _ in self.votes}:
            found.update(self._contradictions(validator))
        return sorted(found, key=lambda item: (item.rule, item.validator, item.view))

    def _contradictions(self, validator: int) -> set[Conviction]:
        """E4: a vote for a block of view b on a justify of view j, and a timeout of its view or later below (b, j)."""
        votes = _by_view(self.votes, validator)
        timeouts = _by_view(self.timeouts, validator)
        found, place, highest = set(), 0, (0, 0)
        for view, bodies in timeouts:
            while place < len(votes) and votes[place][0] <= view:
                highest = max(highest, *((body.block_view, body.justify_view) for body in votes[place][1]))
                place += 1
            if any(_rank(body) < highest for body in bodies):
                found.add(Conviction("E4", validator, view))
        return found

    def rewritten(self) -> set[tuple[int, int]]:
        """(signer, view) of timeouts that were not re-sent verbatim."""
        return {key for key, encodings in self.timeout_bytes.items() if len(encodings) > 1}

    def check(self, honest: set[int]) -> None:
        """No honest validator is ever convicted; its timeouts never change."""
        guilty = [item for item in self.convictions() if item.validator in honest]
        assert not guilty, f"honest nodes are convicted: {guilty}"
        rewritten = {key for key in self.rewritten() if key[0] in honest}
        assert not rewritten, f"timeouts of (node, view) changed: {rewritten}"


def _rank(timeout: TimeoutBody) -> tuple[int, int]:
    return (timeout.tip_view, timeout.qc_view) if timeout.tip_view > 0 else (timeout.qc_view, _INFINITE)


def _by_view(table: dict[tuple[int, int], set[Statement]], validator: int) -> list[tuple[int, set[Statement]]]:
    """One validator's statements, by rising view."""
    found = [(view, statements) for (author, view), statements in table.items() if author == validator]
    return sorted(found, key=lambda item: item[0])
