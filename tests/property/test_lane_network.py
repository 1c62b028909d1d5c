"""Whatever happens to frames, disks, links and processes, the lanes end with everything held in order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.numbers import ZERO_HASH, Digest
from tests.property.lane_network import COUNT, HONEST, LIAR, LaneNetwork, seal

node_index = st.sampled_from(HONEST)
peer_index = st.integers(0, COUNT - 1)
ordinary = (
    st.tuples(st.just("seal"), node_index, st.integers(1, 6), st.just(0))
    | st.tuples(st.just("sync"), node_index, st.integers(0, 2), st.just(0))
    | st.tuples(st.just("deliver"), st.integers(0, 11), st.integers(1, 9), st.integers(0, 3))
    | st.tuples(st.just("connect"), peer_index, peer_index, st.just(0))
    | st.tuples(st.just("disconnect"), peer_index, peer_index, st.just(0))
    | st.tuples(st.just("replay"), node_index, st.integers(0, 50), st.just(0))
    | st.tuples(st.just("order"), peer_index, st.integers(0, 3), st.just(0))
    | st.tuples(st.just("commit"), node_index, st.integers(0, 1), st.just(0))
    | st.tuples(st.just("tick"), st.integers(0, 600), st.just(0), st.just(0))
    | st.tuples(st.just("crash"), node_index, st.just(0), st.just(0))
)
hostile = st.tuples(st.just("liar"), node_index, st.integers(0, 8), st.integers(0, 5))


class Liar:
    """Validator 3: three branches of batches that part at seq 2, and some that follow nothing."""

    def __init__(self) -> None:
        first = seal(LIAR, 1, Digest(ZERO_HASH))
        self.branches = [[first] for _ in range(3)]
        for salt, branch in enumerate(self.branches):
            for seq in range(2, 10):
                branch.append(seal(LIAR, seq, branch[-1].digest, salt))

    def frame(self, number: int, trick: int) -> bytes:
        batch = self.branches[trick % 3][number]
        match trick:
            case 3:
                return batch.encoded[:-1] + bytes([batch.encoded[-1] ^ 1])
            case 4:
                return seal(LIAR, number + 1, Digest(bytes([trick]) * 32)).encoded
            case _:
                return batch.encoded


LIES = Liar()


def act(network: LaneNetwork, name: str, first: int, second: int, third: int) -> None:  # noqa: C901, PLR0912 - one table
    match name:
        case "seal":
            for _ in range(second):
                network.seal(network.nodes[first])
        case "sync":
            network.sync(network.nodes[first], second)
        case "deliver":
            for number in range(second):
                network.deliver_some(first + number, third)
        case "connect":
            network.connect(first, second)
        case "disconnect":
            network.disconnect(first, second)
        case "replay":
            pushed = [batch for batch in network.batches.values() if batch.header.author != first]
            if pushed:
                batch = pushed[second % len(pushed)]
                network.receive(network.nodes[first], batch.header.author, batch.encoded)
        case "order":
            network.order(first, second)
        case "commit":
            network.commit(network.nodes[first], need_first=bool(second))
        case "tick":
            network.tick(first)
        case "crash":
            network.crash(network.nodes[first])
        case "liar":
            for batch in (branch[second] for branch in LIES.branches):
                network.batches[batch.digest] = batch
            network.receive(network.nodes[first], LIAR, LIES.frame(second, third))


def check_the_end(network: LaneNetwork) -> None:
    network.settle()
    for node in network.nodes:
        for _, ordered in network.commits:
            assert all(batch.digest in node.told for batch in ordered)
        if LIAR in node.forked:
            assert node.evidence
        for author in HONEST:
            last = network.nodes[author].lanes.own_next()[0] - 1
            chain = sorted(batch.header.seq for batch, _ in node.disk.values() if batch.header.author == author)
            assert chain == list(range(1, last + 1))


@given(st.lists(ordinary, min_size=10, max_size=120))
@settings(max_examples=150)
def test_honest_lanes_end_held_by_all(script) -> None:
    network = LaneNetwork()
    for action in script:
        act(network, *action)
    assert not any(node.forked or node.blamed for node in network.nodes)
    check_the_end(network)


@given(st.lists(ordinary | hostile | hostile, min_size=10, max_size=120))
@settings(max_examples=150)
def test_a_forking_author_harms_its_own_lane_only(script) -> None:
    network = LaneNetwork()
    for action in script:
        act(network, *action)
    check_the_end(network)
