"""Confirming and committing: what a QC makes `ordered` and `final`.

Responsible for: the commit rule, fresh-QC confirmation, and asking for tips that are missing on the way.
Refuses to do: execute blocks or fetch batches' bytes.

Invariants:
1. `ordered`: QC(v, b) with b.view = v. A QC on a re-proposed tip is provisional and confirms nothing.
2. `final`: QC(v+1, c) with c.justify.view = v commits c's parent and its ancestors, oldest first.
3. A tip that is wanted because a valid QC leads to it is accepted by its hashes; any other is judged in full.
"""

from consensus.numbers import BlockId, Digest, ValidatorIndex, View
from consensus.ordering.cut import Cut
from consensus.replica.effects import Commit, CommittedBlock, Confirm, FetchTips, NeedBatches, NeededBatch
from consensus.replica.events import Timer
from consensus.replica.state import State, WantedTip
from consensus.vocabulary.certificates import QC
from consensus.vocabulary.report import LaneRow
from consensus.vocabulary.tip import Tip

_WANTED_MAX = 64


def try_confirm(state: State, qc: QC) -> None:
    """Tells of a fresh QC once, as soon as its tip is linked to the committed chain."""
    if not qc.body.is_fresh or qc.view <= state.confirmed_view:
        return
    tip = state.tree.get(qc.body.block_id)
    ordered = state.tree.order(tip) if tip is not None else None
    if tip is None or ordered is None:
        return
    state.confirmed_view = View(qc.view)
    state.emit(Confirm(tip, qc, ordered[0]))


def try_commit(state: State, qc: QC) -> None:
    """Commits what `qc` proves final; asks for the tips that it needs and we lack."""
    if qc.body.height <= state.tree.committed_height:
        return
    missing = state.tree.missing_ancestor(qc.body.block_id)
    if missing is not None:
        want_tip(state, missing, qc.signers, certified=True)
        return
    state.tree.note_named(qc.body.block_id)
    child = _committing_child(state, qc)
    if child is None:
        return
    tip, child_qc = child
    branch = state.tree.branch(tip.header.parent_id)
    if not branch:
        return
    blocks = tuple(_commit_block(state, block) for block in branch)
    state.emit(Commit(blocks, tip.justify, child_qc))


def _committing_child(state: State, qc: QC) -> tuple[Tip, QC] | None:
    """The highest c on the branch of `qc` whose QC is of the view after its justify's, with that QC."""
    while (tip := state.tree.get(qc.body.block_id)) is not None:
        if qc.view == tip.justify.view + 1:
            return tip, qc
        qc = tip.justify
    return None


def _commit_block(state: State, tip: Tip) -> CommittedBlock:
    effective, batches = state.tree.commit(tip)
    missing = state.holdings.note_committed(batches)
    if missing:
        reporters = tuple(report.validator for report in tip.reports if report.validator != state.me)
        state.emit(NeedBatches(tuple(NeededBatch(batch.lane, batch.seq, batch.digest, reporters) for batch in missing)))
    return CommittedBlock(tip, effective, batches)


def keep_tip(state: State, tip: Tip, cut: Cut | None, *, named: bool) -> None:
    """Puts a tip into the tree and asks for it no longer. `named`: a certificate or a kept timeout names it."""
    wanted = state.wanted.pop(tip.id, None)
    state.tree.add(tip, cut, named=named or wanted is not None)


def want_tip(
    state: State, tip_id: BlockId, peers: tuple[ValidatorIndex, ...], *, certified: bool, at_once: bool = False
) -> None:
    """Notes that a tip is missing; it is asked for after a short while, or at once in the middle of a walk.

    Whoever is said to have it is asked in turn: the first to name it may be the only one that never answers.
    """
    others = tuple(peer for peer in peers if peer != state.me)
    known = state.wanted.get(tip_id)
    if known is not None:
        known.certified = known.certified or certified
        known.peers = tuple(dict.fromkeys(known.peers + others))
        known.view = state.view
        return
    if len(state.wanted) >= _WANTED_MAX:
        del state.wanted[next(iter(state.wanted))]
    due = state.now.mono_ms + (0 if at_once else state.timing.fetch_delay_ms)
    state.wanted[tip_id] = WantedTip(others, certified, due, state.view)
    fetch_due(state)


def fetch_due(state: State) -> None:
    """Asks for every wanted tip whose time has come, each time another peer first, and sets the timer for the next.

    One that only timeouts name is given up two views later; those that still need it want it again.
    """
    for tip_id, wanted in list(state.wanted.items()):
        outdated = not wanted.certified and wanted.view < state.view - 1
        if outdated or state.tree.get(tip_id) is not None or tip_id == state.tree.committed_id:
            del state.wanted[tip_id]
        elif wanted.due_mono_ms <= state.now.mono_ms and wanted.peers:
            turn = wanted.attempts % len(wanted.peers)
            wanted.attempts += 1
            wanted.due_mono_ms = state.now.mono_ms + state.timing.fetch_retry_ms
            peers = wanted.peers[turn:] + wanted.peers[:turn]
            state.emit(FetchTips(tip_id, state.tree.committed_height, peers))
    due = min((wanted.due_mono_ms for wanted in state.wanted.values() if wanted.peers), default=None)
    state.set_timer(Timer.FETCH, due)


def need_listed(state: State, tip: Tip) -> None:
    """Starts fetching what a tip lists and we lack, now and not at commit."""
    needed = []
    for lane, listed in enumerate(state.tree.cut_of(tip).listed):
        for batch in listed:
            author = ValidatorIndex(lane)
            if state.holdings.holds(author, batch.seq, batch.digest):
                continue
            holders = tuple(
                report.validator
                for report in tip.reports
                if report.validator != state.me and _lists(report.lanes[lane], batch.seq, batch.digest)
            )
            needed.append(NeededBatch(author, batch.seq, batch.digest, holders))
    if needed:
        state.emit(NeedBatches(tuple(needed)))


def _lists(row: LaneRow, seq: int, digest: Digest) -> bool:
    """Whether a report says that its validator holds this batch."""
    place = seq - row.base_seq
    return place <= 0 or (place <= len(row.batches) and row.batches[place - 1][0] == digest)
