"""The poster at work: packs what is due, has it certified, writes the transaction down, sends it.

Responsible for: the order of these steps, and telling the operator.
Refuses to do: decide (`sequencer/settlement/poster.py`), or follow what it sent (`intent_log.py`).

Invariants:
1. A signed transaction is synced to the intent log before it is sent.
2. No error of the L1 ends it: the chain goes on, the backlog grows, and posting resumes with the next look.
"""

from dataclasses import dataclass

import structlog
import trio

from consensus.genesis import Genesis
from consensus.numbers import Height, ValidatorIndex
from consensus.signing import sha256
from consensus.vocabulary.l1_batch import BatchCertificate, DataKind, L1Batch
from sequencer.l1.errors import ExecutionReverted, L1Error, L1Unreachable
from sequencer.l1.inbox import Inbox
from sequencer.l1.json_rpc import L1Client
from sequencer.l1.transactions import address_of, sign_commit
from sequencer.node.certifying import Certifying
from sequencer.node.clock import wall_ms
from sequencer.node.failpoints import Failpoints
from sequencer.node.intent_log import IntentLog
from sequencer.node.l1_follower import L1Follower, L1View
from sequencer.node.range_reader import RangeReader
from sequencer.node.unposted import Unposted
from sequencer.settlement import poster
from sequencer.settlement.errors import MissingBlocks, NoQuorum
from sequencer.settlement.packing import HELD_BYTES_TARGET, PackedRange, compress
from sequencer.settlement.poster import Gate, Sealing, Standing
from sequencer.settlement.records import Attempt, BatchState
from sequencer.settlement.sharing import CALLDATA_EXPANSION_MAX, L1DataPolicy, ShareRequest, allowed_kinds
from sequencer.settlement.turn import turn_order
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics

COMPRESSION_HOPED = 4  # calldata is tried for so many times its bound of uncompressed bytes
GAS_HELD_MAX = 500_000  # a commit without data costs less; balances are checked against it
NONCE_MAX = 2**63 - 1
GAS_PER_BYTE = 40  # of calldata, at most (EIP-7623)

_log = structlog.get_logger("settlement")


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A range that is to be committed. `payload` is empty if the data is to be held."""

    batch: L1Batch
    request: ShareRequest
    payload: bytes


class PosterDriver:
    """One validator's poster."""

    def __init__(  # noqa: PLR0913 - each is given by name
        self,
        *,
        chain: Genesis,
        index: ValidatorIndex,
        secret: bytes,
        client: L1Client,
        inbox: Inbox,
        follower: L1Follower,
        reader: RangeReader,
        unposted: Unposted,
        certifying: Certifying,
        intents: IntentLog,
        sealing: Sealing,
        backlog_ms: int,
        metrics: Metrics,
        failpoints: Failpoints,
    ) -> None:
        self._chain = chain
        self._policy = L1DataPolicy(chain.parameters.l1_data)
        self._index = index
        self._secret = secret
        self.address = address_of(secret)
        self._client = client
        self._inbox = inbox
        self._follower = follower
        self._reader = reader
        self._unposted = unposted
        self._certifying = certifying
        self._intents = intents
        self._sealing = sealing
        self._backlog_ms = backlog_ms
        self._metrics = metrics
        self._failpoints = failpoints
        self._due_block: int | None = None
        self._refused: list[int] = []  # the index, once for each time that the contract refused it beforehand
        self.gate = Gate.NOTHING_DUE

    async def run(self) -> None:
        """Takes turns for ever. Raises `StorageFault`."""
        while True:
            await self._follower.until_looked()
            view = self._follower.view
            if view is None:
                continue
            try:
                await self._take_turn(view)
            except L1Error as error:
                self._metrics.add(table.L1_ERRORS)
                _log.info("posting_waits", detail=str(error))

    async def _take_turn(self, view: L1View) -> None:
        nonce = await self._client.nonce(self.address, "latest")
        if nonce > NONCE_MAX:
            raise L1Unreachable(f"the L1 says that this poster sent {nonce} transactions")
        await self._intents.follow(view, nonce)
        await self._unposted.catch_up(self._follower.posted_height)
        balance_wei = await self._client.balance(self.address, "latest")
        self._metrics.set(table.SETTLEMENT_BALANCE, balance_wei)
        before, self.gate = self.gate, self._judge(view, balance_wei, nonce)
        if self.gate is not before:
            self._tell_gate()
        if self.gate is Gate.READY:
            await self._commit_next(view, nonce)

    def _judge(self, view: L1View, balance_wei: int, nonce: int) -> Gate:
        due = poster.is_due(self._unposted.backlog, self._sealing, wall_ms())
        if not due:
            self._due_block = None
        elif self._due_block is None:
            self._due_block = view.latest.number
        end = view.end
        worst_gas = GAS_HELD_MAX + GAS_PER_BYTE * self._chain.parameters.commit_bytes_max
        standing = Standing(
            rank=turn_order(self._chain.validator_set, self._chain.chain_id, end.next_index).index(self._index),
            l1_block=view.latest.number,
            last_commit_block=view.last_commit_block,
            due_block=self._due_block or view.latest.number,
            end=end,
            l1_nonce=nonce,
            has_money=balance_wei >= worst_gas * poster.fee_limit_wei(view.latest.base_fee_wei),
        )
        if self._refused.count(end.next_index) >= poster.REVERTS_MAX:
            return Gate.HALTED
        return poster.gate(standing, self._intents.attempts, due=due)

    def _tell_gate(self) -> None:
        self._metrics.set(table.SETTLEMENT_HALTED, int(self.gate is Gate.HALTED))
        if self.gate is Gate.HALTED:
            _log.critical("posting_halted", index=self._follower.end.next_index, remedy="see the log, then restart")
        elif self.gate is Gate.NO_MONEY:
            _log.error("poster_without_money", address=f"0x{self.address.hex()}")

    # one batch

    async def _commit_next(self, view: L1View, nonce: int) -> None:
        sealed = await self._seal(view)
        if sealed is None:
            return
        index = sealed.batch.index
        _log.info("batch_sealed", index=index, first=sealed.batch.first, last=sealed.batch.last)
        try:
            certificate = await self._certifying.certify(
                sealed.request, sealed.batch, lambda: self._follower.end.next_index != index
            )
        except NoQuorum as error:
            _log.warning("batch_not_certified", index=index, answers=str(error))
            self._metrics.add(table.SETTLEMENT_ATTEMPTS, 1, "no_quorum")
            return
        if self._follower.end.next_index != index:
            self._metrics.add(table.SETTLEMENT_ATTEMPTS, 1, BatchState.LOST_RACE)
            return
        attempt = await self._sign(certificate, sealed.payload, view, nonce)
        if attempt is None:
            return
        self._failpoints.reach("post_before_save")
        await self._intents.save(attempt)
        self._failpoints.reach("post_after_save")
        await self._intents.send(attempt)
        self._failpoints.reach("post_after_send")

    async def _seal(self, view: L1View) -> _Sealed | None:
        """The next batch with its payload; None if this node cannot pack it after all."""
        end, backlog = view.end, self._unposted.backlog
        calldata = poster.wants_calldata(self._policy, backlog.age_ms(wall_ms()), self._backlog_ms)
        try:
            packed, payload = await trio.to_thread.run_sync(self._pack, end.next_height, backlog.attested, calldata)
        except MissingBlocks as error:
            _log.warning("batch_not_packed", index=end.next_index, detail=str(error))
            return None
        request = ShareRequest(end.next_index, end.next_height, packed.last, end.previous, payload)
        kind = DataKind.CALLDATA if payload else DataKind.HELD
        if kind not in allowed_kinds(self._chain.parameters, packed, has_payload=bool(payload)):
            _log.error("batch_not_allowed", index=end.next_index, kind=kind.name.lower())
            return None
        batch = L1Batch(
            self._chain.l1_chain_id,
            self._inbox.address,
            end.next_index,
            end.next_height,
            packed.last,
            end.previous,
            kind,
            sha256(payload) if payload else packed.held_hash,
            packed.block_id,
            packed.namespaces_root,
        )
        return _Sealed(batch, request, payload)

    def _pack(self, first: Height, attested: Height, calldata: bool) -> tuple[PackedRange, bytes]:
        """In a thread: the longest range whose compressed payload fits, or a held one. Raises `MissingBlocks`."""
        bytes_max = self._chain.parameters.commit_bytes_max
        if calldata:
            chosen = self._reader.choose_last(first, attested, COMPRESSION_HOPED * bytes_max)
            while chosen is not None:
                packed = self._reader.pack(first, chosen)
                payload = compress(packed) if packed.byte_count <= CALLDATA_EXPANSION_MAX * bytes_max else b""
                if 0 < len(payload) <= bytes_max:
                    return packed, payload
                chosen = self._reader.halve(first, chosen)
        if self._policy is L1DataPolicy.REQUIRE:  # one block that cannot fit is held even so
            chosen = self._reader.choose_last(first, attested, 0)
        else:
            chosen = self._reader.choose_last(first, attested, HELD_BYTES_TARGET)
        if chosen is None:
            raise MissingBlocks("there is no block with data")
        return self._reader.pack(first, chosen), b""

    async def _sign(self, certificate: BatchCertificate, payload: bytes, view: L1View, nonce: int) -> Attempt | None:
        """The signed transaction; None if the contract would refuse it now."""
        batch = certificate.batch
        data = await trio.to_thread.run_sync(self._inbox.encode_commit, certificate, payload)
        try:
            estimate = await self._client.estimate_gas(self._inbox.address, data, sender=self.address)
        except ExecutionReverted as error:
            _log.warning("commit_would_revert", index=batch.index, reason=error.reason)
            self._metrics.add(table.SETTLEMENT_ATTEMPTS, 1, "would_revert")
            if error.reason not in poster.OUTRUN:
                self._refused.append(batch.index)
            return None
        if estimate < poster.GAS_ESTIMATE_MIN:
            raise L1Unreachable(f"the L1 estimates {estimate} gas for a commit: its node lacks the Inbox")
        nonce = poster.next_nonce(self._intents.attempts, nonce)
        signed = await trio.to_thread.run_sync(
            lambda: sign_commit(
                self._secret,
                chain_id=self._chain.l1_chain_id,
                nonce=nonce,
                to=self._inbox.address,
                data=data,
                gas=poster.gas_limit(estimate),
                max_fee_wei=poster.fee_limit_wei(view.latest.base_fee_wei),
                priority_fee_wei=poster.PRIORITY_FEE_WEI,
            )
        )
        return Attempt(
            nonce,
            batch.index,
            batch.first,
            batch.last,
            batch.data_kind,
            batch.hash(self._chain.domain),
            signed.hash,
            signed.raw,
            wall_ms(),
            BatchState.INTENT,
        )
