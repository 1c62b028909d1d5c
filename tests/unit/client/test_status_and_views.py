"""Statuses and views: the ladder, and JSON that reads back as the same object."""

from dataclasses import replace
from typing import Any

import pytest

from consensus.namespace_terms import NamespaceTerms
from consensus.numbers import (
    GENESIS_EPOCH,
    ZERO_HASH,
    Hash,
    Height,
    Milliseconds,
    NamespaceId,
    NamespaceIndex,
    Seq,
    Stake,
    ValidatorIndex,
    View,
)
from consensus.validators import Validator, ValidatorSet
from sequencer.client.chain_view import chain_from_json, chain_to_json, validators_from_json, validators_to_json
from sequencer.client.errors import MalformedAnswer, UnprovedAnswer
from sequencer.client.l1_views import l1_batch_from_json, l1_batch_to_json
from sequencer.client.namespace_views import (
    NamespaceLoad,
    NamespaceView,
    namespace_view_from_json,
    namespace_view_to_json,
)
from sequencer.client.status import (
    LADDER,
    L1Place,
    Status,
    TransactionPlace,
    TransactionStatus,
    status_from_json,
    status_to_json,
)
from sequencer.client.views import (
    CatchUp,
    L1Progress,
    NamespaceEntry,
    PeerView,
    SyncStatus,
    block_from_json,
    block_to_json,
    peer_from_json,
    peer_to_json,
    sync_status_from_json,
    sync_status_to_json,
)
from tests.committee import Committee
from tests.integration.rpc.fake_service import block_view, l1_batch_view

WIDE = NamespaceId(2**64 - 1)
FULL_STATUS = TransactionStatus(
    Hash(b"\x01" * 32),
    Status.ATTESTED,
    WIDE,
    Height(9),
    NamespaceIndex(3),
    17,
    "open",
    None,
    2,
    Milliseconds(1),
    Milliseconds(2),
    Milliseconds(3),
    None,
    places=(
        TransactionPlace(ValidatorIndex(1), Seq(4), 5, Height(9), NamespaceIndex(3), 17),
        TransactionPlace(ValidatorIndex(2), Seq(6), 0),
    ),
    received_ms=Milliseconds(4),
    author_away_since_ms=Milliseconds(5),
)


def test_a_status_reads_back():
    for status in (FULL_STATUS, TransactionStatus(ZERO_HASH, Status.REFUSED, reason="lane_closed")):
        assert status_from_json(status_to_json(status)) == status


def test_the_ladder_is_climbed_in_order():
    for place, rung in enumerate(LADDER):
        status = replace(FULL_STATUS, status=rung)
        assert [status.has_reached(other) for other in LADDER] == [other <= place for other in range(len(LADDER))]
        assert not status.has_ended
    for end in (Status.EXPIRED, Status.REFUSED):
        assert replace(FULL_STATUS, status=end).has_ended
        assert not replace(FULL_STATUS, status=end).has_reached(Status.RECEIVED)
    assert not replace(FULL_STATUS, status=Status.UNKNOWN).has_reached(Status.RECEIVED)


@pytest.mark.parametrize(
    "change", [{"status": "done"}, {"status": None}, {"height": -1}, {"height": "9"}, {"hash": "0x"}, {"reason": 7}]
)
def test_a_status_of_another_form_is_malformed(change):
    with pytest.raises(MalformedAnswer):
        status_from_json({**status_to_json(FULL_STATUS), **change})


def test_views_read_back():
    entry = NamespaceEntry(WIDE, NamespaceIndex(1), 2, 3, ZERO_HASH, ZERO_HASH)
    executed = replace(
        block_view(5), namespaces_root=ZERO_HASH, state_root=ZERO_HASH, aux_root=ZERO_HASH, namespaces=(entry,)
    )
    for block in (block_view(4), executed):
        assert block_from_json(block_to_json(block)) == block
    for namespace in (
        NamespaceView(WIDE, "ä", NamespaceIndex(1), Height(2), ZERO_HASH),
        NamespaceView(NamespaceId(1), "", None, None, None),
        NamespaceView(
            NamespaceId(1),
            "",
            None,
            None,
            None,
            NamespaceTerms(1, 2, 3, 4, 5),
            NamespaceLoad(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, {"quota": 11, "full": 0}),
        ),
    ):
        assert namespace_view_from_json(namespace_view_to_json(namespace)) == namespace


def test_a_namespace_as_an_older_node_tells_it():
    told = {"id": 1, "name": "a", "index": None, "height": None, "hash": None}
    assert namespace_view_from_json(told) == NamespaceView(NamespaceId(1), "a", None, None, None)
    wrongs: list[dict[str, Any]] = [{"terms": None}, {"terms": {}}, {"load": 5}, {"load": {"refused": 1}}]
    for wrong in wrongs:
        with pytest.raises(MalformedAnswer):
            namespace_view_from_json({**told, **wrong})
    for peer in (
        PeerView(ValidatorIndex(1), "16U", "host:1", True, Milliseconds(5), 3, 1, 2, 3),
        PeerView(ValidatorIndex(2), "16U", None, False, None, None, 0, 0, 0),
    ):
        assert peer_from_json(peer_to_json(peer)) == peer
    sync = SyncStatus(False, ("syncing",), View(1), Height(2), Height(3), Height(4), Height(5), Height(6), 7, None)
    assert sync_status_from_json(sync_status_to_json(sync)) == sync
    for walk_height, seconds_left in ((Height(40), 12), (None, None)):
        figures = CatchUp("headers", walk_height, 100, 8, seconds_left)
        behind = replace(sync, catching_up=figures)
        assert sync_status_from_json(sync_status_to_json(behind)) == behind
    silent = sync_status_to_json(sync)
    del silent["catching_up"]
    assert sync_status_from_json(silent) == sync
    with pytest.raises(MalformedAnswer):
        sync_status_from_json(sync_status_to_json(sync) | {"catching_up": {"phase": "sleeping"}})
    progress = L1Progress(True, Height(4), Height(3), 2, 1_000, 2_500, "in_flight")
    for l1 in (progress, replace(progress, poster=None)):
        posted = replace(sync, l1=l1)
        assert sync_status_from_json(sync_status_to_json(posted)) == posted


def test_validators_read_back_whatever_their_stake():
    committee = Committee()
    rich = [replace(validator, stake=Stake(2**60)) for validator in committee.chain.validators]
    written = validators_to_json(GENESIS_EPOCH, ValidatorSet(rich, bytes(32)))
    assert written["total_stake"] == hex(2**62)
    assert validators_from_json(written) == tuple(rich)
    with pytest.raises(MalformedAnswer):
        validators_from_json({"validators": [{"stake": 1}]})
    assert isinstance(validators_from_json(written)[0], Validator)


class TestChain:
    def test_a_chain_reads_back_and_is_checked_against_the_id_that_is_meant(self):
        chain = Committee().chain
        written = chain_to_json(chain)
        assert chain_from_json(written) == chain
        assert chain_from_json(written, chain.chain_id) == chain
        with pytest.raises(UnprovedAnswer, match="wrong_chain"):
            chain_from_json(written, bytes(32))

    def test_a_genesis_that_contradicts_itself_is_malformed(self):
        chain = Committee().chain
        written = chain_to_json(chain)
        broken = replace(chain, parameters=replace(chain.parameters, attest_ms=0))
        for genesis in ("0x", "0x00", f"{written['genesis']}00", "0x" + broken.encode().hex(), 7):
            with pytest.raises(MalformedAnswer):
                chain_from_json({"genesis": genesis})


def test_l1_batches_and_places_read_back():
    for status in (Status.POSTED, Status.SETTLED):
        batch = l1_batch_view(3, status)
        assert l1_batch_from_json(l1_batch_to_json(batch)) == batch
    with pytest.raises(MalformedAnswer, match="posted or settled"):
        l1_batch_from_json({**l1_batch_to_json(l1_batch_view(1)), "status": "final"})
    with pytest.raises(MalformedAnswer, match="held or calldata"):
        l1_batch_from_json({**l1_batch_to_json(l1_batch_view(1)), "data": "blob"})
    found = TransactionStatus(Hash(bytes(32)), Status.POSTED, l1=L1Place(4, Hash(bytes(range(32))), 77))
    assert status_from_json(status_to_json(found)) == found
