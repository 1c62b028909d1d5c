"""A tip arrives outside a proposal: sent along with a timeout, or fetched by its id.

Invariants:
1. A tip that a valid QC leads to is accepted by its hashes and its author's signature, which they do not cover: more
   than 2/3 of the stake judged the rest. Any other is judged in full.
2. A fetched page is a chain from the wanted tip to its parents; the walk goes on until it meets what we know, and ends
   if it meets another chain than the committed one.
"""

from consensus import limits
from consensus.errors import InvalidObject
from consensus.numbers import Height, ValidatorIndex, View
from consensus.replica.commit import keep_tip, try_commit, try_confirm
from consensus.replica.effects import StoreTips
from consensus.replica.events import TipReceived, TipsFetched
from consensus.replica.on_certificate import use_qc
from consensus.replica.on_timeout import count_timeouts
from consensus.replica.state import State, WantedTip
from consensus.replica.tree import Gap
from consensus.replica.walk import charge, end_walk, fetch_due, forgive, go_down, go_up
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
    """A page of tips, the wanted one first; a peer that had none is asked again later, after the others."""
    wanted = state.wanted.get(event.wanted)
    if wanted is None:
        return
    charge(state, event.sender)  # until what it gave is found good
    if not event.tips:
        wanted.failures += 1
        return
    if wanted.height is not None:
        _take_page(state, event, wanted, Gap(event.wanted, wanted.height))
    else:
        tip = event.tips[0]
        if tip.id != event.wanted:
            raise InvalidObject("unwanted_tip")
        _take_judged(state, tip)
        state.wanted.pop(event.wanted, None)
        forgive(state, event.sender)
    fetch_due(state)
    _resume(state)


def _take_page(state: State, event: TipsFetched, wanted: WantedTip, page: Gap) -> None:
    """Keeps the page that closes the way to the committed block; any other is stored, and the way goes on below it."""
    tips = _linked(state, event)
    lowest = tips[-1].header
    gap = state.tree.missing_ancestor(lowest.parent_id, Height(lowest.height - 1))
    if gap is None or _is_full(event.tips):
        forgive(state, event.sender)
    del state.wanted[event.wanted]
    if gap is None:
        for tip in tips:
            keep_tip(state, tip, None, named=True)
        if state.walk is not None:
            try_commit(state, tips[0].justify)
            go_up(state)
        return
    if gap.height <= state.tree.committed_height:
        end_walk(state)
        return
    walk = state.walk
    if walk is None or walk.wanted != event.wanted:
        first = tips[0]
        keep_tip(state, first, None, named=True)  # who waits for this very tip need not wait for the walk
        if walk is not None:
            return
        page = Gap(first.header.parent_id, Height(first.header.height - 1))
    state.emit(StoreTips(tips))
    go_down(state, page, gap, _behind_the_others(event.sender, wanted.peers))


def _linked(state: State, event: TipsFetched) -> tuple[Tip, ...]:
    """The tips of a page down to what we know, checked by their hashes."""
    expected, tips = event.wanted, list[Tip]()
    for tip in event.tips:
        if tip.id != expected:
            raise InvalidObject("unwanted_tip")
        check_content(tip)
        if event.sender != state.me:
            state.validity.check_author(tip)
        tips.append(tip)
        expected = tip.header.parent_id
        if tip.header.height <= state.tree.committed_height + 1 or state.tree.get(expected) is not None:
            break
    return tuple(tips)


def _is_full(tips: tuple[Tip, ...]) -> bool:
    """Whether no more would have fitted into the page."""
    return len(tips) >= limits.WALK_TIPS_MAX or sum(len(tip.encoded) for tip in tips) >= limits.WALK_BYTES_MAX


def _behind_the_others(peer: ValidatorIndex, peers: tuple[ValidatorIndex, ...]) -> tuple[ValidatorIndex, ...]:
    """The next page is asked of another peer."""
    return tuple(sorted(peers, key=lambda other: other == peer))


def _resume(state: State) -> None:
    """Whatever waited for tips goes on."""
    try_confirm(state, state.high_qc)
    try_commit(state, state.high_qc)
    count_timeouts(state)
