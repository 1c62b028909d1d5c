"""A validator's part in batch certificates: judges what a poster asks for, signs, saves, answers.

Responsible for: reading the own blocks of a range, signing in a thread, saving before answering, and bounding the work
that a peer can cause.
Refuses to do: decide what may be signed (`sequencer/settlement/sharing.py`).

Invariants:
1. A share is synced before it leaves.
2. One request of a peer is worked on at a time, at most every PACE_S, and one of all peers in a thread; others are told
   to come back. So is a peer whose turn it is not by our own view: turns are kept by those who sign.
3. What was packed for the last ranges is kept, since a poster asks until it has a quorum.
"""

from collections import OrderedDict
from collections.abc import Sequence

import trio

from consensus.bls import BlsKey
from consensus.genesis import Genesis
from consensus.numbers import Height, ValidatorIndex
from consensus.vocabulary.l1_batch import BatchShare, L1Batch
from sequencer.node.l1_follower import L1Follower
from sequencer.node.progress import Progress
from sequencer.node.range_reader import RangeReader
from sequencer.settlement.errors import MissingBlocks
from sequencer.settlement.packing import PackedRange
from sequencer.settlement.sharing import ShareAnswer, ShareRequest, Word, batches_to_sign, judge_place
from sequencer.settlement.turn import may_commit, turn_order
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics
from storage.database import Database
from storage.settlement import SettlementStore

PACE_S = 0.5
TURN_SLACK_BLOCKS = 3  # by which L1 views of two validators may differ
KEPT_MAX = 2  # packed ranges: of the poster whose turn it is, and of one that takes over


class BatchSharing:
    """Signs batches."""

    def __init__(  # noqa: PLR0913 - each is given by name
        self,
        *,
        chain: Genesis,
        key: BlsKey,
        index: ValidatorIndex,
        inbox: bytes,
        follower: L1Follower,
        reader: RangeReader,
        progress: Progress,
        database: Database,
        metrics: Metrics,
    ) -> None:
        self._chain = chain
        self._key = key
        self._index = index
        self._inbox = inbox
        self._follower = follower
        self._reader = reader
        self._progress = progress
        self._database = database
        self._metrics = metrics
        self._asking: set[ValidatorIndex] = set()
        self._turn = trio.Lock()
        self._asked_s: dict[ValidatorIndex, float] = {}
        self._kept: OrderedDict[tuple[Height, Height], PackedRange] = OrderedDict()

    async def serve(self, peer: ValidatorIndex, body: bytes) -> bytes:
        """Answers a peer's request. Raises `DecodeError`."""
        request = ShareRequest.decode(body, self._chain.parameters.commit_bytes_max)
        now_s = trio.current_time()
        is_early = now_s < self._asked_s.get(peer, -PACE_S) + PACE_S or not self._has_turn(peer)
        if peer in self._asking or is_early:
            return ShareAnswer(Word.BUSY).encode()
        self._asked_s[peer] = now_s
        self._asking.add(peer)
        try:
            answer = await self.answer(request)
        finally:
            self._asking.discard(peer)
        self._metrics.add(table.SETTLEMENT_SHARES, 1, answer.word.name.lower())
        return answer.encode()

    async def answer(self, request: ShareRequest) -> ShareAnswer:
        """The answer to anybody's request, the own poster's too. Raises `StorageFault`."""
        word = self._judge(request)
        if word is not None:
            return ShareAnswer(word)
        async with self._turn:
            try:
                if not await trio.to_thread.run_sync(self._reader.has_data, request.last):
                    return ShareAnswer(Word.MISMATCH)
                packed = await self._packed(request.first, request.last)
            except MissingBlocks:
                return ShareAnswer(Word.BEHIND)
            batches = await trio.to_thread.run_sync(self._batches, request, packed)
            if batches is None:
                return ShareAnswer(Word.MISMATCH)
            word = self._judge(request)  # the L1 may have moved meanwhile
            if word is not None:
                return ShareAnswer(word)
            shares = await trio.to_thread.run_sync(self._sign_and_save, batches)
        return ShareAnswer(Word.SHARES, tuple((share.batch.data_kind, share.signature) for share in shares))

    async def _packed(self, first: Height, last: Height) -> PackedRange:
        """The own packing of a range. Raises `MissingBlocks`."""
        for place in [place for place in self._kept if place[0] < self._follower.end.next_height]:
            del self._kept[place]
        kept = self._kept.get((first, last))
        if kept is None:
            kept = self._kept[first, last] = await trio.to_thread.run_sync(self._reader.pack, first, last)
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return kept

    def _has_turn(self, peer: ValidatorIndex) -> bool:
        """Whether a peer may commit the next batch now, give or take what two views of the L1 differ by."""
        view = self._follower.view
        if view is None:
            return True
        rank = turn_order(self._chain.validator_set, self._chain.chain_id, view.end.next_index).index(peer)
        return may_commit(rank, view.latest.number + TURN_SLACK_BLOCKS, view.last_commit_block, 0)

    def _judge(self, request: ShareRequest) -> Word | None:
        if not self._follower.is_reachable or self._follower.refusal is not None:
            return Word.BEHIND
        return judge_place(request, self._follower.end, self._progress.executed.height)

    def _batches(self, request: ShareRequest, packed: PackedRange) -> Sequence[L1Batch] | None:
        return batches_to_sign(request, packed, self._chain.parameters, self._chain.l1_chain_id, self._inbox)

    def _sign_and_save(self, batches: Sequence[L1Batch]) -> list[BatchShare]:
        """In a thread."""
        shares, puts = [], []
        for batch in batches:
            share = BatchShare(batch, self._index, self._key.sign(batch.signing_digest(self._chain.domain)))
            shares.append(share)
            puts += SettlementStore.share_puts(batch.index, batch.last, batch.data_kind, share.encode())
        self._database.write(puts, sync=True)
        return shares
