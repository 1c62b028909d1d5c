"""What happens on the links: hellos, frames and requests, each handed to the driver it belongs to.

Responsible for: decoding bodies, and turning what cannot be decoded into the peer's fault.
Refuses to do: judge what it decoded.

Invariants:
1. A peer of another chain is refused at its hello, counted, and never a reason to stop.
2. A body that does not decode closes the link.
"""

import structlog
import trio

from consensus.encoding import decode_whole
from consensus.errors import DecodeError
from consensus.genesis import Genesis
from consensus.numbers import GENESIS_EPOCH, Digest, Hash, Height, Milliseconds, ValidatorIndex
from consensus.replica.effects import Message
from consensus.replica.events import PeerConnected
from consensus.replica.state import received
from consensus.vocabulary.attestation import AttestationShare
from p2p.errors import PeerFault, RequestRefused
from sequencer.attesting import events as attesting_events
from sequencer.node.attesting_driver import AttestingDriver
from sequencer.node.batch_sharing import BatchSharing
from sequencer.node.clock import wall_ms
from sequencer.node.consensus_driver import COUNTED, ConsensusDriver
from sequencer.node.evidence_driver import EvidenceDriver
from sequencer.node.frames import FrameKind, Hello, RequestKind, decode_tips_request, message_decoders
from sequencer.node.lane_driver import LaneDriver
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics

_log = structlog.get_logger("links")


class Links:
    """The node's side of every link (`p2p.peers.LinkEvents`)."""

    def __init__(
        self,
        *,
        chain: Genesis,
        index: ValidatorIndex,
        consensus: ConsensusDriver,
        lanes: LaneDriver,
        attesting: AttestingDriver,
        evidence: EvidenceDriver,
        sharing: BatchSharing | None,
        metrics: Metrics,
    ) -> None:
        self._chain = chain
        self._index = index
        self._consensus = consensus
        self._lanes = lanes
        self._attesting = attesting
        self._evidence = evidence
        self._sharing = sharing
        self._metrics = metrics
        self._decoders = message_decoders(chain.validator_set.count)
        self.connected: set[ValidatorIndex] = set()
        began_ms = wall_ms()
        others = (peer for peer in range(chain.validator_set.count) if peer != index)
        self._away_since_ms = {ValidatorIndex(peer): began_ms for peer in others}
        self.heard_quorum = trio.Event()  # at some moment validators that make a quorum with us were connected

    def away_since_ms(self, validator: ValidatorIndex) -> Milliseconds | None:
        """Since when there is no link with a validator, at the earliest since we began; None while there is one."""
        return self._away_since_ms.get(validator)

    def hello(self) -> bytes:
        """Who we are and how far we hold each lane."""
        return Hello(self._chain.chain_id, GENESIS_EPOCH, self._index, self._lanes.heads()).encode()

    async def link_opened(self, peer: int, hello: bytes) -> None:
        """Refuses another chain; then lanes, consensus and attestations repeat what the peer may have missed."""
        try:
            found = Hello.decode(hello)
        except DecodeError as error:
            raise PeerFault("bad_hello", str(error)) from error
        if found.chain_id != self._chain.chain_id:
            _log.warning("peer_of_another_chain", peer=peer, chain_id=found.chain_id)
            raise PeerFault("other_chain", mutes=False)
        if found.index != peer or len(found.heads) != self._chain.validator_set.count:
            raise PeerFault("bad_hello", "index or lanes do not fit the genesis")
        validator = ValidatorIndex(peer)
        self.connected.add(validator)
        self._away_since_ms.pop(validator, None)
        self._metrics.set(table.P2P_PEERS, len(self.connected))
        _log.info("link_opened", peer=peer)
        self._lanes.note_link_opened(validator, found.heads)
        if self._chain.validator_set.is_quorum({*self.connected, self._index}):
            self.heard_quorum.set()
        self._consensus.handle(PeerConnected(validator))
        self._attesting.handle(attesting_events.PeerConnected(validator))
        await self._evidence.show_all(validator)

    def link_closed(self, peer: int, reason: str) -> None:
        """The protocol sends again when the link is back."""
        self.connected.discard(ValidatorIndex(peer))
        self._away_since_ms[ValidatorIndex(peer)] = wall_ms()
        self._metrics.set(table.P2P_PEERS, len(self.connected))
        _log.info("link_closed", peer=peer, reason=reason)
        self._lanes.note_link_closed(ValidatorIndex(peer))

    async def frame_received(self, peer: int, kind: int, body: bytes) -> None:
        """One frame."""
        validator = ValidatorIndex(peer)
        try:
            self._dispatch(validator, kind, body)
        except DecodeError as error:
            raise PeerFault("malformed", str(error)) from error

    def _dispatch(self, peer: ValidatorIndex, kind: int, body: bytes) -> None:
        decoder = self._decoders.get(kind)
        if decoder is not None:
            if kind in COUNTED:
                self._metrics.add(COUNTED[FrameKind(kind)], 1, "received")
            self._consensus_message(peer, decode_whole(body, decoder))
        elif kind == FrameKind.BATCH:
            self._lanes.receive(peer, body)
        elif kind == FrameKind.ATTESTATION_SHARE:
            self._attesting.receive(peer, decode_whole(body, AttestationShare.decode))
        elif kind == FrameKind.ATTESTATION_CERTIFICATE:
            self._attesting.receive_certificate(peer, body)
        elif kind == FrameKind.LANE_GAP:
            self._lanes.receive_gap(peer, body)
        elif kind == FrameKind.EVIDENCE:
            self._evidence.receive(peer, body)
        else:
            raise PeerFault("unknown_kind")

    def _consensus_message(self, peer: ValidatorIndex, message: Message) -> None:
        """For the replica, and then for evidence: votes come first."""
        try:
            self._consensus.handle_from(peer, received(peer, message))
        except PeerFault:
            self._evidence.see_refused(peer, message)
            raise
        finally:
            self._evidence.see(message)

    async def request_received(self, peer: int, kind: int, body: bytes) -> bytes:
        """One request; an empty answer means that we do not have it."""
        try:
            if kind == RequestKind.TIPS:
                wanted, floor_height = decode_tips_request(body)
                return await self._consensus.serve_tips(ValidatorIndex(peer), wanted, floor_height)
            if kind == RequestKind.BATCH:
                if len(body) != 32:
                    raise DecodeError("a digest has 32 bytes")
                return self._lanes.serve_batch(Digest(Hash(body)))
            if kind == RequestKind.ATTESTATION:
                if len(body) != 8:
                    raise DecodeError("a height has 8 bytes")
                return self._attesting.serve_certificate(Height(int.from_bytes(body, "big")))
            if kind == RequestKind.BATCH_SHARES and self._sharing is not None:
                return await self._sharing.serve(ValidatorIndex(peer), body)
        except DecodeError as error:
            raise PeerFault("malformed", str(error)) from error
        raise RequestRefused("unknown_kind")
