"""A real validator that lies: the node as it is, but for what it says of consensus.

    python -m tests.e2e.byzantine_validator start --home …      (as `sequencer start`)

It equivocates as leader, showing half of the others one tip first and the rest another, and gives half of them a vote
with another body than the rest.
"""

import sys
from dataclasses import replace

from consensus.numbers import Milliseconds, ValidatorIndex
from consensus.ordering.blocktime import block_anchor, block_time
from consensus.ordering.cut import determine_cut
from consensus.replica.effects import Message
from consensus.replica.lane_reports import make_report
from consensus.replica.state import State
from consensus.signing import sha256
from consensus.vocabulary.messages import Proposal, Vote
from consensus.vocabulary.report import encode_reports
from sequencer.cli.main import main
from sequencer.node.consensus_driver import ConsensusDriver
from sequencer.node.frames import encode_message


def second_proposal(state: State, proposal: Proposal) -> Proposal | None:
    """A valid proposal beside a fresh one (equal stakes): as many reports, but one of ours from another moment."""
    tip, chain = proposal.tip, state.chain
    if proposal.entry is not None:
        return None
    own = make_report(state, tip.view)
    later = replace(own, sent_ms=Milliseconds(own.sent_ms + 1)).sign(chain, state.key)
    others = [report for report in tip.reports if report.validator != state.me]
    reports = tuple(sorted([later, *others[: len(tip.reports) - 1]], key=lambda report: report.validator))
    validators = chain.validator_set
    header = replace(
        tip.header,
        ts_ms=block_time(reports, tip.justify.body.ts_ms, validators),
        l1_anchor=block_anchor(reports, validators),
        cut_root=determine_cut(reports, validators).root(),
        reports_hash=sha256(encode_reports(reports, validators.count)),
    )
    other = replace(tip, header=header, reports=reports, author_sig=state.key.sign(header.signing_digest(chain)))
    unsigned = replace(proposal, tip=other)
    return replace(unsigned, leader_sig=state.key.sign(unsigned.signing_digest(chain)))


def second_vote(state: State, vote: Vote) -> Vote:
    """A vote for the same block with another time."""
    body = replace(vote.body, ts_ms=Milliseconds(vote.body.ts_ms + 1))
    return Vote(body, vote.voter, state.key.sign(body.signing_digest(state.chain.domain)), vote.report)


def lie(state: State, message: Message) -> Message | None:
    """What half of the others get instead of this."""
    match message:
        case Proposal():
            return second_proposal(state, message)
        case Vote() if message.voter == state.me:
            return second_vote(state, message)
        case _:
            return None


class LyingDriver(ConsensusDriver):
    """Posts one thing to some and another to others."""

    def _post(self, message: Message, to: ValidatorIndex | None) -> None:
        state = self.replica.state
        other = lie(state, message)
        if other is None:
            super()._post(message, to)
            return
        receivers = [to] if to is not None else [peer for peer in state.members if peer != state.me]
        for place, peer in enumerate(receivers):
            said = (other, message) if (place + state.view) % 2 else (message, other)
            for each in said if isinstance(message, Proposal) else said[:1]:
                self._post_to(peer, each)

    def _post_to(self, peer: ValidatorIndex, message: Message) -> None:
        kind, body = encode_message(message)

        def deliver() -> None:
            if self._host is not None:
                self._host.send(peer, kind, body, urgent=True)

        self._outbox.post(deliver)


if __name__ == "__main__":
    import sequencer.node.node

    sequencer.node.node.ConsensusDriver = LyingDriver  # type: ignore[attr-defined]
    sys.exit(main(sys.argv[1:]))
