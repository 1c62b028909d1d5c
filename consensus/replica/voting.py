"""Casting a vote: the one place where a vote is signed.

Invariants:
1. At most one vote per view: `voted_view` rises with every vote, backup votes included, and is saved before
   the vote leaves.
2. The tip voted for is stored until executed ▲; the high tip is raised, never overwritten ▲.
"""

from consensus.errors import BrokenInvariant
from consensus.numbers import View
from consensus.replica.state import State
from consensus.vocabulary.messages import Vote
from consensus.vocabulary.tip import Tip

EVERYBODY_MAX = 16  # up to this many validators, votes go to all, so that everybody forms the QC itself


def cast_vote(state: State, tip: Tip, view: View) -> Vote:
    """Signs and records the vote for `tip` in `view`. Raises `BrokenInvariant` if one was cast there before."""
    if state.voted_view >= view:
        raise BrokenInvariant(f"a second vote in view {view}")
    body = tip.vote_body(view)
    vote = Vote(body, state.me, state.key.sign(body.signing_digest(state.chain.domain)))
    state.voted_view, state.vote = view, vote
    state.tree.add(tip, named=True)
    state.raise_high_tip(tip)
    state.mark_dirty(tip)
    return vote
