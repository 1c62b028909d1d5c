"""A checkpoint is believed for its signatures alone: whatever in it is changed, it is refused."""

from dataclasses import replace

import pytest

from consensus.errors import DecodeError, InvalidObject
from consensus.numbers import ZERO_HASH, Digest, Hash, NamespaceId, NamespaceIndex, Seq, ValidatorIndex
from consensus.ordering.cut import LanePosition
from sequencer.execution.blocks import ClosedLane
from sequencer.execution.checkpoint import Checkpoint
from sequencer.execution.namespaces import NamespaceHead, NamespaceHeads, RecordProgress
from tests.checkpoints import attest, changed, make_checkpoint
from tests.simulation.forge import Forge
from tests.simulation.keys import make_genesis

CHAIN = make_genesis((1, 1, 1, 1))
FORGE = Forge(CHAIN)
GOOD = make_checkpoint(FORGE, 3)
TIPS = FORGE.chain_of(6)


def test_it_reads_back_and_is_the_chains():
    found = Checkpoint.decode(GOOD.encode(), CHAIN)
    assert found == GOOD
    found.check(CHAIN)


def test_what_hangs_on_the_senders_disk_stays_there():
    kept = changed(GOOD, progress=RecordProgress(GOOD.state.height, 3, 4))
    assert kept.encode() == GOOD.encode()


def lane(index: int, position: LanePosition) -> Checkpoint:
    effective = GOOD.state.effective
    cut = (*effective.cut[:index], position, *effective.cut[index + 1 :])
    return changed(GOOD, effective=replace(effective, cut=cut))


STRANGE_HEAD = NamespaceHead(NamespaceId(1001), NamespaceIndex(0), Hash(bytes(32)))
TWIN = FORGE.tip(
    3, GOOD.tip.justify, reports=FORGE.reports(3, GOOD.tip.reports[0].sent_ms, validators=(1, 2, 3))
)  # what an equivocating leader could have made
TWIN_QC = FORGE.certify(TWIN)
assert (TWIN.header.ts_ms, TWIN.header.height) == (GOOD.tip.header.ts_ms, GOOD.tip.header.height)
LIES = {
    "the order": lane(2, LanePosition(Seq(9), Digest(Hash(bytes(32))))),
    "a digest": lane(0, LanePosition(Seq(0), Digest(Hash(b"\x01" * 32)))),
    "lanes left out": changed(GOOD, effective=replace(GOOD.state.effective, cut=GOOD.state.effective.cut[:3])),
    "a closed lane": changed(GOOD, closed_lanes=(ClosedLane(ValidatorIndex(1), Seq(1)),)),
    "whether it is open": changed(GOOD, is_open=True),
    "the time": changed(GOOD, ts_ms=GOOD.state.ts_ms + 1),
    "the height": changed(GOOD, height=4),
    "namespaces": changed(GOOD, namespaces=NamespaceHeads.of([STRANGE_HEAD])),
    "the tip": replace(GOOD, tip=TIPS[3]),
    "the block": changed(GOOD, block_id=TIPS[3].id),
    "its author's signature": replace(GOOD, tip=replace(GOOD.tip, author_sig=TIPS[3].author_sig)),
    "a QC of another block": replace(GOOD, qc=TIPS[4].justify, child_qc=TIPS[5].justify),
    "another tip, committed": replace(GOOD, tip=TIPS[3], qc=TIPS[4].justify, child_qc=TIPS[5].justify),
    "a tip of its view and time": replace(GOOD, tip=TWIN, qc=TWIN_QC, child_qc=FORGE.certify(FORGE.tip(4, TWIN_QC))),
    "a child of a later view": replace(GOOD, child_qc=FORGE.certify(FORGE.tip(6, GOOD.qc))),
    "no commit": replace(GOOD, child_qc=TIPS[5].justify),
    "a QC without a quorum": replace(GOOD, qc=FORGE.certify(GOOD.tip, signers=(0, 1)), child_qc=GOOD.child_qc),
    "a child's QC without a quorum": replace(GOOD, child_qc=FORGE.certify(TIPS[3], signers=(0, 1))),
    "too few attest": replace(GOOD, certificate=attest(CHAIN, GOOD.state, (0, 1))),
    "somebody else attests": replace(
        GOOD,
        certificate=replace(
            attest(CHAIN, GOOD.state, (0, 1, 2)), signers=(ValidatorIndex(0), ValidatorIndex(1), ValidatorIndex(3))
        ),
    ),
    "another attestation": replace(GOOD, certificate=make_checkpoint(FORGE, 2).certificate),
}


@pytest.mark.parametrize("lie", LIES)
def test_whatever_is_changed_it_is_refused(lie):
    with pytest.raises(InvalidObject):
        LIES[lie].check(CHAIN)


def test_what_an_attestation_does_not_say_is_refused():
    """An attestation of another order is not one of this order, even if it is signed."""
    attestation = replace(GOOD.certificate.attestation, aux_root=ZERO_HASH)
    with pytest.raises(InvalidObject, match="other_order"):
        replace(GOOD, certificate=replace(GOOD.certificate, attestation=attestation)).check(CHAIN)


def test_a_checkpoint_of_another_chain_is_refused():
    other = make_genesis((2, 1, 1, 1))
    with pytest.raises(InvalidObject):
        Checkpoint.decode(GOOD.encode(), other).check(other)


def test_malformed_bytes_are_refused():
    data = GOOD.encode()
    for length in range(0, len(data), 97):
        with pytest.raises(DecodeError):
            Checkpoint.decode(data[:length], CHAIN)
    for broken in (data + b"\x00", b"\x02" + data[1:]):
        with pytest.raises(DecodeError):
            Checkpoint.decode(broken, CHAIN)
    state = changed(GOOD, progress=RecordProgress(GOOD.state.height)).state.encode()
    head = data[: -len(GOOD.state.encode()) - 4]
    with pytest.raises(DecodeError, match="no records"):
        Checkpoint.decode(head + len(state).to_bytes(4, "big") + state, CHAIN)


def test_no_changed_byte_is_believed_or_does_other_harm():
    data = GOOD.encode()
    for place in range(0, len(data), 23):
        broken = data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :]
        with pytest.raises((DecodeError, InvalidObject)):
            Checkpoint.decode(broken, CHAIN).check(CHAIN)
