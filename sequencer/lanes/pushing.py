"""Streaming our own lane to the others.

Responsible for: up to where each linked peer was sent our lane, and noticing that peers hold more of it than we do.
Refuses to do: read or send bytes. The core says what comes next, the link's bounded queue says when.

Invariants:
1. A peer is sent our lane in the order of seq, from the head that its hello named, only what is held here ▲ (what was
   sent and then lost in a crash would be sealed twice). A refused send moves nothing, so it is tried again.
2. A peer may ask us to go back, once per `rewind_interval_ms`.
3. When a witness set of linked peers claims to hold more of our lane than we ever sealed, one of them is honest: our
   disk is older than what we signed. Sealing on would sign a seq twice, so the process stops ▲.
"""

from consensus.clock import Now
from consensus.errors import KeyUsedElsewhere
from consensus.numbers import Seq, ValidatorIndex
from consensus.validators import ValidatorSet
from sequencer.lanes.bounds import LaneBounds


class Pushes:
    """See the module's invariants."""

    def __init__(self, validators: ValidatorSet, bounds: LaneBounds) -> None:
        self._validators = validators
        self._bounds = bounds
        self._sent: dict[ValidatorIndex, Seq] = {}  # of linked peers
        self._claims: dict[ValidatorIndex, Seq] = {}
        self._rewound_mono_ms: dict[ValidatorIndex, float] = {}

    def link_opened(self, peer: ValidatorIndex, peer_head: Seq, sealed: Seq) -> None:
        """`peer` holds our lane up to `peer_head`; we sealed it up to `sealed`. Raises `KeyUsedElsewhere`."""
        self._sent[peer] = min(peer_head, sealed)
        self._claims[peer] = peer_head
        ahead = [claimant for claimant, claim in self._claims.items() if claim > sealed]
        if self._validators.is_witness(ahead):
            raise KeyUsedElsewhere(
                f"validators {sorted(ahead)} hold batches of this validator's lane behind {sealed}, its last"
            )

    def link_closed(self, peer: ValidatorIndex) -> None:
        """Whatever was on its way may be lost; the next hello says where to go on."""
        self._sent.pop(peer, None)
        self._claims.pop(peer, None)

    def next_seq(self, peer: ValidatorIndex, held: Seq) -> Seq | None:
        """What to send next, of a lane held up to `held`."""
        sent = self._sent.get(peer)
        return None if sent is None or sent >= held else Seq(sent + 1)

    def accepted(self, peer: ValidatorIndex, seq: Seq) -> None:
        """The link took it."""
        if self._sent.get(peer) == seq - 1:
            self._sent[peer] = seq

    def give_up(self, peer: ValidatorIndex) -> None:
        """What it lacks is pruned here. Nothing is sent until its next hello: what comes later is a gap to it."""
        self._sent.pop(peer, None)

    def rewind(self, peer: ValidatorIndex, from_seq: Seq, sealed: Seq, now: Now) -> bool:
        """`peer` wants our lane from `from_seq` on. Returns False if it asks too often."""
        last_mono_ms = self._rewound_mono_ms.get(peer)
        if last_mono_ms is not None and now.mono_ms < last_mono_ms + self._bounds.rewind_interval_ms:
            return False
        if peer in self._sent:
            self._rewound_mono_ms[peer] = now.mono_ms
            self._sent[peer] = Seq(max(0, min(from_seq - 1, sealed)))
        return True

    def behind(self, held: Seq) -> tuple[ValidatorIndex, ...]:
        """Linked peers for whom there is something to send."""
        return tuple(sorted(peer for peer, sent in self._sent.items() if sent < held))
