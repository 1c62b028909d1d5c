"""Confirming and committing: what a QC makes `ordered` and `final`.

Responsible for: the commit rule, fresh-QC confirmation, and putting tips into the tree.
Refuses to do: execute blocks or fetch batches' bytes, or ask for tips (`walk.py`).

Invariants:
1. `ordered`: QC(v, b) with b.view = v. A QC on a re-proposed tip is provisional and confirms nothing.
2. `final`: QC(v+1, c) with c.justify.view = v commits c's parent and its ancestors, oldest first.
3. One step commits at most `blocks_per_step` blocks, if the certificates in between allow it; the rest follows at once,
   step by step, so that votes and timers get their turn.
"""

from consensus.numbers import Digest, Height, ValidatorIndex, View
from consensus.ordering.cut import Cut
from consensus.replica.effects import Commit, CommittedBlock, Confirm, NeedBatches, NeededBatch
from consensus.replica.events import Timer
from consensus.replica.state import State
from consensus.replica.walk import go_up, want_way
from consensus.vocabulary.certificates import QC
from consensus.vocabulary.report import LaneRow
from consensus.vocabulary.tip import Tip


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
    tree = state.tree
    if qc.body.height <= tree.committed_height:
        return
    gap = tree.missing_ancestor(qc.body.block_id, qc.body.height)
    if gap is not None:
        if gap.height > tree.committed_height:
            want_way(state, gap, qc.signers)
        return
    tree.note_named(qc.body.block_id)
    if state.committing is not None:
        return
    child = _committing_child(state, qc)
    if child is None:
        return
    tip, child_qc, is_highest = child
    branch = tree.branch(tip.header.parent_id)
    if not branch:
        return
    if not is_highest:
        state.committing = qc
        state.set_timer(Timer.COMMIT, state.now.mono_ms)
    blocks = tuple(_commit_block(state, block) for block in branch)
    state.emit(Commit(blocks, tip.justify, child_qc))


def go_on_committing(state: State) -> None:
    """The next step of what did not fit into one."""
    qc, state.committing = state.committing, None
    if qc is not None:
        try_commit(state, qc)
    try_confirm(state, state.high_qc)
    try_commit(state, state.high_qc)
    go_up(state)


def _committing_child(state: State, qc: QC) -> tuple[Tip, QC, bool] | None:
    """c on the branch of `qc` whose QC is of the view after its justify's, with that QC, and whether it is the highest.

    The highest in reach of one step, else the lowest.
    """
    committed = state.tree.committed_height
    reach = Height(committed + state.tree.blocks_per_step)
    found: tuple[Tip, QC, bool] | None = None
    while (tip := state.tree.get(qc.body.block_id)) is not None and tip.header.height > committed + 1:
        if qc.view == tip.justify.view + 1:
            found = tip, qc, found is None
            if tip.justify.body.height <= reach:
                break
        qc = tip.justify
    return found


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
