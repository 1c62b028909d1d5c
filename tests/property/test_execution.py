"""Random chains: execution is a pure function of them, restarts change nothing, and clients can verify all of it."""

from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consensus.merkle import merkle_root
from consensus.numbers import Digest, Height, NamespaceId
from consensus.vocabulary.batch import Batch, parse_segment
from consensus.vocabulary.block import namespace_leaf
from consensus.vocabulary.tip import Tip
from sequencer.client.verify import NamespaceVerifier, VerifiedBlock
from sequencer.execution.blocks import ExecutedBlock
from sequencer.execution.execute import Executor
from sequencer.execution.namespaces import RECORD_STEPS_MAX, LeavesRecord, leaves_at
from sequencer.execution.state import ExecutionState
from tests.chain_run import ChainRun
from tests.committee import Committee, Segment

NAMESPACES = tuple(NamespaceId(1000 + number) for number in range(7))
COMMITTEE = Committee(namespaces=NAMESPACES)

items = st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=3).map(tuple)
segments = st.one_of(
    st.builds(Segment, st.sampled_from(NAMESPACES), items),
    st.builds(Segment, st.sampled_from(NAMESPACES), items, claimed_count=st.integers(0, 4)),
    st.builds(Segment, st.sampled_from(NAMESPACES), raw=st.binary(min_size=1, max_size=9), claimed_count=st.just(1)),
    st.builds(Segment, st.sampled_from([NamespaceId(7), NAMESPACES[0]]), items, kind=st.just(2)),
    st.builds(Segment, st.just(NamespaceId(8)), items),
)


@dataclass(frozen=True)
class Plan:
    """A block to make: its distance in time, and batches (lane, segments, whether the author forks there)."""

    step_ms: int
    batches: tuple[tuple[int, tuple[Segment, ...], bool], ...]


batch_plans = st.tuples(
    st.integers(0, 3),
    st.lists(segments, min_size=1, max_size=4, unique_by=lambda s: (s.namespace, s.kind)).map(tuple),
    st.integers(0, 19).map(lambda number: number == 0),
)
plans = st.lists(
    st.builds(Plan, st.integers(1, 60), st.lists(batch_plans, max_size=4).map(tuple)), min_size=1, max_size=12
)


def run_of(planned: list[Plan]) -> tuple[ChainRun, list[Tip]]:
    run, tips, now_ms = ChainRun(COMMITTEE), [], 0
    for plan in planned:
        now_ms += plan.step_ms
        added: dict[int, list[Batch]] = {}
        for lane, content, is_fork in plan.batches:
            batch = run.seal(lane, *content)
            if is_fork:
                header = batch.header
                batch = COMMITTEE.seal(lane, header.seq, Digest(b"\x09" * 32), list(content))
            added.setdefault(lane, []).append(batch)
            run.batches[batch.digest] = batch
        tip = run.tips.tip(now_ms, added)
        tips.append(tip)
        run.execute(tip)
    return run, tips


@given(plans)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_every_snapshot_leads_to_the_same_bytes(planned: list[Plan]) -> None:
    run, tips = run_of(planned)
    executor = Executor(COMMITTEE.chain)
    snapshots = [executor.start().encode(), *(done.state.encode() for done in run.results)]
    for at, snapshot in enumerate(snapshots):
        state = ExecutionState.decode(snapshot)
        assert state.encode() == snapshot
        for expected, tip in zip(run.results[at:], tips[at:], strict=True):
            again = executor.execute(state, executor.order(state, tip), run.batches)
            assert again == expected
            assert again.block.encode() == expected.block.encode()
            state = again.state


@given(plans)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_what_execution_makes_holds_together(planned: list[Plan]) -> None:
    run, _ = run_of(planned)
    newest: dict[NamespaceId, bytes] = {}
    for done in run.results:
        block = done.block
        assert ExecutedBlock.decode(block.encode()) == block
        for executed in block.namespaces:
            made = executed.block
            newest[made.namespace] = namespace_leaf(made.namespace, made.index, executed.hash)
            position = 0
            for where in executed.runs:
                data = run.batches[where.digest].encoded[where.offset : where.offset + where.byte_count]
                entry = run.batches[where.digest].header.segments[where.place]
                parsed = parse_segment(data, entry.item_count, COMMITTEE.chain.parameters.tx_bytes_max)
                assert (where.first_position, where.item_count) == (position, len(parsed or []))
                position += where.item_count
            assert position == executed.item_count
        assert block.namespaces_root == merkle_root([newest[namespace] for namespace in sorted(newest)])
    for namespace, blocks in run.executed.items():
        assert [item.block.index for item in blocks] == list(range(len(blocks)))
        assert [item.block.namespace for item in blocks] == [namespace] * len(blocks)


@given(plans)
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_clients_verify_every_block_up_to_every_attested_height(planned: list[Plan]) -> None:
    run, _ = run_of([*planned, Plan(1, ())])
    for namespace, executed in run.executed.items():
        verifier = NamespaceVerifier(COMMITTEE.chain, namespace)
        found: list[VerifiedBlock] = []
        for height in sorted(run.attestations):
            head = leaves_at(Height(height), run.records.get).head(namespace)
            if head is not None:
                indices = range(verifier.next_index, head.index + 1)
                found += verifier.verify([run.delivered(i, namespace) for i in indices], run.proof(height, namespace))
        assert [block.hash for block in found] == [item.hash for item in executed]  # the idle end attests the last one


def test_records_of_many_namespaces_stay_small_and_are_answered_within_their_bound() -> None:
    names = tuple(NamespaceId(number) for number in range(1, 201))
    run = ChainRun(Committee(namespaces=names))
    run.block(60, {0: [run.seal(0, *(Segment(namespace, (b"first",)) for namespace in names))]})
    roots = {}
    for number in range(2, 202):
        block = run.block(60 * number, run.data(0, b"more", namespace=names[number * number % 200]))
        roots[number] = block.namespaces_root
    for height, root in roots.items():
        asked: list[int] = []

        def load(at: Height, asked: list[int] = asked) -> bytes | None:
            asked.append(at)
            return run.records.get(at)

        assert leaves_at(Height(height), load).root == root
        assert len(asked) <= RECORD_STEPS_MAX
    leaves = [len(LeavesRecord.decode(record).heads) for record in run.records.values()]
    assert sum(leaves) < 200 + 200 + 200 * 200 / RECORD_STEPS_MAX + 200
    assert max(leaves[1:]) == 200  # a full record now and then
