"""Any requests, drafts and pauses: nothing is lost, bounds and order hold, and a flood gets no more than its share."""

from hypothesis import given
from hypothesis import strategies as st

from consensus.clock import Now
from consensus.namespace_terms import NamespaceTerms
from consensus.numbers import ZERO_HASH, Digest, Epoch, Milliseconds, NamespaceId, Seq, ValidatorIndex
from consensus.vocabulary.batch import LENGTH_PREFIX_BYTES, Batch, Items
from sequencer.mempool.bounds import MempoolBounds
from sequencer.mempool.draft import SEGMENT_OVERHEAD_BYTES
from sequencer.mempool.errors import Refusal
from sequencer.mempool.fair_share import QUANTUM_BYTES_MIN, FairShare, Round
from sequencer.mempool.mempool import Mempool
from sequencer.mempool.queues import TX_COST_BYTES_LEAST, NamespaceQueue, Run, Ticket
from tests.committee import Committee

NAMESPACES = (1, 2, 3, 4)
COMMITTEE = Committee(namespaces=NAMESPACES)
CHAIN = COMMITTEE.chain
ZEROS = Digest(bytes(32))


def at(mono_ms: float) -> Now:
    return Now(Milliseconds(1_700_000_000_000 + int(mono_ms)), mono_ms)


requests = st.tuples(
    st.just("submit"),
    st.sampled_from([*NAMESPACES, 99]),
    st.lists(st.binary(max_size=3) | st.binary(min_size=400, max_size=900), max_size=12),
)
steps = st.lists(
    requests
    | st.tuples(st.just("draft"), st.none(), st.none())
    | st.tuples(st.just("pause"), st.integers(0, 700), st.none())
    | st.tuples(st.just("expire"), st.none(), st.none()),
    max_size=40,
)


class PoolModel:
    """What must wait, by namespace, beside the pool that is tested."""

    bounds = MempoolBounds(
        batch_bytes_target=2_000, namespace_queue_bytes=4_000, bytes_max=9_000, ttl_ms=1_000, seen_window_ms=2_000
    )

    def __init__(self) -> None:
        self.pool = Mempool(CHAIN, ValidatorIndex(1), self.bounds)
        self.waiting: dict[int, list[tuple[int, int, bytes]]] = {namespace: [] for namespace in NAMESPACES}
        self.namespace_of: dict[int, int] = {}
        self.mono_ms = 0.0
        self.seq = 0

    def leave(self, ticket: int, number: int, tx_id: bytes) -> None:
        assert self.waiting[self.namespace_of[ticket]].pop(0) == (ticket, number, tx_id)

    def submit(self, namespace: int, items: list[bytes]) -> None:
        submission = self.pool.submit(namespace, Items.of(items), at(self.mono_ms))
        self.namespace_of[submission.ticket] = namespace
        if submission.whole is not None:
            assert (submission.admitted, submission.refused) == ((), ())
            assert submission.whole.reason in (Refusal.FULL, Refusal.UNKNOWN_NAMESPACE)
            return
        numbers = [number for number, _ in submission.admitted] + [item.number for item in submission.refused]
        assert sorted(numbers) == list(range(len(items)))
        for number, tx_id in submission.admitted:
            self.waiting[namespace].append((submission.ticket, number, tx_id))
        for item in submission.refused:
            assert (item.retry_after_ms is not None) == (item.reason is Refusal.FULL)
            assert (item.hash is not None) == (item.reason is Refusal.KNOWN)

    def expire(self) -> None:
        for expired in self.pool.expire(at(self.mono_ms)):
            for number, tx_id in enumerate(expired.hashes, expired.number):
                self.leave(expired.ticket, number, tx_id)

    def draft(self) -> bool:
        self.seq += 1
        draft = self.pool.draft(at(self.mono_ms), Seq(self.seq), ZEROS, Epoch(0))
        if draft is None:
            assert not any(self.waiting.values())
            return False
        batch = draft.seal(CHAIN, COMMITTEE.node_keys[1])
        assert len(batch.encoded) <= max(self.bounds.batch_bytes_target, CHAIN.parameters.tx_bytes_max + 1_000)
        Batch.decode(batch.encoded, CHAIN.parameters.batch_bytes_max).check(CHAIN)
        positions = [
            (item.namespace, item.index, ticket, number, item.hash)
            for ticket, request in draft.requests.items()
            for number, item in request.items
        ]
        for _namespace, _index, ticket, number, tx_id in sorted(positions):
            self.leave(ticket, number, tx_id)
        return True

    def check(self) -> None:
        now = at(self.mono_ms)
        figures = {namespace: self.pool.figures(NamespaceId(namespace), now) for namespace in NAMESPACES}
        for namespace, queue in self.waiting.items():
            assert figures[namespace].waiting_count == len(queue)
            assert figures[namespace].waiting_bytes <= self.bounds.namespace_queue_bytes
        assert self.pool.waiting_bytes == sum(figure.waiting_bytes for figure in figures.values())
        assert self.pool.waiting_bytes <= self.bounds.bytes_max


@given(steps)
def test_every_admitted_transaction_leaves_exactly_once_and_in_order(script) -> None:
    model = PoolModel()
    for kind, first, items in script:
        if kind == "submit":
            model.submit(first, items)
        elif kind == "pause":
            model.mono_ms += first
        elif kind == "expire":
            model.expire()
        else:
            model.draft()
        model.check()
    while model.draft():
        model.check()


@given(
    shares=st.lists(st.integers(0, 400), min_size=1, max_size=8).filter(lambda shares: sum(shares) <= 900),
    batch_bytes=st.integers(1_000, 1_000_000),
)
def test_the_quanta_of_a_round_are_equal_parts_raised_to_the_shares(shares, batch_bytes) -> None:
    turns = Round.of(shares, batch_bytes)
    quanta = [turns.quantum(share) for share in shares]
    assert turns.byte_count - len(shares) <= sum(quanta) <= turns.byte_count
    assert min(quanta) >= QUANTUM_BYTES_MIN
    for share, quantum in zip(shares, quanta, strict=True):
        assert quantum >= turns.byte_count * share // 1_000
        assert quantum == max(min(quanta), turns.byte_count * share // 1_000)
    if sum(shares) == 0:
        assert turns.byte_count == max(batch_bytes, QUANTUM_BYTES_MIN * len(shares))


@given(
    shares=st.lists(st.integers(0, 300), min_size=2, max_size=6).filter(lambda shares: sum(shares) <= 900),
    sizes=st.lists(st.integers(10, 3_000), min_size=6, max_size=6),
    room_bytes=st.integers(3_100, 20_000),
    batches=st.integers(1, 40),
)
def test_a_namespace_that_waits_gets_its_share_within_one_round(shares, sizes, room_bytes, batches) -> None:
    """Of all that was given so far, but for what one round may still owe it."""
    share = FairShare(SEGMENT_OVERHEAD_BYTES)
    queues = [
        NamespaceQueue(NamespaceId(place), NamespaceTerms(share_permille=permille))
        for place, permille in enumerate(shares)
    ]
    given_bytes = [0] * len(queues)
    turns = Round.of(shares, room_bytes)
    for _ in range(batches):
        for queue, size in zip(queues, sizes, strict=False):
            refill(queue, size, 3 * room_bytes)
            share.enter(queue)
        for namespace, runs in share.drain(room_bytes).items():
            given_bytes[namespace] += sum(run.cost_bytes for run in runs)
        total = sum(given_bytes)
        for place, permille in enumerate(shares):
            owed = total * permille / 1_000
            assert given_bytes[place] >= owed - turns.byte_count - 2 * max(
                TX_COST_BYTES_LEAST, LENGTH_PREFIX_BYTES + max(sizes)
            )
    rounds = sum(given_bytes) // (turns.byte_count + len(shares) * max(sizes))
    assert all(count > 0 for count in given_bytes) or rounds < 2


def refill(queue: NamespaceQueue, size: int, bytes_min: int, in_run: int = 1) -> None:
    ticket = Ticket(1, at(0))
    while queue.byte_count < bytes_min:
        queue.append(Run(ticket, 0, Items.of([bytes(size)] * in_run), [ZERO_HASH] * in_run))


@given(
    sizes=st.lists(st.integers(10, 3_000), min_size=2, max_size=6),
    room_bytes=st.integers(3_100, 20_000),
    batches=st.integers(1, 25),
    lighter=st.integers(0, 3),
    in_run=st.integers(1, 40),
)
def test_namespaces_that_wait_together_are_given_the_same(sizes, room_bytes, batches, lighter, in_run) -> None:
    """Each namespace always has more than a batch waiting, in transactions of a size of its own; others come and go."""
    share = FairShare(SEGMENT_OVERHEAD_BYTES)
    heavy = [NamespaceQueue(NamespaceId(place)) for place in range(len(sizes))]
    passing = [NamespaceQueue(NamespaceId(100 + place)) for place in range(lighter)]
    given_bytes = [0] * len(sizes)
    for number in range(batches):
        for queue, size in zip(heavy, sizes, strict=True):
            refill(queue, size, 3 * room_bytes, in_run)
            share.enter(queue)
        for place, queue in enumerate(passing):
            if number % (place + 2) == 0:
                refill(queue, 50, 200)
                share.enter(queue)
        taken = share.drain(room_bytes)
        assert sum(SEGMENT_OVERHEAD_BYTES + segment_bytes(items) for items in taken.values()) <= room_bytes
        for place in range(len(sizes)):
            given_bytes[place] += sum(run.cost_bytes for run in taken.get(NamespaceId(place), []))
        quantum = max(QUANTUM_BYTES_MIN, room_bytes // len(sizes))
        assert max(given_bytes) - min(given_bytes) <= quantum + 2 * max(
            TX_COST_BYTES_LEAST, LENGTH_PREFIX_BYTES + max(sizes)
        )


def segment_bytes(runs: list[Run]) -> int:
    return sum(run.byte_count for run in runs)


@given(flood=st.integers(400, 8_000), others=st.sets(st.sampled_from(NAMESPACES[1:])), before=st.integers(0, 5))
def test_a_flood_delays_another_namespace_by_two_batches_at_most(flood, others, before) -> None:
    bounds = MempoolBounds(batch_bytes_target=64 * 1024 + 500)
    pool = Mempool(CHAIN, ValidatorIndex(0), bounds)
    for namespace in {1, *others} - {4}:
        items = [n.to_bytes(4, "big") * (flood // 4) for n in range(600_000 // flood)]
        pool.submit(namespace, Items.of(items), at(0))
    for seq in range(1, before + 1):
        pool.draft(at(seq), Seq(seq), ZEROS, Epoch(0))
    ticket = pool.submit(4, Items.of([bytes(200)]), at(10)).ticket
    drafts = [pool.draft(at(10), Seq(10 + number), ZEROS, Epoch(0)) for number in range(2)]
    assert any(draft is not None and ticket in draft.requests for draft in drafts)
