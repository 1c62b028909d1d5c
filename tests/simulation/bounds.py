"""What every pool of a node may hold at most, whatever anybody sends (`consensus/replica/pools.py`, `tree.py`)."""

from consensus import limits
from consensus.replica.state import QCS_KEPT
from tests.simulation.node import Node


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
    for name, (size, most) in sizes.items():
        assert size <= most, f"node {node.index} keeps {size} {name}, {most} are allowed"
