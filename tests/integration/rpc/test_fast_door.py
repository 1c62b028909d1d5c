"""The fast door through real HTTP: framing, answers in both forms, and every refusal."""

import pytest

from consensus.vocabulary.batch import KIND_OPEN, frame_items, transaction_id
from sequencer.client.submission import decode_outcome, outcome_from_json
from sequencer.rpc.options import RpcOptions
from sequencer.telemetry import table
from tests.committee import FIRST

PATH = "/v1/namespaces/1001/transactions"
BINARY = {"content-type": "application/octet-stream"}
ITEMS = [b"first", b"second", b"third"]


def item_of(size: int) -> bytes:
    return frame_items([bytes(size)])


# path, headers, body, status, code, reason
REFUSED_WHOLE = [
    ("/v1/namespaces/9999/transactions", BINARY, frame_items(ITEMS), 404, -32010, "unknown_namespace"),
    ("/v1/namespaces/0xffffffffffffffff/transactions", BINARY, frame_items(ITEMS), 404, -32010, "unknown_namespace"),
    ("/v1/namespaces/rollup/transactions", BINARY, frame_items(ITEMS), 400, -32602, "malformed"),
    ("/v1/namespaces/-1/transactions", BINARY, frame_items(ITEMS), 400, -32602, "malformed"),
    ("/v1/namespaces/99999999999999999999/transactions", BINARY, frame_items(ITEMS), 400, -32602, "malformed"),
    (PATH, {}, frame_items(ITEMS), 415, -32600, "unsupported_media_type"),
    (PATH, {"content-type": "application/json"}, b"[]", 415, -32600, "unsupported_media_type"),
    (PATH, {**BINARY, "content-encoding": "br"}, b"", 415, -32600, "unsupported_media_type"),
    (PATH, BINARY, b"", 400, -32602, "empty"),
    (PATH, BINARY, b"\0", 400, -32602, "malformed"),
    (PATH, BINARY, b"\0\0\0\x02a", 400, -32602, "malformed"),
    (PATH, BINARY, frame_items(ITEMS) + b"\0\0\0", 400, -32602, "malformed"),
    (PATH, BINARY, frame_items(ITEMS) + b"\xff\xff\xff\xff", 400, -32602, "malformed"),
    (PATH, BINARY, frame_items(ITEMS)[:-1], 400, -32602, "malformed"),
    (PATH, BINARY, frame_items([b"x"] * 65), 413, -32602, "oversized"),
    (PATH, BINARY, bytes(256 * 1024 + 1), 413, -32602, "oversized"),
]


@pytest.mark.parametrize("refusal", REFUSED_WHOLE)
async def test_a_request_is_refused_whole(http, service, metrics, refusal):
    path, headers, body, status, code, reason = refusal
    response = await http.post(path, content=body, headers=headers)
    assert response.status_code == status
    error = response.json()["error"]
    assert (error["code"], error["data"]["reason"]) == (code, reason)
    assert service.submitted == []
    assert metrics.value(table.RPC_REQUESTS, "fast_door", reason) == 1


@pytest.mark.parametrize(
    ("attribute", "status", "reason"), [("accepting", 503, "not_accepting"), ("is_validator", 403, "not_validator")]
)
async def test_a_node_that_takes_nothing_says_so(http, service, attribute, status, reason):
    setattr(service, attribute, False)
    response = await http.post(PATH, content=frame_items(ITEMS), headers=BINARY)
    assert (response.status_code, response.json()["error"]["data"]["reason"]) == (status, reason)
    assert response.headers.get("retry-after") == ("2" if status == 503 else None)


async def test_the_answer_is_json_unless_binary_is_asked_for(http, service, committee, metrics):
    response = await http.post(PATH, content=frame_items(ITEMS), headers=BINARY)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    outcome = outcome_from_json(response.json())
    (receipt,) = outcome.receipts
    receipt.check(committee.chain)
    assert [item.hash for item in receipt.items] == [transaction_id(FIRST, KIND_OPEN, item) for item in ITEMS]
    assert service.submitted == [(1001, item) for item in ITEMS]
    assert metrics.value(table.RPC_TRANSACTIONS, "fast_door") == 3


async def test_the_binary_answer_says_the_same(http, service, committee):
    hashes = [transaction_id(FIRST, KIND_OPEN, item) for item in [*ITEMS, b""]]
    response = await http.post(
        PATH, content=frame_items([*ITEMS, b""]), headers={**BINARY, "accept": "application/octet-stream"}
    )
    assert response.headers["content-type"] == "application/octet-stream"
    outcome = decode_outcome(response.content, hashes)
    outcome.receipts[0].check(committee.chain)
    (refused,) = outcome.refused
    assert (refused.item, refused.code, refused.reason) == (3, -32602, "empty")


async def test_items_are_refused_one_by_one(http, service):
    service.room = 1
    body = frame_items([b"a", b"", bytes(64 * 1024 + 1), b"a", b"b"])
    response = await http.post(PATH, content=body, headers=BINARY)
    assert response.status_code == 200
    refused = outcome_from_json(response.json()).refused
    assert [(entry.item, entry.reason) for entry in refused] == [
        (1, "empty"),
        (2, "oversized"),
        (3, "full"),
        (4, "full"),
    ]


@pytest.mark.parametrize("reason", ["full", "quota", "client_quota"])
async def test_no_room_and_a_used_up_quota_are_too_many_requests(http, service, metrics, reason):
    service.room, service.full = 0, reason
    response = await http.post(PATH, content=frame_items(ITEMS), headers=BINARY)
    assert response.status_code == 429
    assert response.headers["retry-after"] == "2"
    error = response.json()["error"]
    assert (error["code"], error["data"]) == (-32011, {"reason": reason, "retry_after_ms": 1_500})
    assert metrics.value(table.RPC_REQUESTS, "fast_door", reason) == 1


async def test_the_service_is_told_who_asks(http, call, service):
    await http.post(PATH, content=frame_items([b"a"]), headers=BINARY)
    await call("seq_sendTransaction", {"namespace": 1001, "data": "0x62"})
    await http.post("/", json=[{"jsonrpc": "2.0", "id": 1, "method": "seq_sendTransaction", "params": [1001, "0x63"]}])
    assert service.clients == ["127.0.0.1"] * 3


class TestLargest:
    @pytest.fixture
    def options(self) -> RpcOptions:
        return RpcOptions(port=0)

    async def test_the_largest_request_is_taken(self, http, service):
        response = await http.post(
            PATH, content=frame_items([i.to_bytes(2, "big") for i in range(4096)]), headers=BINARY
        )
        assert response.status_code == 200
        assert len(response.json()["receipts"][0]["items"]) == 4096
        item = 64 * 1024 - 4
        response = await http.post(PATH, content=frame_items([bytes([i]) * item for i in range(64)]), headers=BINARY)
        assert response.status_code == 200
        assert len(response.json()["receipts"][0]["items"]) == 64


@pytest.mark.parametrize("namespace", ["1001", "0x3e9"])
async def test_a_namespace_stands_in_the_path_as_a_number_or_in_hex(http, service, namespace):
    response = await http.post(f"/v1/namespaces/{namespace}/transactions", content=frame_items([b"a"]), headers=BINARY)
    assert response.status_code == 200
    assert service.submitted == [(1001, b"a")]
