"""Missing tips: whom they are asked of, and the way back from a QC when it is longer than one page.

Responsible for: what is wanted, when and of whom it is asked, and the marks of a long walk.
Refuses to do: judge tips (`on_tip.py`) or commit (`commit.py`).

Invariants:
1. A tip that only timeouts name is wanted until two views later; one that a valid QC leads to, until the committed
   chain has reached its height.
2. Whoever is said to have a tip is asked in turn. A peer that gave nothing, or less than it could, is asked after all
   that did better.
3. A page that does not reach what we know is stored and not kept: memory holds its first id, a mark, however long the
   way is. Once the way is known, the pages are asked for again from the lowest mark up, which the disk then answers.
4. One walk is under way; it gives way to one from another QC if nobody answers.
5. A walk goes on upwards only while fewer than WALK_UNHELD_MAX committed batches wait for their bytes: what a node that
   is far behind keeps of them does not grow with the distance.
"""

from consensus import limits
from consensus.numbers import BlockId, Height, ValidatorIndex
from consensus.replica.effects import FetchTips
from consensus.replica.events import Timer
from consensus.replica.state import State, Walk, WantedTip
from consensus.replica.tree import Gap

_WANTED_MAX = 64
_ROUNDS_MAX = 2  # how often everybody may fail before a walk gives way


def want_tip(
    state: State,
    tip_id: BlockId,
    peers: tuple[ValidatorIndex, ...],
    *,
    height: Height | None = None,
    at_once: bool = False,
) -> None:
    """Notes that a tip is missing; it is asked for after a short while, or at once in the middle of a walk.

    `height`: known of a tip that a valid QC leads to, and of no other. Whoever is said to have it is asked in turn: the
    first to name it may be the only one that never answers.
    """
    others = tuple(peer for peer in peers if peer != state.me)
    known = state.wanted.get(tip_id)
    if known is not None:
        known.height = height if known.height is None else known.height
        known.peers = tuple(dict.fromkeys(known.peers + others))
        known.view = state.view
        return
    if len(state.wanted) >= _WANTED_MAX:
        del state.wanted[next(iter(state.wanted))]
    due = state.now.mono_ms + (0 if at_once else state.timing.fetch_delay_ms)
    state.wanted[tip_id] = WantedTip(others, height, due, state.view)
    fetch_due(state)


def fetch_due(state: State) -> None:
    """Asks for every wanted tip whose time has come, each time another peer first, and sets the timer for the next."""
    for tip_id, wanted in list(state.wanted.items()):
        if _is_settled(state, tip_id, wanted):
            del state.wanted[tip_id]
        elif wanted.due_mono_ms <= state.now.mono_ms and wanted.peers:
            peers = _in_turn(state, wanted)
            wanted.attempts += 1
            wanted.due_mono_ms = state.now.mono_ms + state.timing.fetch_retry_ms
            state.emit(FetchTips(tip_id, state.tree.committed_height, peers))
    due = min((wanted.due_mono_ms for wanted in state.wanted.values() if wanted.peers), default=None)
    state.set_timer(Timer.FETCH, due)


def _is_settled(state: State, tip_id: BlockId, wanted: WantedTip) -> bool:
    """Invariant 1; what still needs a tip that only timeouts name wants it again."""
    height = wanted.height
    outdated = wanted.view < state.view - 1 if height is None else height <= state.tree.committed_height
    return outdated or state.tree.get(tip_id) is not None or tip_id == state.tree.committed_id


def _in_turn(state: State, wanted: WantedTip) -> tuple[ValidatorIndex, ...]:
    turn = wanted.attempts % len(wanted.peers)
    peers = wanted.peers[turn:] + wanted.peers[:turn]
    return tuple(sorted(peers, key=lambda peer: state.fetch_failures.get(peer, 0)))


def charge(state: State, peer: ValidatorIndex) -> None:
    """It gave nothing, or less than it could: all that did better are asked before it."""
    if peer != state.me:
        state.fetch_failures[peer] = state.fetch_failures.get(peer, 0) + 1


def forgive(state: State, peer: ValidatorIndex) -> None:
    """It gave what it was asked for."""
    state.fetch_failures.pop(peer, None)


# long walks


def want_way(state: State, gap: Gap, peers: tuple[ValidatorIndex, ...]) -> None:
    """The way down from a valid QC breaks off: asks for what is missing, unless a walk is on another way already."""
    walk = state.walk
    if walk is not None:
        asked = state.wanted.get(walk.wanted)
        if asked is None and (state.committing is not None or _is_held_up(state)):
            return  # it goes on when what it found is committed, and its batches are here
        if asked is not None and (gap.tip_id == walk.top or asked.failures < _ROUNDS_MAX * len(asked.peers)):
            want_tip(state, walk.wanted, peers)
            return
        end_walk(state)
    want_tip(state, gap.tip_id, peers, height=gap.height)


def go_down(state: State, page: Gap, gap: Gap, peers: tuple[ValidatorIndex, ...]) -> None:
    """A page that begins at `page` was stored and ends at `gap`: asks for that."""
    walk = state.walk
    if walk is None:
        walk = state.walk = Walk(top=page.tip_id, wanted=gap.tip_id)
    walk.marks.append(page)
    if len(walk.marks) > limits.WALK_MARKS_MAX:
        del walk.marks[1::2]
    walk.wanted, walk.peers = gap.tip_id, peers
    want_tip(state, gap.tip_id, peers, height=gap.height, at_once=True)


def go_up(state: State) -> None:
    """What the last page made final is committed, and most of it held: asks for the lowest page above."""
    walk = state.walk
    if walk is None or walk.wanted in state.wanted or state.committing is not None or _is_held_up(state):
        return
    while walk.marks:
        mark = walk.marks.pop()
        if mark.height > state.tree.committed_height and state.tree.get(mark.tip_id) is None:
            walk.wanted = mark.tip_id
            want_tip(state, mark.tip_id, walk.peers, height=mark.height, at_once=True)
            return
    state.walk = None


def _is_held_up(state: State) -> bool:
    """Invariant 5."""
    return state.holdings.unheld_count >= limits.WALK_UNHELD_MAX


def walk_height(state: State) -> Height | None:
    """Where the walk is: on its way down to the committed block, or up again; None if none is under way."""
    if state.walk is None:
        return None
    wanted = state.wanted.get(state.walk.wanted)
    return state.tree.committed_height if wanted is None or wanted.height is None else wanted.height


def end_walk(state: State) -> None:
    """Its way leads nowhere, or another is better; what it stored stays stored."""
    if state.walk is not None:
        state.wanted.pop(state.walk.wanted, None)
        state.walk = None
