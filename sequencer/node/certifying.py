"""Asks validators for shares of a batch until a quorum has signed.

Responsible for: asking each peer until it has signed, a second after its last answer, checking every share in a thread,
and stopping soon after the first quorum.
Refuses to do: choose what is certified, or believe a signature it has not checked.

Invariants:
1. A share that is not valid and a `mismatch` are counted, and their sender is asked again: it may be us, or a wrong
   configuration.
2. It ends: with a certificate, with `NoQuorum` after TIMEOUT_S, or as soon as a validator says that the index is on the
   L1 and our own look agrees.
"""

from collections import Counter
from collections.abc import Callable

import structlog
import trio

from consensus.errors import DecodeError, InvalidObject
from consensus.genesis import Genesis
from consensus.numbers import ValidatorIndex
from consensus.vocabulary.l1_batch import BatchCertificate, BatchShare, L1Batch, make_batch_certificate
from p2p.errors import PeerFault, RequestFailed
from p2p.host import ValidatorHost
from sequencer.node.batch_sharing import BatchSharing
from sequencer.node.frames import RequestKind
from sequencer.settlement.errors import NoQuorum
from sequencer.settlement.sharing import ShareAnswer, ShareRequest, Word
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics

TIMEOUT_S = 60.0
RETRY_S = 1.0
STRAGGLERS_S = 0.3  # after a quorum: the Inbox takes some 1,700 gas for each validator that has not signed
REQUEST_TIMEOUT_MS = 30_000
ANSWER_BYTES_MAX = 1_024

_log = structlog.get_logger("settlement")


class Certifying:
    """One node's asking for shares."""

    def __init__(
        self, *, chain: Genesis, index: ValidatorIndex, host: ValidatorHost, sharing: BatchSharing, metrics: Metrics
    ) -> None:
        self._chain = chain
        self._index = index
        self._host = host
        self._sharing = sharing
        self._metrics = metrics

    async def certify(self, request: ShareRequest, batch: L1Batch, is_outdated: Callable[[], bool]) -> BatchCertificate:
        """A certificate of `batch`, one of those that `request` asks for. Raises `NoQuorum`."""
        round_ = _Round(self._chain, batch)
        started = trio.current_time()
        with trio.move_on_after(TIMEOUT_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_asking_ourselves, request, round_)
                nursery.start_soon(self._watch, is_outdated, nursery.cancel_scope)
                for peer in self._host.peers():
                    nursery.start_soon(self._keep_asking, ValidatorIndex(peer.index), request, round_)
                await round_.certified.wait()
                with trio.move_on_after(STRAGGLERS_S):
                    await round_.complete.wait()
                nursery.cancel_scope.cancel()
        if not round_.certified.is_set():
            raise NoQuorum(dict(round_.answers))
        certificate = await trio.to_thread.run_sync(round_.certificate)
        self._metrics.observe(table.SETTLEMENT_CERTIFYING, trio.current_time() - started)
        return certificate

    async def _watch(self, is_outdated: Callable[[], bool], scope: trio.CancelScope) -> None:
        while not is_outdated():  # noqa: ASYNC110 (a look at the L1 may change it without a word to us)
            await trio.sleep(RETRY_S)
        scope.cancel()

    async def _keep_asking_ourselves(self, request: ShareRequest, round_: "_Round") -> None:
        """One failed look at the L1 is no reason to do without the own share."""
        while self._index not in round_.shares:
            try:
                await round_.take(self._index, await self._sharing.answer(request))
            except InvalidObject:
                _log.error("own_batch_share_is_wrong", index=request.index)
                return
            await trio.sleep(RETRY_S)

    async def _keep_asking(self, peer: ValidatorIndex, request: ShareRequest, round_: "_Round") -> None:
        """Asks one validator until it has signed. A slow one is let finish: packing a long range takes seconds."""
        while peer not in round_.shares:
            if any(status.index == peer and status.connected for status in self._host.peers()):
                await self._ask(peer, request, round_)
            await trio.sleep(RETRY_S)

    async def _ask(self, peer: ValidatorIndex, request: ShareRequest, round_: "_Round") -> None:
        try:
            body = await self._host.request(
                peer,
                RequestKind.BATCH_SHARES,
                request.encode(),
                timeout_ms=REQUEST_TIMEOUT_MS,
                response_bytes_max=ANSWER_BYTES_MAX,
            )
            await round_.take(peer, ShareAnswer.decode(body))
        except RequestFailed:
            round_.answers["no_answer"] += 1
        except DecodeError:
            _log.warning("peer_fault", peer=peer, reason="malformed")
            self._host.accuse(peer, PeerFault("malformed"))
        except InvalidObject:
            # Perhaps its configuration names another Inbox: no reason to close a link that consensus needs.
            round_.answers["bad_share"] += 1
            _log.warning("bad_batch_share", validator=peer)


class _Round:
    """What was answered for one batch."""

    def __init__(self, chain: Genesis, batch: L1Batch) -> None:
        self._chain = chain
        self._batch = batch
        self.shares: dict[ValidatorIndex, bytes] = {}
        self.answers: Counter[str] = Counter()
        self.certified = trio.Event()  # a quorum has signed
        self.complete = trio.Event()  # all have

    async def take(self, validator: ValidatorIndex, answer: ShareAnswer) -> None:
        """Counts an answer, and its signature for our batch once it is checked. Raises `InvalidObject`."""
        self.answers[answer.word.name.lower()] += 1
        if answer.word is Word.MISMATCH:
            _log.warning("batch_mismatch", validator=validator, index=self._batch.index)
        signature = dict(answer.signatures).get(self._batch.data_kind)
        if signature is None:
            return
        share = BatchShare(self._batch, validator, signature)
        await trio.to_thread.run_sync(share.check, self._chain)
        self.shares[validator] = signature
        if self._chain.validator_set.is_quorum(self.shares):
            self.certified.set()
        if len(self.shares) == self._chain.validator_set.count:
            self.complete.set()

    def certificate(self) -> BatchCertificate:
        """The certificate of a quorum. Adds the points: run it in a thread."""
        return make_batch_certificate(self._batch, self.shares, self._chain.validator_set.count)
