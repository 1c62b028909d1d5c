"""The links of this node."""

from sequencer.client.views import peer_to_json
from sequencer.rpc.context import Context
from sequencer.rpc.method import Method


async def list_peers(context: Context) -> object:
    """All other validators, connected or not."""
    return [peer_to_json(peer) for peer in context.service.peers()]


METHODS = (
    Method(
        "seq_listPeers",
        "The other validators by index, with the state of this node's link to each.",
        list_peers,
        result="Peer",
        many=True,
    ),
)
