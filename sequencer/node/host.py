"""The node's libp2p host, made from its configuration."""

import random
import secrets

from consensus.errors import BrokenInvariant
from p2p.bounds import LinkTimes
from p2p.host import ValidatorHost
from p2p.peers import Peer
from sequencer.keys.key_files import KeyKind, load_secret
from sequencer.node.config import NodeConfig
from sequencer.node.frames import link_bounds
from sequencer.node.links import Links
from sequencer.node.own_validator import LoadedValidator
from storage.errors import StorageFault


def make_host(config: NodeConfig, validator: LoadedValidator, links: Links) -> ValidatorHost:
    """Knows the other validators by the genesis and the configuration, and nobody else."""
    keys = validator.genesis.validator_set
    peers = [
        Peer(peer.index, keys.validators[peer.index].node_public_key, peer.host, peer.port)
        for peer in config.p2p.peers
        if peer.index != validator.index
    ]
    return ValidatorHost(
        secret=load_secret(config.keys_dir, KeyKind.NODE),
        index=validator.index,
        peers=peers,
        listen_host=config.p2p.host,
        listen_port=config.p2p.port,
        events=links,
        bounds=link_bounds(validator.genesis),
        jitter=random.Random(secrets.randbits(64)),
        times=LinkTimes(
            heartbeat_ms=round(config.p2p.heartbeat_s * 1_000), silence_ms=round(config.p2p.silence_s * 1_000)
        ),
        fatal=(StorageFault, BrokenInvariant),
    )
