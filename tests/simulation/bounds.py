"""What every pool of a node may hold at most, whatever anybody sends (`pools.py`, `tree.py`, the lanes, attesting)."""

from consensus import limits
from consensus.replica.state import QCS_KEPT
from sequencer.attesting.attest import AHEAD_SHARES_MAX, OPEN_HEIGHTS_MAX
from tests.simulation.node import Node
from tests.simulation.whole.lanes import BOUNDS
from tests.simulation.whole.node import WholeNode


def check_bounds(node: Node) -> None:
    """Fails if a running node keeps more than it may."""
    state, count = node.core.state, node.cluster.count
    sizes = {
        "votes": (sum(map(len, state.votes._votes.values())), 12 * count),
        "timeouts": (sum(map(len, state.timeouts._timeouts.values())), 2 * count),
        "reports": (sum(map(len, state.reports._reports.values())), 11 * count),
        "QCs": (len(state.qcs), QCS_KEPT),
        "tips": (len(state.tree), limits.TIPS_UNCOMMITTED_MAX),
        "marks": (len(state.walk.marks) if state.walk is not None else 0, limits.WALK_MARKS_MAX),
    }
    if isinstance(node, WholeNode):
        sizes |= _whole_sizes(node)
    for name, (size, most) in sizes.items():
        assert size <= most, f"node {node.index} keeps {size} {name}, {most} are allowed"


def _whole_sizes(node: WholeNode) -> dict[str, tuple[int, int]]:
    lanes, attesting = node.lanes.core, node.blocks.core
    return {
        "bytes of a lane": (max(lanes.uncommitted_bytes()), BOUNDS.lane_bytes_max),
        "wished batches": (lanes.missing_count(), BOUNDS.wanted_max),
        "open attestations": (len(attesting._open), OPEN_HEIGHTS_MAX),
        "shares ahead": (max(map(len, attesting._ahead.values()), default=0), AHEAD_SHARES_MAX),
    }
