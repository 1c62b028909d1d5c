"""Drives the replica: events in, effects out.

Responsible for: stepping the core, its timers, saving before sending, and serving and fetching tips.
Refuses to do: decide anything about the protocol.

Invariants:
1. Effects are carried out in the order given; what a `Save` precedes leaves only after it is synced (`outbox.py`). A
   `Confirm` waits, too: a vote of our own that its QC counts could else be forgotten, and with it what clients were
   told is ordered.
2. A commit is told to its listener after what was put before it is synced; execution writes it (`execution_driver.py`).
3. At most FETCHES_MAX walks are under way at once.
4. A peer that was late has twice the time with its next page, up to FETCH_TIMEOUT_MAX_MS, until it is in time again: a
   page that a slow link or a busy machine cannot bring in FETCH_TIMEOUT_MS is not asked for in vain for ever.
5. While it listens the replica has not started: nothing is signed, and what peers say is only searched for statements
   of our own key.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import structlog
import trio

from consensus import limits
from consensus.errors import DecodeError
from consensus.evidence.own_key import OwnKey
from consensus.genesis import Genesis
from consensus.numbers import BlockId, Height, ValidatorIndex
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
    SetTimer,
    StoreTips,
)
from consensus.replica.events import (
    CertificateReceived,
    Event,
    ProposalReceived,
    ReportReceived,
    Started,
    TimeoutReceived,
    Timer,
    TimerFired,
    TipReceived,
    TipsFetched,
    VoteReceived,
)
from consensus.replica.replica import Replica
from consensus.vocabulary.tip import Tip
from p2p.errors import PeerFault as LinkFault
from p2p.errors import RequestFailed
from p2p.host import ValidatorHost
from sequencer.node.clock import read_now
from sequencer.node.failpoints import Failpoints
from sequencer.node.frames import (
    URGENT,
    FrameKind,
    RequestKind,
    decode_tips,
    encode_message,
    encode_tips,
    encode_tips_request,
)
from sequencer.node.outbox import Outbox
from sequencer.node.records import save_puts, tips_puts
from sequencer.node.tip_pages import TipPages
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics
from storage.chain import ChainStore
from storage.errors import StorageFault

FETCHES_MAX = 8
FETCH_TIMEOUT_MS = 2_000  # of a peer that never was late
FETCH_TIMEOUT_MAX_MS = 16_000
COUNTED = {
    FrameKind.PROPOSAL: table.CONSENSUS_PROPOSALS,
    FrameKind.VOTE: table.CONSENSUS_VOTES,
    FrameKind.TIMEOUT: table.CONSENSUS_TIMEOUTS,
}

_WORDS: dict[type[Event], str] = {
    ProposalReceived: "proposal",
    VoteReceived: "vote",
    TimeoutReceived: "timeout",
    ReportReceived: "report",
    CertificateReceived: "certificate",
}  # all others bring tips

_SAID_BY_PEERS = (
    ProposalReceived,
    VoteReceived,
    TimeoutReceived,
    ReportReceived,
    CertificateReceived,
    TipReceived,
)

_log = structlog.get_logger("consensus")


@dataclass(frozen=True, slots=True)
class ConsensusListener:
    """Whom the driver tells of what consensus decides. All are called from the event loop and return at once.

    `confirmed` is called at once, to look at what the QC covers; what it returns is called when it may be told.
    """

    committed: Callable[[Commit], None]
    confirmed: Callable[[Confirm], Callable[[], None]]
    batches_needed: Callable[[NeedBatches], None]


class ConsensusDriver:
    """One replica at work."""

    def __init__(
        self,
        *,
        chain: Genesis,
        replica: Replica,
        outbox: Outbox,
        store: ChainStore,
        listener: ConsensusListener,
        metrics: Metrics,
        failpoints: Failpoints,
    ) -> None:
        self._chain = chain
        self.replica = replica
        self._own_key = OwnKey(chain, replica.state)
        self._outbox = outbox
        self._pages = TipPages(replica, store)
        self._listener = listener
        self._metrics = metrics
        self._failpoints = failpoints
        self._host: ValidatorHost | None = None
        self._events: deque[Event] = deque()
        self._is_stepping = False
        self._is_listening = False
        self._deadlines: dict[Timer, float] = {}
        self._timers_changed = trio.Event()
        self._fetches, self._fetch_requests = trio.open_memory_channel[FetchTips](64)
        self._fetching: set[BlockId] = set()
        self._fetch_timeouts_ms: dict[ValidatorIndex, int] = {}  # of peers that were late
        self._decoding = trio.CapacityLimiter(1)
        self._view_entered_s = trio.current_time()
        self.fault_reasons: dict[ValidatorIndex, str] = {}

    def attach(self, host: ValidatorHost) -> None:
        """Gives the links; before, nothing leaves."""
        self._host = host

    def listen(self) -> None:
        """From now on, until `start`."""
        self._is_listening = True

    def start(self) -> None:
        """The replica's first step; then what it has missed of our own parts while we listened."""
        self._is_listening = False
        waiting, self._events = self._events, deque()
        self.handle(Started())
        for event in waiting:
            self.handle(event)

    def handle(self, event: Event) -> None:
        """One step. Raises `BrokenInvariant` (`KeyUsedElsewhere`), which ends the node.

        What an effect makes happen at once (a needed batch that is held already) is the next step, not part of this
        one: its save must not stand before ours.
        """
        if self._is_listening and isinstance(event, _SAID_BY_PEERS):
            self._own_key.check(event)
            return
        self._events.append(event)
        if self._is_stepping or self._is_listening:
            return
        self._is_stepping = True
        try:
            while self._events:
                stepped = self._events.popleft()
                self._own_key.check(stepped)
                view = self.replica.state.view
                effects = self.replica.step(stepped, read_now())
                self._own_key.note(view, self.replica.state)
                for effect in effects:
                    if isinstance(effect, PeerFault):
                        self._metrics.add(table.CONSENSUS_INVALID, 1, _WORDS.get(type(stepped), "walk"), effect.reason)
                    self._carry_out(effect)
        finally:
            self._is_stepping = False

    def handle_from(self, peer: ValidatorIndex, event: Event) -> None:
        """One step on a message from `peer`'s link. Raises the link's `PeerFault` if the peer is to blame."""
        self.handle(event)
        reason = self.fault_reasons.pop(peer, None)
        if reason is not None:
            raise LinkFault(reason)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Save():
                self._outbox.put(save_puts(effect))
            case Send():
                self._post(effect.message, effect.to)
            case Broadcast():
                self._post(effect.message, None)
            case SetTimer():
                self._set_timer(effect)
            case FetchTips():
                self._outbox.post(lambda: self._request_fetch(effect))
            case StoreTips():
                self._outbox.put(tips_puts(effect.tips))
            case NeedBatches():
                self._listener.batches_needed(effect)
            case Confirm():
                self._metrics.set(table.CONSENSUS_HEIGHT, effect.tip.header.height, "ordered")
                self._metrics.add(table.CONSENSUS_QCS)
                self._outbox.post(self._listener.confirmed(effect))  # our own vote may be in the QC
            case Commit():
                self._commit(effect)
            case PeerFault():
                self.fault_reasons[effect.sender] = effect.reason
                _log.warning("peer_fault", peer=effect.sender, reason=effect.reason)
            case EnterView():
                self._enter_view(effect)
            case _:
                assert_never(effect)

    def _enter_view(self, effect: EnterView) -> None:
        now_s = trio.current_time()
        self._metrics.observe(table.CONSENSUS_VIEW_DURATION, now_s - self._view_entered_s)
        self._view_entered_s = now_s
        self._metrics.set(table.CONSENSUS_VIEW, effect.view)
        self._metrics.set(table.CONSENSUS_LEADER, effect.leader)
        if effect.by_timeout:
            self._metrics.add(table.CONSENSUS_TCS)
            _log.info("view_timed_out", view=effect.view - 1, next_leader=effect.leader)

    def _post(self, message: Message, to: ValidatorIndex | None) -> None:
        kind, body = encode_message(message)
        if kind in COUNTED:
            self._metrics.add(COUNTED[kind], 1, "sent")

        def deliver() -> None:
            if self._host is None:
                return
            if to is None:
                self._host.broadcast(kind, body, urgent=kind in URGENT)
            else:
                self._host.send(to, kind, body, urgent=kind in URGENT)
            self._failpoints.reach("consensus_after_send")

        self._outbox.post(deliver)

    def _commit(self, commit: Commit) -> None:
        self._metrics.set(table.CONSENSUS_HEIGHT, commit.blocks[-1].tip.header.height, "final")
        self._pages.note_committed(block.tip for block in commit.blocks)
        self._outbox.post(lambda: self._listener.committed(commit))

    def unsaved_tip(self, height: Height) -> Tip | None:
        """The tip of a height whose commit is not on disk yet."""
        return self._pages.unsaved_tip(height)

    def note_saved(self, commit: Commit) -> None:
        """A commit is on disk."""
        self._pages.note_saved(block.tip for block in commit.blocks)

    # timers

    def _set_timer(self, effect: SetTimer) -> None:
        if effect.at_mono_ms is None:
            self._deadlines.pop(effect.timer, None)
            return
        self._deadlines[effect.timer] = effect.at_mono_ms
        self._timers_changed.set()

    async def run_timers(self) -> None:
        """Fires timers for ever."""
        while True:
            self._timers_changed = trio.Event()
            due_s = min(self._deadlines.values(), default=float("inf")) / 1_000
            with trio.move_on_at(due_s):
                await self._timers_changed.wait()
                continue
            now_ms = trio.current_time() * 1_000
            self._metrics.observe(table.PROCESS_LOOP_LAG, max(0.0, now_ms / 1_000 - due_s))
            for timer in [timer for timer, at_ms in self._deadlines.items() if at_ms <= now_ms]:
                if self._deadlines.get(timer, float("inf")) <= now_ms:
                    del self._deadlines[timer]
                    self.handle(TimerFired(timer))

    # tips

    def _request_fetch(self, effect: FetchTips) -> None:
        """Queues a walk; one that finds no room is asked for again by the replica's own timer."""
        if effect.wanted in self._fetching or len(self._fetching) >= FETCHES_MAX:
            return
        try:
            self._fetches.send_nowait(effect)
        except trio.WouldBlock:
            return
        self._fetching.add(effect.wanted)

    async def run_fetches(self) -> None:
        """Carries out walks for ever."""
        async with trio.open_nursery() as nursery:
            async for effect in self._fetch_requests:
                nursery.start_soon(self._fetch, effect)

    async def _fetch(self, effect: FetchTips) -> None:
        try:
            if not await self._fetch_from_disk(effect):
                await self._fetch_from_peers(effect)
        finally:
            self._fetching.discard(effect.wanted)

    async def _fetch_from_disk(self, effect: FetchTips) -> bool:
        page = await self._pages.read(effect.wanted, Height(effect.floor_height))
        if not page:
            return False
        try:
            tips = await self._decode(encode_tips(page))
        except DecodeError as error:
            raise StorageFault(f"a stored tip is unreadable: {error}") from error
        self.handle(TipsFetched(self.replica.state.me, effect.wanted, tips))
        return True

    async def _fetch_from_peers(self, effect: FetchTips) -> None:
        body = encode_tips_request(effect.wanted, effect.floor_height)
        for peer in effect.peers[:2]:
            tips = await self._fetch_from(peer, body)
            self.handle(TipsFetched(peer, effect.wanted, tips))
            self._close_if_at_fault(peer)
            if tips:
                return

    async def _fetch_from(self, peer: ValidatorIndex, body: bytes) -> tuple[Tip, ...]:
        if self._host is None:
            return ()
        answer_max = limits.WALK_BYTES_MAX + self._chain.tip_bytes_max
        timeout_ms, began_s = self._fetch_timeouts_ms.get(peer, FETCH_TIMEOUT_MS), trio.current_time()
        try:
            answer = await self._host.request(
                peer, RequestKind.TIPS, body, timeout_ms=timeout_ms, response_bytes_max=answer_max
            )
            if trio.current_time() - began_s < FETCH_TIMEOUT_MS / 1_000:
                self._fetch_timeouts_ms.pop(peer, None)
            return await self._decode(answer)
        except RequestFailed as failure:
            if failure.reason == "timeout":
                self._fetch_timeouts_ms[peer] = min(2 * timeout_ms, FETCH_TIMEOUT_MAX_MS)
            return ()
        except DecodeError:
            self.fault_reasons[peer] = "malformed"
            return ()

    async def _decode(self, answer: bytes) -> tuple[Tip, ...]:
        """In a thread: a page takes longer than a vote may wait."""
        count, tip_bytes_max = self._chain.validator_set.count, self._chain.tip_bytes_max
        return await trio.to_thread.run_sync(decode_tips, answer, count, tip_bytes_max, limiter=self._decoding)

    def _close_if_at_fault(self, peer: ValidatorIndex) -> None:
        reason = self.fault_reasons.pop(peer, None)
        if reason is not None and self._host is not None:
            self._host.accuse(peer, LinkFault(reason))

    async def serve_tips(self, peer: ValidatorIndex, wanted: BlockId, floor_height: Height) -> bytes:
        """The wanted tip and its parents above `floor_height`, as far as one page goes; empty if it is not known."""
        return await self._pages.serve(peer, wanted, floor_height)
