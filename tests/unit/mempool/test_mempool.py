"""Requests in, batches and receipts out."""

from dataclasses import replace

import pytest

from consensus import limits
from consensus.clock import Now
from consensus.genesis import ChainParameters
from consensus.namespace_terms import NamespaceTerms
from consensus.numbers import Digest, Epoch, Milliseconds, NamespaceId, Seq, ValidatorIndex
from consensus.vocabulary.batch import KIND_OPEN, Batch, Items, parse_segment, transaction_id
from sequencer.mempool.admission import RefusedWhole
from sequencer.mempool.bounds import MempoolBounds
from sequencer.mempool.errors import Refusal
from sequencer.mempool.mempool import EXPIRED_STEP_MAX, Mempool
from sequencer.mempool.queues import TX_COST_BYTES_LEAST, Run, Ticket
from sequencer.mempool.seal import OwnLane
from tests.committee import Committee

COMMITTEE = Committee(namespaces=(1, 2, 3))
CHAIN = COMMITTEE.chain
KEY = COMMITTEE.node_keys[0]
FIRST = NamespaceId(1)
ZEROS = Digest(bytes(32))
IDLE = OwnLane(uncommitted=0, is_syncing=False)


def at(mono_ms: float) -> Now:
    return Now(Milliseconds(1_700_000_000_000 + int(mono_ms)), mono_ms)


def mempool(chain=CHAIN, **bounds) -> Mempool:
    return Mempool(chain, ValidatorIndex(0), MempoolBounds(**bounds))


def draft(pool, now, seq=1, prev_digest=ZEROS):
    return pool.draft(now, Seq(seq), prev_digest, Epoch(0))


def reasons(submission) -> list[tuple[int, Refusal]]:
    return [(refused.number, refused.reason) for refused in submission.refused]


# admission


def test_items_are_admitted_or_refused_one_by_one() -> None:
    tx_bytes_max = CHAIN.parameters.tx_bytes_max
    submission = mempool().submit(1, Items.of([b"a", b"", bytes(tx_bytes_max + 1), bytes(tx_bytes_max), b"a"]), at(0))
    assert submission.admitted == (
        (0, transaction_id(FIRST, KIND_OPEN, b"a")),
        (3, transaction_id(FIRST, KIND_OPEN, bytes(tx_bytes_max))),
    )
    assert reasons(submission) == [(1, Refusal.EMPTY), (2, Refusal.OVERSIZED), (4, Refusal.KNOWN)]
    assert submission.refused[2].hash == transaction_id(FIRST, KIND_OPEN, b"a")


@pytest.mark.parametrize("namespace", [0, 99, -1, 2**64])
def test_an_unknown_namespace_refuses_every_item(namespace) -> None:
    pool = mempool()
    submission = pool.submit(namespace, Items.of([b"a", b"b"]), at(0))
    assert submission.admitted == ()
    assert submission.whole == RefusedWhole(Refusal.UNKNOWN_NAMESPACE)
    assert pool.unknown_namespace_count == 2


def test_the_same_bytes_in_two_namespaces_are_two_transactions() -> None:
    pool = mempool()
    assert pool.submit(1, Items.of([b"a"]), at(0)).admitted
    assert pool.submit(2, Items.of([b"a"]), at(0)).admitted


def test_tickets_are_never_repeated() -> None:
    pool = mempool()
    assert len({pool.submit(namespace, Items.of([b"a"]), at(0)).ticket for namespace in (1, 2, 99, 1)}) == 4


def test_a_full_queue_refuses_the_rest_of_the_request_and_says_when_to_come_back() -> None:
    pool = mempool(namespace_queue_bytes=50)
    submission = pool.submit(1, Items.of([bytes([i]) * 20 for i in range(3)] + [b"", b"z"]), at(0))
    assert [number for number, _ in submission.admitted] == [0, 1]
    assert reasons(submission) == [(2, Refusal.FULL), (3, Refusal.EMPTY), (4, Refusal.FULL)]
    assert submission.refused[0].retry_after_ms == MempoolBounds().ttl_ms  # nothing drains: the time to live ends it
    assert pool.submit(2, Items.of([bytes(20)]), at(0)).admitted


def test_the_time_to_wait_follows_the_rate_at_which_the_queue_drains() -> None:
    pool = mempool(namespace_queue_bytes=100_000, batch_bytes_target=10_000)
    waits: list[int] = []
    for step in range(300):
        now = at(10.0 * step)
        items = [step.to_bytes(4, "big") + bytes([i]) * 996 for i in range(100)]
        submission = pool.submit(1, Items.of(items), now)
        refused = [submission.whole] if submission.whole else submission.refused
        waits = [item.retry_after_ms or 0 for item in refused if item.reason is Refusal.FULL] or waits
        draft(pool, now, step + 1)
    assert 10 <= waits[-1] <= 200  # about 90 kB were refused, about 0.9 kB leave per ms


def test_a_request_that_finds_no_room_at_all_is_refused_whole() -> None:
    pool = mempool(namespace_queue_bytes=50)
    pool.submit(1, Items.of([bytes(40)]), at(0))
    submission = pool.submit(1, Items.of([b"1234567", b"a"]), at(0))
    assert submission.whole == RefusedWhole(Refusal.FULL, MempoolBounds().ttl_ms)
    assert (submission.hashes, submission.refused, submission.admitted_count) == ((), (), 0)
    assert pool.figures(FIRST, at(0)).refused == {Refusal.FULL: 2}
    assert pool.submit(1, Items.of([b"a", b"1234567"]), at(0)).admitted


def test_what_is_too_long_for_the_chain_is_told_so_by_the_shortest_queue() -> None:
    tx_bytes_max = CHAIN.parameters.tx_bytes_max
    pool = mempool(chain_with(queue_bytes=tx_bytes_max + 4))
    submission = pool.submit(1, Items.of([bytes(tx_bytes_max + 1), b"a"]), at(0))
    assert submission.whole is None
    assert reasons(submission) == [(0, Refusal.OVERSIZED)]


def chain_with(**terms):
    first, *others = CHAIN.namespaces
    limited = replace(first, terms=NamespaceTerms(**terms))
    return replace(CHAIN, namespaces=(limited, *others)).check()


@pytest.mark.parametrize(("queue_bytes", "queue_tx"), [(70_000, 1_048_576), (2**28, 1_700)])
def test_the_room_that_the_genesis_gives_bounds_a_queue_too(queue_bytes, queue_tx) -> None:
    pool = mempool(chain_with(queue_bytes=queue_bytes, queue_tx=queue_tx))
    submission = pool.submit(1, Items.of([n.to_bytes(36, "big") for n in range(2_000)]), at(0))
    assert submission.admitted_count == min(queue_tx, queue_bytes // 40)
    assert pool.submit(2, Items.of([n.to_bytes(36, "big") for n in range(2_000)]), at(0)).admitted_count == 2_000


# quotas


def test_a_namespaces_quota_is_charged_once_for_a_request_and_says_when_to_come_back() -> None:
    pool = mempool(chain_with(tx_per_s=1_000))
    assert pool.submit(1, Items.of([n.to_bytes(4, "big") for n in range(1_500)]), at(0)).admitted_count == 1_500
    refused = pool.submit(1, Items.of([b"a", b""]), at(0))
    assert refused.whole == RefusedWhole(Refusal.QUOTA, 1_437)  # all but a burst of 64 is overdrawn
    assert (refused.admitted, refused.refused) == ((), ())
    assert pool.submit(2, Items.of([b"a"]), at(0)).admitted
    assert pool.submit(1, Items.of([b"a"]), at(1_436)).whole == RefusedWhole(Refusal.QUOTA, 1)
    assert pool.submit(1, Items.of([b"a"]), at(1_437)).admitted
    assert pool.figures(FIRST, at(1_437)).refused == {Refusal.QUOTA: 3}


def test_what_is_not_admitted_is_not_charged_to_the_namespace() -> None:
    pool = mempool(chain_with(bytes_per_s=1_000))
    pool.submit(1, Items.of([bytes(50_000)]), at(0), "client")
    for _ in range(10):
        assert reasons(pool.submit(1, Items.of([bytes(50_000), b""]), at(0))) == [
            (0, Refusal.KNOWN),
            (1, Refusal.EMPTY),
        ]


def test_a_client_has_a_quota_over_all_namespaces_and_pays_for_what_is_known() -> None:
    pool = mempool(client_bytes_per_s=70_000)
    pool.submit(1, Items.of([bytes(34_996)]), at(0), "one")
    assert reasons(pool.submit(1, Items.of([bytes(34_996)]), at(0), "one")) == [(0, Refusal.KNOWN)]
    assert pool.submit(2, Items.of([b"a"]), at(0), "one").whole == RefusedWhole(Refusal.CLIENT_QUOTA, 1)
    assert pool.submit(2, Items.of([b"a"]), at(0), "two").admitted
    assert pool.submit(2, Items.of([b"b"]), at(0)).admitted
    assert pool.submit(2, Items.of([b"c"]), at(1), "one").admitted


def test_a_client_pays_for_what_is_refused_for_what_it_is() -> None:
    pool = mempool(client_bytes_per_s=70_000)
    too_long = bytes(CHAIN.parameters.tx_bytes_max + 1)
    assert reasons(pool.submit(1, Items.of([too_long, too_long]), at(0), "one")) == [
        (0, Refusal.OVERSIZED),
        (1, Refusal.OVERSIZED),
    ]
    assert pool.submit(1, Items.of([b"a"]), at(0), "one").whole == RefusedWhole(Refusal.CLIENT_QUOTA, 873)


def test_clients_are_remembered_up_to_a_bound() -> None:
    pool = mempool(clients_max=3)
    for number in range(100):
        pool.submit(1, Items.of([b"a"]), at(0), str(number))
    assert len(pool._admission.clients) == 3


def test_the_entries_of_a_queue_are_bounded_too() -> None:
    submission = mempool(namespace_queue_entries=2).submit(1, Items.of([b"a", b"b", b"c"]), at(0))
    assert reasons(submission) == [(2, Refusal.FULL)]


def test_a_flood_leaves_room_for_another_namespace() -> None:
    pool = mempool(bytes_max=1_000)
    flood = pool.submit(1, Items.of([i.to_bytes(6, "big") for i in range(1_000)]), at(0))
    assert len(flood.admitted) == 37  # half of what the three queues share
    assert pool.submit(2, Items.of([b"abcdef"]), at(0)).admitted


@pytest.mark.parametrize(("item_bytes", "bounds"), [(3_996, {"bytes_max": 2**20}), (8, {"entries_max": 2_000})])
def test_floods_of_many_namespaces_leave_room_for_each_that_has_nothing_waiting(item_bytes, bounds) -> None:
    pool = mempool(Committee(namespaces=tuple(range(1, 41))).chain, **bounds)
    for namespace in range(1, 40):
        items = [(1_000 * namespace + n).to_bytes(item_bytes, "big") for n in range(1_000)]
        assert pool.submit(namespace, Items.of(items), at(0)).admitted_count
    assert pool.submit(40, Items.of([bytes(item_bytes)]), at(0)).admitted_count == 1
    assert pool.waiting_bytes <= bounds.get("bytes_max", pool.waiting_bytes)
    assert pool.waiting_count <= bounds.get("entries_max", pool.waiting_count)


def test_a_hash_is_forgotten_after_the_window() -> None:
    pool = mempool(seen_window_ms=100)
    assert pool.submit(1, Items.of([b"a"]), at(0)).admitted
    draft(pool, at(0))
    assert reasons(pool.submit(1, Items.of([b"a"]), at(49))) == [(0, Refusal.KNOWN)]
    assert reasons(pool.submit(1, Items.of([b"a"]), at(51))) == [(0, Refusal.KNOWN)]
    assert pool.submit(1, Items.of([b"a"]), at(102)).admitted


def test_the_window_is_bounded_by_count() -> None:
    pool = mempool(seen_count_max=10)
    for number in range(1_000):
        pool.submit(1, Items.of([number.to_bytes(2, "big")]), at(0))
    assert len(pool._admission.seen) <= 10


def test_a_flood_of_tiny_transactions_is_bounded_in_number_and_leaves_others_their_share() -> None:
    pool = mempool()
    for request in range(8):
        pool.submit(1, Items.of([(request * 4_096 + n).to_bytes(3, "big") for n in range(4_096)]), at(0))
    other = pool.submit(2, Items.of([bytes([n]) * 500 for n in range(200)]), at(0))
    made = draft(pool, at(0))
    assert made is not None
    counts = {entry.namespace: entry.item_count for entry in made.header.segments}
    assert counts[NamespaceId(2)] == len(other.admitted)
    assert sum(counts.values()) <= MempoolBounds().batch_bytes_target // TX_COST_BYTES_LEAST
    assert counts[FIRST] > 4_000
    left = pool.waiting_count
    while made := draft(pool, at(0)):
        assert len(made.hashes()) <= MempoolBounds().batch_bytes_target // TX_COST_BYTES_LEAST
        left -= len(made.hashes())
    assert left == 0


def test_a_run_holds_at_most_twice_what_waits_of_it() -> None:
    items = Items.of([bytes([number]) * (1 + 30 * number % 97) for number in range(200)])
    hashes = [transaction_id(FIRST, KIND_OPEN, item) for item in items]
    run, taken = Run(Ticket(1, at(0)), 0, items, hashes), []
    while run.cost_bytes > 250:
        head = run.split(250)
        taken += [(head.number + place, tx_id) for place, tx_id in enumerate(head.hashes)]
        assert head.cost_bytes <= 250
        assert len(run._items.framed) <= 2 * run.byte_count + 1
    taken += [(run.number + place, tx_id) for place, tx_id in enumerate(run.hashes)]
    assert taken == list(enumerate(hashes))


def test_one_item_of_a_large_request_does_not_keep_the_others() -> None:
    pool = mempool()
    pool.submit(1, Items.of([bytes([number]) * 100 for number in range(100)]), at(0))
    draft(pool, at(0))
    pool.submit(1, Items.of([bytes([number]) * 100 for number in range(101)]), at(1))
    (run,) = pool._queues[FIRST].runs
    assert (run.number, len(run), len(run._items.framed)) == (100, 1, 104)


# expiry


def test_a_transaction_expires_after_its_time_to_live_and_may_be_sent_again() -> None:
    pool = mempool(ttl_ms=100)
    first = pool.submit(1, Items.of([b"a", b"b"]), at(0))
    later = pool.submit(1, Items.of([b"c"]), at(50))
    assert pool.expire(at(100)) == []
    expired = pool.expire(at(101))
    assert [(item.namespace, item.ticket, item.number, tuple(item.hashes)) for item in expired] == [
        (1, first.ticket, 0, tuple(tx_id for _, tx_id in first.admitted))
    ]
    assert pool.submit(1, Items.of([b"a"]), at(101)).admitted
    made = draft(pool, at(101))
    assert made is not None
    assert later.ticket in made.requests


def test_the_rest_of_a_request_that_was_partly_sealed_expires_with_its_own_numbers() -> None:
    pool = mempool(ttl_ms=100, batch_bytes_target=70_000)
    submission = pool.submit(1, Items.of([bytes([i]) * 30_000 for i in range(5)]), at(0))
    made = draft(pool, at(50))
    assert made is not None
    assert [number for number, _ in made.requests[submission.ticket].items] == [0, 1]
    (expired,) = pool.expire(at(101))
    assert (expired.number, tuple(expired.hashes)) == (2, tuple(tx_id for _, tx_id in submission.admitted[2:]))
    again = pool.submit(1, Items.of([bytes([i]) * 30_000 for i in range(5)]), at(101))
    assert reasons(again) == [(0, Refusal.KNOWN), (1, Refusal.KNOWN)]


def test_a_step_of_expiry_is_bounded() -> None:
    pool = mempool(ttl_ms=100)
    for request in range(30):
        items = [(request * 1_000 + n).to_bytes(4, "big") for n in range(1_000)]
        pool.submit(1 + request % 3, Items.of(items), at(0))
    counts = []
    while expired := pool.expire(at(101)):
        counts.append(sum(len(run.hashes) for run in expired))
    assert sum(counts) == 30_000
    assert max(counts) < EXPIRED_STEP_MAX + 1_000
    assert pool.waiting_count == pool.waiting_bytes == 0


def test_what_is_drafted_never_expires() -> None:
    pool = mempool(ttl_ms=100)
    pool.submit(1, Items.of([b"a"]), at(0))
    assert draft(pool, at(99)) is not None
    assert pool.expire(at(1_000)) == []


def test_an_abandoned_draft_lets_its_transactions_in_again() -> None:
    pool = mempool()
    pool.submit(1, Items.of([b"a"]), at(0))
    made = draft(pool, at(0))
    assert made is not None
    pool.abandon(made)
    assert pool.submit(1, Items.of([b"a"]), at(0)).admitted


def test_a_queue_that_expired_takes_its_turn_again() -> None:
    pool = mempool(ttl_ms=100)
    pool.submit(1, Items.of([b"a"]), at(0))
    pool.expire(at(200))
    assert draft(pool, at(200)) is None
    pool.submit(1, Items.of([b"b"]), at(200))
    made = draft(pool, at(200))
    assert made is not None
    assert len(made.hashes()) == 1


# drafts


def test_nothing_waits_no_draft() -> None:
    assert draft(mempool(), at(0)) is None


def test_a_draft_is_a_valid_batch_in_the_order_of_submission() -> None:
    pool = mempool()
    pool.submit(2, Items.of([b"x", b"y"]), at(0))
    pool.submit(1, Items.of([b"p"]), at(1))
    pool.submit(2, Items.of([b"z"]), at(2))
    made = draft(pool, at(5), seq=7, prev_digest=Digest(bytes(31) + b"\x01"))
    assert made is not None
    batch = made.seal(CHAIN, KEY)
    again = Batch.decode(batch.encoded, CHAIN.parameters.batch_bytes_max)
    again.check(CHAIN)
    assert made.byte_count == len(batch.encoded)
    header = again.header
    assert (header.seq, header.author, header.created_ms) == (7, 0, at(5).wall_ms)
    contents = {
        entry.namespace: parse_segment(again.segment(place), entry.item_count, CHAIN.parameters.tx_bytes_max)
        for place, entry in enumerate(header.segments)
    }
    assert contents == {1: [b"p"], 2: [b"x", b"y", b"z"]}


def test_a_receipt_per_request_names_the_positions_in_the_batch() -> None:
    pool = mempool()
    first = pool.submit(1, Items.of([b"a", b"", b"b"]), at(10))
    second = pool.submit(1, Items.of([b"c"]), at(20))
    made = draft(pool, at(30), seq=3)
    assert made is not None
    batch = made.seal(CHAIN, KEY)
    receipts = dict(made.receipts(CHAIN, KEY))
    assert set(receipts) == {first.ticket, second.ticket}
    for receipt in receipts.values():
        receipt.check(CHAIN)
        assert (receipt.lane, receipt.seq, receipt.batch) == (0, 3, batch.digest)
    assert receipts[first.ticket].received_ms == at(10).wall_ms
    assert [(item.hash, item.index) for item in receipts[first.ticket].items] == [
        (first.admitted[0][1], 0),
        (first.admitted[1][1], 1),
    ]
    assert [item.index for item in receipts[second.ticket].items] == [2]
    assert [number for number, _ in made.requests[first.ticket].items] == [0, 2]


def test_a_large_request_gets_several_receipts() -> None:
    pool = mempool()
    count = limits.RECEIPT_ITEMS_MAX + 1
    ticket = pool.submit(1, Items.of([number.to_bytes(4, "big") for number in range(count)]), at(0)).ticket
    made = draft(pool, at(0))
    assert made is not None
    receipts = made.receipts(CHAIN, KEY)
    assert [(who, len(receipt.items)) for who, receipt in receipts] == [
        (ticket, limits.RECEIPT_ITEMS_MAX),
        (ticket, 1),
    ]


def test_a_request_may_span_batches() -> None:
    pool = mempool(batch_bytes_target=70_000)
    ticket = pool.submit(1, Items.of([bytes([i]) * 30_000 for i in range(3)]), at(0)).ticket
    found = []
    for seq in (1, 2):
        made = draft(pool, at(0), seq)
        assert made is not None
        assert made.byte_count <= 70_000
        found.append([number for number, _ in made.requests[ticket].items])
    assert found == [[0, 1], [2]]


def test_a_target_below_one_transaction_still_moves() -> None:
    pool = mempool(batch_bytes_target=100)
    pool.submit(1, Items.of([bytes(5_000), bytes(6_000)]), at(0))
    made = draft(pool, at(0))
    assert made is not None


def test_a_target_below_what_a_tiny_transaction_costs_still_moves() -> None:
    pool = mempool(replace(CHAIN, parameters=ChainParameters(tx_bytes_max=1)), batch_bytes_target=1)
    pool.submit(1, Items.of([b"a"]), at(0))
    assert draft(pool, at(0)) is not None


def test_a_target_above_the_chains_bound_is_cut_to_it() -> None:
    chain = replace(CHAIN, parameters=ChainParameters(batch_bytes_max=64 * 1024, tx_bytes_max=32 * 1024))
    pool = mempool(chain, batch_bytes_target=10**6)
    pool.submit(1, Items.of([bytes([i]) * 10_000 for i in range(20)]), at(0))
    made = draft(pool, at(0))
    assert made is not None
    assert 50_000 < made.byte_count <= 64 * 1024


def test_a_draft_has_at_most_the_segments_that_a_batch_may_have(monkeypatch) -> None:
    monkeypatch.setattr(limits, "BATCH_SEGMENTS_MAX", 2)
    pool = mempool()
    for namespace in (1, 2, 3):
        pool.submit(namespace, Items.of([b"a"]), at(0))
    first, second = draft(pool, at(0)), draft(pool, at(0), 2)
    assert first is not None
    assert second is not None
    assert [len(first.segments), len(second.segments)] == [2, 1]


# when to seal


def test_sealing_follows_the_queues() -> None:
    pool = mempool()
    assert pool.next_seal_ms(IDLE) is None
    pool.submit(1, Items.of([b"a"]), at(100))
    assert pool.seal_due(at(100), IDLE)
    draft(pool, at(100))
    assert not pool.seal_due(at(100), IDLE)
    pool.submit(1, Items.of([b"b"]), at(100.5))
    assert not pool.seal_due(at(100.5), IDLE)
    assert pool.next_seal_ms(IDLE) == 102
    assert pool.seal_due(at(102), IDLE)
    assert not pool.seal_due(at(10_000), OwnLane(CHAIN.parameters.lane_report_batches, is_syncing=False))


def test_figures_for_metrics() -> None:
    pool = mempool(ttl_ms=100)
    pool.submit(1, Items.of([b"a", b"", b"a"]), at(0))
    pool.submit(2, Items.of([b"bcd"]), at(50))
    pool.expire(at(101))
    first, second = pool.figures(FIRST, at(120)), pool.figures(NamespaceId(2), at(120))
    assert (first.admitted, first.expired, first.waiting_count) == (1, 1, 0)
    assert first.refused == {Refusal.EMPTY: 1, Refusal.KNOWN: 1}
    assert (second.waiting_count, second.waiting_bytes, second.oldest_age_ms) == (1, 7, 70)
    assert (pool.waiting_count, pool.waiting_bytes) == (1, 7)
    draft(pool, at(120))
    assert [pool.figures(NamespaceId(number), at(120)).sealed for number in (1, 2, 3)] == [0, 1, 0]
    assert pool.waiting_count == pool.waiting_bytes == 0


def test_figures_of_what_passed_lately() -> None:
    pool = mempool()
    for step in range(1_000):
        now = at(10.0 * step)
        pool.submit(1, Items.of([step.to_bytes(2, "big") + bytes([i]) * 96 for i in range(5)]), now)
        draft(pool, now, step + 1)
    figures = pool.figures(FIRST, at(10_000))
    assert (figures.admitted_tx_per_s, figures.sealed_tx_per_s) == pytest.approx((500, 500), rel=0.02)
    assert (figures.admitted_bytes_per_s, figures.sealed_bytes_per_s) == pytest.approx((51_000, 51_000), rel=0.02)
    assert pool.figures(FIRST, at(40_000)).sealed_tx_per_s < 1
