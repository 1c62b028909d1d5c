"""Receipts and statuses that a lying node answers: each is about the transaction that was asked about, and signed."""

from contextlib import aclosing
from dataclasses import replace

import pytest

from consensus.numbers import Hash, NamespaceId, ValidatorIndex
from consensus.vocabulary.batch import KIND_OPEN, transaction_id
from consensus.vocabulary.receipt import Receipt
from sequencer.client.client import SequencerClient
from sequencer.client.errors import MalformedAnswer, UnprovedAnswer
from sequencer.client.status import Status, TransactionStatus
from sequencer.client.submission import SubmitOutcome, refused_item
from tests.committee import FIRST
from tests.integration.rpc.conftest import running
from tests.integration.rpc.fake_service import FakeService

ONE, TWO = (transaction_id(FIRST, KIND_OPEN, item) for item in (b"one", b"two"))


@pytest.fixture
async def client(server, committee):
    async with SequencerClient(server.url, genesis=committee.chain) as client:
        yield client


def refuse_as_known(service: FakeService, monkeypatch: pytest.MonkeyPatch, receipt: Receipt) -> None:
    async def submit(namespace, items, client=""):
        hashes = tuple(transaction_id(namespace, KIND_OPEN, item) for item in items)
        known = tuple(refused_item(number, "known", first_receipt=receipt) for number in range(len(items)))
        return SubmitOutcome(hashes, (), known)

    monkeypatch.setattr(service, "submit", submit)


async def send_in_every_way(client: SequencerClient, error: type[Exception]) -> None:
    with pytest.raises(error):
        await client.send(FIRST, b"one")
    with pytest.raises(error):
        await client.send_transactions(FIRST, [b"one"])
    with pytest.raises(error):
        await client.send_many(FIRST, [b"one"])
    with pytest.raises(error):
        await client.send_copies(FIRST, b"one", 1)


async def test_a_forged_first_receipt_is_noticed(client, service, monkeypatch):
    receipt = await client.send(FIRST, b"one")
    refuse_as_known(service, monkeypatch, replace(receipt, lane=ValidatorIndex(2)))
    await send_in_every_way(client, UnprovedAnswer)


async def test_a_first_receipt_of_another_transaction_is_noticed(client, service, monkeypatch):
    refuse_as_known(service, monkeypatch, await client.send(FIRST, b"two"))
    await send_in_every_way(client, MalformedAnswer)


async def test_a_lying_node_does_not_displace_the_receipt_of_an_honest_one(
    server, committee, options, metrics, monkeypatch
):
    liar = FakeService(committee)
    async with (
        running(liar, options, metrics) as lying,
        SequencerClient(server.url, genesis=committee.chain) as honest,
        SequencerClient([server.url, lying.url], genesis=committee.chain) as client,
    ):
        receipt = await honest.send(FIRST, b"one")
        refuse_as_known(liar, monkeypatch, replace(receipt, signature=bytes(len(receipt.signature))))
        copies = await client.send_copies(FIRST, b"one", 2)
        assert copies.receipts == (receipt,)
        assert [type(failure) for failure in copies.failures] == [UnprovedAnswer]


async def test_a_receipt_that_names_another_namespace_is_malformed(client, service, monkeypatch):
    receipt = await client.send(FIRST, b"two")
    item = receipt.items[0]._replace(hash=ONE, namespace=NamespaceId(FIRST + 1))
    signed = replace(receipt, items=(item,)).sign(service.chain, service.committee.node_keys[0])

    async def submit(_namespace, _items, _client=""):
        return SubmitOutcome((ONE,), (signed,), ())

    monkeypatch.setattr(service, "submit", submit)
    with pytest.raises(MalformedAnswer, match="account"):
        await client.send(FIRST, b"one")


def answer_with(service: FakeService, monkeypatch: pytest.MonkeyPatch, status: TransactionStatus) -> None:
    async def wait(*_arguments: object) -> TransactionStatus:
        return status

    monkeypatch.setattr(service, "status", lambda *_arguments: status)
    monkeypatch.setattr(service, "wait", wait)


async def test_the_status_of_another_transaction_is_no_answer(client, service, monkeypatch):
    answer_with(service, monkeypatch, TransactionStatus(TWO, Status.FINAL))
    with pytest.raises(MalformedAnswer, match="another transaction"):
        await client.status(ONE)
    with pytest.raises(MalformedAnswer, match="another transaction"):
        await client.wait(ONE)
    async with aclosing(client.follow_transactions([ONE])) as statuses:
        with pytest.raises(MalformedAnswer, match="another transaction"):
            await anext(statuses)


async def test_a_receipt_of_another_transaction_is_not_shown(client):
    receipt = await client.send(FIRST, b"one")
    for ask in (client.status(TWO, receipt), client.wait(TWO, receipt=receipt)):
        with pytest.raises(ValueError, match="another transaction"):
            await ask


async def test_the_receipt_in_a_status_is_checked(client, service, monkeypatch):
    receipt = await client.send(FIRST, b"one")
    forged = replace(receipt, lane=ValidatorIndex(3))
    answer_with(service, monkeypatch, TransactionStatus(ONE, Status.FINAL, receipt=forged))
    for ask in (client.status, client.wait):
        with pytest.raises(UnprovedAnswer):
            await ask(ONE)
    answer_with(service, monkeypatch, TransactionStatus(TWO, Status.FINAL, receipt=receipt))
    for ask in (client.status, client.wait):
        with pytest.raises(MalformedAnswer, match="another transaction"):
            await ask(TWO)


async def test_without_a_chain_only_what_a_receipt_names_is_checked(server, service, monkeypatch):
    async with SequencerClient(server.url) as client:
        receipt = await client.send(FIRST, b"one")
        forged = replace(receipt, lane=ValidatorIndex(3))
        answer_with(service, monkeypatch, TransactionStatus(ONE, Status.FINAL, receipt=forged))
        assert (await client.status(ONE)).receipt == forged
        answer_with(service, monkeypatch, TransactionStatus(Hash(bytes(32)), Status.FINAL, receipt=receipt))
        with pytest.raises(MalformedAnswer):
            await client.status(Hash(bytes(32)))
