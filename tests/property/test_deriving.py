"""Random chains, committed in random stretches: what is rebuilt from the L1 is what execution made."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consensus.vocabulary.batch import parse_segment
from consensus.vocabulary.l1_batch import DataKind
from sequencer.derive.batches import BatchDeriver
from sequencer.derive.namespace_blocks import DerivedBlock
from tests.chain_run import ChainRun
from tests.committed_chain import INBOX, CommittedChain
from tests.property.test_execution import Plan, plans, run_of


def executed_blocks(run: ChainRun) -> list[DerivedBlock]:
    """What execution made, in the deriver's words."""
    found = []
    for executed in (block for blocks in run.executed.values() for block in blocks):
        transactions: list[bytes] = []
        for part in executed.runs:
            data = run.batches[part.digest].encoded[part.offset :][: part.byte_count]
            if part.item_count:
                transactions += parse_segment(data, part.item_count, run.committee.chain.parameters.tx_bytes_max) or ()
        found.append(DerivedBlock(executed.block, executed.hash, tuple(transactions)))
    return sorted(found, key=lambda one: (one.block.namespace, one.block.index))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(plans, st.data())
def test_what_is_rebuilt_is_what_was_executed(planned: list[Plan], data: st.DataObject) -> None:
    run, _ = run_of(planned)
    chain, at = CommittedChain(run), 0
    full = [result.block.height for result in run.results if not result.block.is_empty]
    while left := [height for height in full if height > at]:
        at = data.draw(st.sampled_from(left))
        chain.commit(at, data.draw(st.sampled_from(DataKind)))
    deriver, found = BatchDeriver(run.committee.chain, INBOX), list[DerivedBlock]()
    for committed in chain.batches:
        batch = committed.certificate.batch
        payload = chain.held.get(batch.index, committed.data)
        derived = deriver.derive(committed.certificate, payload, found.append)
        assert derived.faults == ()
    assert sorted(found, key=lambda one: (one.block.namespace, one.block.index)) == executed_blocks(run)
