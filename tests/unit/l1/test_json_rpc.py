"""The L1 client against an endpoint that is slow, wrong, too talkative or says no."""

import json

import httpx
import pytest
import trio
import trio.testing

from sequencer.l1 import json_rpc
from sequencer.l1.errors import (
    ExecutionReverted,
    L1AnswerTooLarge,
    L1Error,
    L1Refused,
    L1Unreachable,
    MalformedL1Answer,
)
from sequencer.l1.json_rpc import L1Client
from sequencer.l1.shapes import L1Block, L1Log
from sequencer.l1.transactions import transaction_hash
from tests.unit.l1.fake_endpoint import URL, FakeEndpoint, refusal

ADDRESS, OTHER = b"\x11" * 20, b"\x22" * 20
TOPIC, HASH = b"\x33" * 32, b"\x44" * 32
RAW = b"\x02raw"

BLOCK = {
    "number": "0x10",
    "hash": "0x" + "aa" * 32,
    "parentHash": "0x" + "bb" * 32,
    "timestamp": "0x6553f100",
    "baseFeePerGas": "0x7",
    "transactions": [],
}
LOG = {
    "address": "0x" + ADDRESS.hex(),
    "topics": ["0x" + TOPIC.hex()],
    "data": "0x0102",
    "transactionHash": "0x" + HASH.hex(),
    "blockNumber": "0x10",
    "blockHash": "0x" + "aa" * 32,
    "logIndex": "0x2",
    "removed": False,
}
RECEIPT = {
    "status": "0x1",
    "blockNumber": "0x10",
    "blockHash": "0x" + "aa" * 32,
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0x9",
    "contractAddress": None,
    "logs": [LOG],
}


def saying(result):
    """An endpoint that gives one result to everything."""
    return FakeEndpoint(lambda method, parameters: result)


def client_of(endpoint, timeout_s=5.0):
    return L1Client(URL, timeout_s=timeout_s, transport=endpoint)


async def test_a_block_is_read_and_asked_for_by_number_or_name():
    endpoint = saying(BLOCK)
    async with client_of(endpoint) as client:
        assert await client.block(16) == L1Block(16, b"\xaa" * 32, b"\xbb" * 32, 1_700_000_000, 7)
        assert (await client.block("finalized")).number == 16
    assert endpoint.asked == [
        ("eth_getBlockByNumber", ["0x10", False]),
        ("eth_getBlockByNumber", ["finalized", False]),
    ]


@pytest.mark.parametrize(
    "answer", [None, refusal(-39001, "Unknown block"), refusal(-32000, "finalized block not found")]
)
async def test_a_block_that_is_not_there_yet_is_none(answer):
    async with client_of(saying(answer)) as client:
        assert await client.block("finalized") is None


async def test_another_block_than_the_one_asked_for_is_malformed():
    async with client_of(saying(BLOCK)) as client:
        with pytest.raises(MalformedL1Answer):
            await client.block(17)


@pytest.mark.parametrize("field", ["number", "hash", "parentHash", "timestamp", "baseFeePerGas"])
@pytest.mark.parametrize("value", [None, 16, "16", "0x", "0xzz", "0x" + "0" * 65, True, [], {}])
async def test_a_block_of_another_shape_is_malformed(field, value):
    async with client_of(saying(BLOCK | {field: value})) as client:
        with pytest.raises(MalformedL1Answer, match=field):
            await client.block("latest")


async def test_logs_are_read_and_the_question_names_contract_topics_and_blocks():
    endpoint = saying(
        [LOG | {"topics": ["0x" + TOPIC.hex(), "0x" + HASH.hex()], "blockNumber": place} for place in ("0x10", "0x11")]
    )
    async with client_of(endpoint) as client:
        first, second = await client.logs(ADDRESS, [TOPIC, None], 16, 17)
    assert first == L1Log(ADDRESS, (TOPIC, HASH), b"\x01\x02", HASH, 16, b"\xaa" * 32, 2)
    assert second.block_number == 17
    query = {
        "address": "0x" + ADDRESS.hex(),
        "topics": ["0x" + TOPIC.hex(), None],
        "fromBlock": "0x10",
        "toBlock": "0x11",
    }
    assert endpoint.asked == [("eth_getLogs", [query])]


@pytest.mark.parametrize(
    "logs",
    [
        [LOG | {"address": "0x" + OTHER.hex()}],
        [LOG | {"topics": ["0x" + HASH.hex()]}],
        [LOG | {"topics": []}],
        [LOG | {"blockNumber": "0x12"}],
        [LOG, LOG],
        [LOG, LOG | {"logIndex": "0x1"}],
        [LOG | {"removed": True}],
        [LOG | {"removed": []}],
        [LOG | {"blockNumber": None}],
        [LOG | {"topics": ["0x" + TOPIC.hex()] * 5}],
        [LOG | {"data": "0x123"}],
        [None],
        {},
        None,
    ],
    ids=lambda logs: json.dumps(logs)[:60],
)
async def test_logs_that_were_not_asked_for_are_malformed(logs):
    async with client_of(saying(logs)) as client:
        with pytest.raises(MalformedL1Answer):
            await client.logs(ADDRESS, [TOPIC], 16, 17)


async def test_too_many_logs_are_an_answer_that_is_too_large():
    async with client_of(saying([LOG] * (json_rpc.LOGS_MAX + 1))) as client:
        with pytest.raises(L1AnswerTooLarge):
            await client.logs(ADDRESS, [TOPIC], 16, 17)


async def test_receipts():
    async with client_of(saying(RECEIPT)) as client:
        receipt = await client.receipt(HASH)
    assert (receipt.status, receipt.block_number, receipt.gas_used, receipt.gas_price_wei) == (1, 16, 21000, 9)
    assert receipt.created is None
    assert receipt.logs[0].address == ADDRESS
    async with client_of(saying(None)) as client:
        assert await client.receipt(HASH) is None
    async with client_of(saying(RECEIPT | {"status": "0x2"})) as client:
        with pytest.raises(MalformedL1Answer):
            await client.receipt(HASH)


async def test_numbers_code_and_anything_else():
    endpoint = saying("0x2a")
    async with client_of(endpoint) as client:
        assert await client.chain_id() == 42
        assert await client.nonce(ADDRESS) == 42
        assert await client.balance(ADDRESS, 7) == 42
        assert await client.code(ADDRESS) == b"\x2a"
        assert await client.estimate_gas(ADDRESS, b"\x01", sender=OTHER) == 42
        assert await client.raw("anvil_mine", ["0x1"]) == "0x2a"
    assert endpoint.asked[2] == ("eth_getBalance", ["0x" + ADDRESS.hex(), "0x7"])
    assert endpoint.asked[-1] == ("anvil_mine", ["0x1"])


async def test_a_call_hands_on_sender_and_gas():
    endpoint = saying("0x0102")
    async with client_of(endpoint) as client:
        assert await client.call(ADDRESS, b"\x09", 5, sender=OTHER, gas=100_000) == b"\x01\x02"
    call = {"to": "0x" + ADDRESS.hex(), "data": "0x09", "from": "0x" + OTHER.hex(), "gas": "0x186a0"}
    assert endpoint.asked == [("eth_call", [call, "0x5"])]


def reverting(text):
    data = "08c379a0" + f"{32:064x}" + f"{len(text):064x}" + text.encode().hex().ljust(64, "0")
    return refusal(3, f"execution reverted: {text}", "0x" + data)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reverting("gap"), "gap"),
        (refusal(-32000, "execution reverted", "0x"), ""),
        (refusal(-32015, "VM execution error."), ""),
        (refusal(3, "execution reverted", "0x08c379a0"), ""),
        (refusal(3, "execution reverted", "0x08c379a0" + "ff" * 64), ""),
        (refusal(3, "execution reverted", "0x" + "00" * 5_000), ""),
        (refusal(3, "execution reverted", "nonsense"), ""),
        (refusal(-32015, "VM execution error.", "Reverted " + reverting("gap").fields["data"]), "gap"),
    ],
)
async def test_a_revert_tells_the_contracts_reason(answer, reason):
    async with client_of(saying(answer)) as client:
        for ask in (client.call(ADDRESS, b""), client.estimate_gas(ADDRESS, b"")):
            with pytest.raises(ExecutionReverted) as caught:
                await ask
            assert caught.value.reason == reason


@pytest.mark.parametrize(
    "message",
    ["already known", "AlreadyKnown", "transaction already imported", "known transaction: 0xabc", "ALREADY KNOWN: x"],
)
async def test_a_transaction_that_is_there_already_is_sent(message):
    async with client_of(saying(refusal(-32000, message))) as client:
        assert await client.send_raw(RAW) == transaction_hash(RAW)


@pytest.mark.parametrize("message", ["nonce too low", "unknown transaction type", "insufficient funds for gas"])
async def test_a_transaction_that_is_refused_is_not_sent(message):
    async with client_of(saying(refusal(-32000, message))) as client:
        with pytest.raises(L1Refused) as caught:
            await client.send_raw(RAW)
    assert (caught.value.code, caught.value.message) == (-32000, message)


async def test_the_hash_of_what_was_sent_is_ours_to_say():
    async with client_of(saying("0x" + transaction_hash(RAW).hex())) as client:
        assert await client.send_raw(RAW) == transaction_hash(RAW)
    async with client_of(saying("0x" + HASH.hex())) as client:
        with pytest.raises(MalformedL1Answer):
            await client.send_raw(RAW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502 Bad Gateway</html>",
        b"[]",
        b"{}",
        b'{"jsonrpc":"2.0","id":99,"result":"0x1"}',
        b'{"jsonrpc":"2.0","id":1,"error":null}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":"3","message":"x"}}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":3}}',
        b"[" * 100_000,
        b"[]," * 200_000,
        b"\xff\xfe",
    ],
    ids=lambda body: body[:24].decode(errors="replace"),
)
@pytest.mark.parametrize("status", [200, 429, 503])
async def test_what_is_no_answer_is_as_good_as_none(body, status):
    endpoint = FakeEndpoint(body=lambda request_id: body, status=status)
    async with client_of(endpoint) as client:
        with pytest.raises(L1Unreachable):
            await client.chain_id()


async def test_an_error_with_an_http_status_of_its_own_is_still_an_error():
    body = json.dumps({"id": None, "error": {"code": -32005, "message": "daily limit"}}).encode()
    async with client_of(FakeEndpoint(body=lambda request_id: body, status=429)) as client:
        with pytest.raises(L1Refused, match="daily limit"):
            await client.chain_id()


async def test_an_answer_is_read_no_further_than_its_bound(monkeypatch):
    monkeypatch.setattr(json_rpc, "ANSWER_BYTES_MAX", 1_000)
    endpoint = FakeEndpoint(body=lambda request_id: b"x" * 100_000, pieces=1_000)
    async with client_of(endpoint) as client:
        with pytest.raises(L1AnswerTooLarge):
            await client.chain_id()
    assert endpoint.sent[0].taken < 20


async def test_a_long_answer_in_pieces_is_read_whole():
    async with client_of(FakeEndpoint(lambda method, parameters: "0x" + "ab" * 50_000, pieces=7)) as client:
        assert await client.code(ADDRESS) == b"\xab" * 50_000


async def test_an_endpoint_that_never_answers_is_unreachable(autojump_clock):
    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            await trio.sleep_forever()

    async with client_of(Silent(), timeout_s=3.0) as client:
        with pytest.raises(L1Unreachable):
            await client.chain_id()
    assert trio.current_time() == pytest.approx(3.0, abs=0.5)


def failing(method, parameters):
    raise httpx.ConnectError("refused by http://provider.example/v1/a-secret-key")


@pytest.mark.parametrize(
    "endpoint",
    [
        FakeEndpoint(failing),
        saying("no number"),
        saying(refusal(-32000, "no")),
        FakeEndpoint(body=lambda request_id: b"<html>", status=502),
    ],
)
async def test_errors_do_not_tell_the_address(endpoint):
    async with client_of(endpoint) as client:
        with pytest.raises(L1Error) as caught:
            await client.chain_id()
    assert "secret" not in str(caught.value)


def test_an_address_that_is_none_is_refused():
    with pytest.raises(ValueError, match="not an address"):
        L1Client("http://somewhere:port")
