"""A validator that only watches: it takes every frame from the others' links, answers nothing and never signs.

With one of four validators silent the other three are all needed for a quorum: nothing that one of them signs can be
left out of what the others, and so the watcher, get to see.

Responsible for: recording what each key has stated over all lives of its process, and judging it.
Refuses to do: forgive a restart.
"""

from collections import defaultdict
from random import Random

import trio

from consensus.encoding import decode_whole
from consensus.genesis import Genesis
from consensus.numbers import GENESIS_EPOCH, Seq, ValidatorIndex, View
from consensus.vocabulary.attestation import AttestationShare
from consensus.vocabulary.batch import Batch
from p2p.host import ValidatorHost
from p2p.peers import Peer
from sequencer.keys.key_files import KeyKind, load_secret
from sequencer.node.frames import FrameKind, Hello, link_bounds, message_decoders
from tests.e2e.network import Network, Node
from tests.simulation.watcher import Watcher


class WatchingValidator:
    """Stands in for one validator of a network (`p2p.peers.LinkEvents`)."""

    def __init__(self, network: Network, index: int) -> None:
        self.chain: Genesis = network.chain
        self._node: Node = network.nodes[index]
        self._others = [node for node in network.nodes if node.index != index]
        self._decoders = message_decoders(self.chain.validator_set.count)
        validators = self.chain.validator_set
        self.statements = Watcher(lambda view: validators.leader(View(view)), validators.is_quorum)
        self.batches: dict[tuple[int, int], set[bytes]] = defaultdict(set)  # (author, seq) → digests
        self.attestations: dict[tuple[int, int], set[bytes]] = defaultdict(set)  # (validator, height) → signed bytes
        self.frames: dict[int, int] = defaultdict(int)  # how many each has sent
        self.links: dict[int, int] = defaultdict(int)  # how often each has come

    async def run(self, *, task_status=trio.TASK_STATUS_IGNORED) -> None:
        """Listens at the validator's address, with its key, until cancelled."""
        keys = self.chain.validator_set
        host = ValidatorHost(
            secret=load_secret(self._node.home / "keys", KeyKind.NODE),
            index=self._node.index,
            peers=[
                Peer(node.index, keys.node_public_key(ValidatorIndex(node.index)), node.host, node.p2p_port)
                for node in self._others
            ],
            listen_host=self._node.host,
            listen_port=self._node.p2p_port,
            events=self,
            bounds=link_bounds(self.chain),
            jitter=Random(self._node.index),
        )
        await host.run(task_status=task_status)

    def hello(self) -> bytes:
        """Claims to hold nothing, so that each link brings the author's lane again from the beginning."""
        heads = tuple(Seq(0) for _ in self.chain.validators)
        return Hello(self.chain.chain_id, GENESIS_EPOCH, ValidatorIndex(self._node.index), heads).encode()

    async def link_opened(self, peer: int, hello: bytes) -> None:
        """Counts it."""
        self.links[peer] += 1

    def link_closed(self, peer: int, reason: str) -> None:
        """Nothing to do."""

    async def frame_received(self, peer: int, kind: int, body: bytes) -> None:
        """Records what it states."""
        self.frames[peer] += 1
        decoder = self._decoders.get(kind)
        if decoder is not None:
            self.statements.see(peer, decode_whole(body, decoder))
        elif kind == FrameKind.BATCH:
            header = Batch.decode(body, self.chain.parameters.batch_bytes_max).header
            self.batches[header.author, header.seq].add(header.digest)
        elif kind == FrameKind.ATTESTATION_SHARE:
            share = decode_whole(body, AttestationShare.decode)
            self.attestations[share.validator, share.attestation.height].add(share.attestation.encode())

    async def request_received(self, peer: int, kind: int, body: bytes) -> bytes:
        """Has nothing."""
        return b""

    def check(self) -> None:
        """Nobody has contradicted itself: votes, timeouts, tips and proposals (E1 to E5), attestations, batches."""
        self.statements.check({node.index for node in self._others})
        for name, table in (("batches (E7)", self.batches), ("attestations (E6)", self.attestations)):
            twice = {key: len(found) for key, found in table.items() if len(found) > 1}
            assert not twice, f"two {name} of one (validator, number): {twice}"
