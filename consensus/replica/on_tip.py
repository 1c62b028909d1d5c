"""A tip arrives outside a proposal: sent along with a timeout, or fetched by its id.

Invariants:
1. A tip that a valid QC leads to is accepted by its hashes and its author's signature, which they do not cover: more
   than 2/3 of the stake judged the rest. Any other is judged in full.
2. A fetched page is a chain from the wanted tip to its parents; the walk goes on until it meets what we know.
"""

from consensus.errors import InvalidObject
from consensus.numbers import BlockId, View
from consensus.replica.commit import fetch_due, keep_tip, try_commit, try_confirm, want_tip
from consensus.replica.events import TipReceived, TipsFetched
from consensus.replica.on_certificate import use_qc
from consensus.replica.on_timeout import count_timeouts
from consensus.replica.state import State
from consensus.validity import check_content
from consensus.vocabulary.tip import Tip


def on_tip(state: State, event: TipReceived) -> None:
    """A tip that its sender's timeout names."""
    tip = event.tip
    if state.tree.get(tip.id) is not None or tip.view <= state.tree.committed_view or tip.view > state.view:
        return
    _take_judged(state, tip)
    _resume(state)


def _take_judged(state: State, tip: Tip) -> None:
    cut = state.validity.check_tip(tip)
    named = any(
        timeout.body.tip_id == tip.id
        for view in (View(state.view - 1), state.view)
        for timeout in state.timeouts.of_view(view)
    )
    keep_tip(state, tip, cut, named=named)
    state.processed_ts_ms = max(state.processed_ts_ms, tip.header.ts_ms)
    use_qc(state, tip.justify)


def on_tips_fetched(state: State, event: TipsFetched) -> None:
    """A page of tips, the wanted one first; a peer that had none is asked again later, another one first."""
    wanted = state.wanted.get(event.wanted)
    if wanted is None or not event.tips:
        return
    if wanted.certified:
        missing = _take_linked(state, event)
        state.wanted.pop(event.wanted, None)
        if missing is not None:
            want_tip(state, missing, wanted.peers, certified=True, at_once=True)
    else:
        tip = event.tips[0]
        if tip.id != event.wanted:
            raise InvalidObject("unwanted_tip")
        _take_judged(state, tip)
        state.wanted.pop(event.wanted, None)
    fetch_due(state)
    _resume(state)


def _take_linked(state: State, event: TipsFetched) -> BlockId | None:
    """Keeps the tips of a page, by their hashes; returns the id to ask for next, if the chain is not closed."""
    expected = event.wanted
    for tip in event.tips:
        if tip.id != expected:
            raise InvalidObject("unwanted_tip")
        check_content(tip)
        state.validity.check_author(tip)
        keep_tip(state, tip, None, named=True)
        expected = tip.header.parent_id
        if tip.header.height <= state.tree.committed_height + 1:
            break
    return state.tree.missing_ancestor(event.wanted)


def _resume(state: State) -> None:
    """Whatever waited for tips goes on."""
    try_confirm(state, state.high_qc)
    try_commit(state, state.high_qc)
    count_timeouts(state)
