"""Every refusal of the JSON-RPC port, through real HTTP: code, reason and HTTP status."""

from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from sequencer.client.reasons import REASONS, TABLE, reason_of
from sequencer.rpc.errors import RequestRefused
from sequencer.rpc.options import PAGE_BYTES_MAX, RpcOptions
from sequencer.telemetry import table

HASH = "0x" + "11" * 32
FAST_DOOR = "/v1/namespaces/1001/transactions"
BINARY = {"content-type": "application/octet-stream"}

# method, parameters, code, reason
REFUSED_CALLS = [
    # namespaces
    ("seq_sendTransaction", [9999, "0x01"], -32010, "unknown_namespace"),
    ("seq_sendTransaction", ["0xffffffffffffffff", "0x01"], -32010, "unknown_namespace"),
    ("seq_sendTransactions", [9999, ["0x01"]], -32010, "unknown_namespace"),
    ("seq_getNamespaceBlocks", [9999, 0, 1], -32010, "unknown_namespace"),
    ("seq_getNamespaceProof", [9999, 1], -32010, "unknown_namespace"),
    ("seq_sendTransaction", [-1, "0x01"], -32602, "malformed"),
    ("seq_sendTransaction", [2**53, "0x01"], -32602, "malformed"),
    ("seq_sendTransaction", [1001.0, "0x01"], -32602, "malformed"),
    ("seq_sendTransaction", [True, "0x01"], -32602, "malformed"),
    ("seq_sendTransaction", ["1001", "0x01"], -32602, "malformed"),
    ("seq_sendTransaction", ["0x03e9", "0x01"], -32602, "malformed"),
    ("seq_sendTransaction", ["0x10000000000000000", "0x01"], -32602, "malformed"),
    ("seq_sendTransaction", [None, "0x01"], -32602, "malformed"),
    # data
    ("seq_sendTransaction", [1001, "0x"], -32602, "empty"),
    ("seq_sendTransaction", [1001, "0x" + "00" * (64 * 1024 + 1)], -32602, "oversized"),
    ("seq_sendTransaction", [1001, "01"], -32602, "malformed"),
    ("seq_sendTransaction", [1001, "0x0"], -32602, "malformed"),
    ("seq_sendTransaction", [1001, "0x0g"], -32602, "malformed"),
    ("seq_sendTransaction", [1001, "0x0 1 "], -32602, "malformed"),
    ("seq_sendTransaction", [1001, "0x\u0661\u0661"], -32602, "malformed"),
    ("seq_sendTransaction", [1001, "0X01"], -32602, "malformed"),
    ("seq_sendTransaction", [1001, 1], -32602, "malformed"),
    ("seq_sendTransaction", [1001, ["0x01"]], -32602, "malformed"),
    ("seq_sendTransactions", [1001, []], -32602, "empty"),
    ("seq_sendTransactions", [1001, ["0x01"] * 4097], -32602, "oversized"),
    ("seq_sendTransactions", [1001, ["0x01", "0x0"]], -32602, "malformed"),
    ("seq_sendTransactions", [1001, "0x01"], -32602, "malformed"),
    # the form of parameters
    ("seq_sendTransaction", [1001], -32602, "malformed"),
    ("seq_sendTransaction", [1001, "0x01", 1], -32602, "malformed"),
    ("seq_sendTransaction", {"namespace": 1001}, -32602, "malformed"),
    ("seq_sendTransaction", {"namespace": 1001, "data": "0x01", "tip": 1}, -32602, "malformed"),
    ("seq_sendTransaction", None, -32602, "malformed"),
    ("seq_sendTransaction", "0x01", -32600, "invalid_request"),
    ("seq_listPeers", [1], -32602, "malformed"),
    # hashes, statuses, times
    ("seq_getTransactionStatus", ["0x11"], -32602, "malformed"),
    ("seq_getTransactionStatus", [HASH + "11"], -32602, "malformed"),
    ("seq_getTransactionStatus", [7], -32602, "malformed"),
    ("seq_waitForTransaction", [HASH, "unknown", 1], -32602, "malformed"),
    ("seq_waitForTransaction", [HASH, "refused", 1], -32602, "malformed"),
    ("seq_waitForTransaction", [HASH, "FINAL", 1], -32602, "malformed"),
    ("seq_waitForTransaction", [HASH, "final", -1], -32602, "malformed"),
    ("seq_waitForTransaction", [HASH, "final", "10"], -32602, "malformed"),
    # heights, indices, counts
    ("seq_getBlock", [-1], -32602, "malformed"),
    ("seq_getBlock", ["newest"], -32602, "malformed"),
    ("seq_getBatch", ["final"], -32602, "malformed"),
    ("seq_listBatches", [1, 0], -32602, "malformed"),
    ("seq_listBatches", [1, 101], -32602, "malformed"),
    ("seq_getEvidence", ["0x01"], -32602, "malformed"),
    ("seq_getEvidence", ["0x", 101], -32602, "malformed"),
    ("seq_getEvidence", ["0x", 1, "0x01"], -32602, "malformed"),
    ("seq_getBlock", [1.5], -32602, "malformed"),
    ("seq_getBlock", [], -32602, "malformed"),
    ("seq_getNamespaceBlocks", [1001, -1, 1], -32602, "malformed"),
    ("seq_getNamespaceBlocks", [1001, 0, 0], -32602, "malformed"),
    ("seq_getNamespaceBlocks", [1001, 0, 1001], -32602, "malformed"),
    ("seq_getNamespaceBlocks", [1001, 0, 1, -1], -32602, "malformed"),
    ("seq_getNamespaceBlocks", [1001], -32602, "malformed"),
    ("seq_getNamespaceProof", [1001, "final"], -32602, "malformed"),
    ("seq_getAttestation", ["ordered"], -32602, "malformed"),
    ("seq_getValidators", ["0"], -32602, "malformed"),
    ("seq_listNamespaces", [0, 1001], -32602, "malformed"),
    ("seq_listNamespaces", ["x"], -32602, "malformed"),
    # methods
    ("seq_doEverything", [], -32601, "unknown_method"),
    ("eth_chainId", [], -32601, "unknown_method"),
    ("admin_stop", [], -32601, "unknown_method"),
    ("", [], -32601, "unknown_method"),
]


@pytest.mark.parametrize(("method", "params", "code", "reason"), REFUSED_CALLS)
async def test_a_call_is_refused_with_its_code_and_reason(call, service, metrics, method, params, code, reason):
    answer = await call(method, params)
    assert "result" not in answer
    assert answer["error"]["code"] == code
    assert answer["error"]["data"]["reason"] == reason
    assert answer["error"]["message"]
    assert service.submitted == []
    label = "unknown" if code == -32601 else method
    assert metrics.value(table.RPC_REQUESTS, label, reason) == 1


# body, HTTP status, code, reason
UNREADABLE_BODIES = [
    (b"", 200, -32700, "unparsable"),
    (b"{", 200, -32700, "unparsable"),
    (b"[1,]", 200, -32700, "unparsable"),
    (b"{'a': 1}", 200, -32700, "unparsable"),
    (b'{"id": NaN}', 200, -32700, "unparsable"),
    (b'"\xff"', 200, -32700, "unparsable"),
    (b'{"jsonrpc":"2.0","id":1e999,"method":"seq_listPeers"}', 200, -32700, "unparsable"),
    (b"[" * 100_000, 200, -32700, "unparsable"),
    (b"[" * 50_000 + b"]" * 50_000, 200, -32700, "unparsable"),
    (b"7", 200, -32600, "invalid_request"),
    (b'"seq_listPeers"', 200, -32600, "invalid_request"),
    (b"null", 200, -32600, "invalid_request"),
    (b"{}", 200, -32600, "invalid_request"),
    (b"[]", 200, -32600, "invalid_request"),
    (b'{"id":1,"method":"seq_listPeers"}', 200, -32600, "invalid_request"),
    (b'{"jsonrpc":"1.0","id":1,"method":"seq_listPeers"}', 200, -32600, "invalid_request"),
    (b'{"jsonrpc":"2.0","id":1,"method":7}', 200, -32600, "invalid_request"),
    (b'{"jsonrpc":"2.0","id":[1],"method":"seq_listPeers"}', 200, -32600, "invalid_request"),
    (b'{"jsonrpc":"2.0","id":true,"method":"seq_listPeers"}', 200, -32600, "invalid_request"),
]


@pytest.mark.parametrize(("body", "status", "code", "reason"), UNREADABLE_BODIES)
async def test_a_body_that_is_no_request_is_refused(http, body, status, code, reason):
    response = await http.post("/", content=body, headers={"content-type": "application/json"})
    assert response.status_code == status
    answer = response.json()
    assert (answer["error"]["code"], answer["error"]["data"]["reason"]) == (code, reason)
    assert answer["id"] in (None, 1)


# HTTP method, path, headers, body, status, reason
REFUSED_REQUESTS = [
    ("POST", "/", {"content-type": "text/plain"}, b"{}", 415, "unsupported_media_type"),
    ("POST", "/", {}, b"{}", 415, "unsupported_media_type"),
    ("POST", "/", {"content-type": "application/json", "content-encoding": "gzip"}, b"", 415, "unsupported_media_type"),
    ("POST", "/", {"content-type": "application/json"}, b" " * (256 * 1024 + 1), 413, "oversized"),
    ("GET", "/", {}, b"", 405, "wrong_http_method"),
    ("GET", "/v1/namespaces/1001/transactions", {}, b"", 405, "wrong_http_method"),
    ("DELETE", "/readyz", {}, b"", 405, "wrong_http_method"),
    ("GET", "/nowhere", {}, b"", 404, "unknown_path"),
    ("POST", "/v1/namespaces//transactions", {}, b"", 404, "unknown_path"),
    ("GET", "/metrics", {}, b"", 404, "unknown_path"),
    ("GET", "/%00%ff/..%2f", {}, b"", 404, "unknown_path"),
]


@pytest.mark.parametrize(("verb", "path", "headers", "body", "status", "reason"), REFUSED_REQUESTS)
async def test_a_request_is_refused_whole(http, verb, path, headers, body, status, reason):
    response = await http.request(verb, path, headers=headers, content=body)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert response.json()["error"]["data"]["reason"] == reason
    if status == 405:
        assert response.headers["allow"]


async def test_a_full_queue_says_when_to_come_back(call, service):
    service.room = 0
    error = (await call("seq_sendTransaction", [1001, "0x01"]))["error"]
    assert error["code"] == -32011
    assert error["data"] == {"reason": "full", "retry_after_ms": 1_500}


async def test_a_known_transaction_is_refused_with_its_first_receipt(call):
    first = (await call("seq_sendTransaction", [1001, "0x01"]))["result"]
    error = (await call("seq_sendTransaction", [1001, "0x01"]))["error"]
    assert error["code"] == -32017
    assert error["data"] == {"reason": "known", "receipt": first["receipt"]}


async def test_items_of_one_call_are_refused_one_by_one(call, service):
    service.room = 2
    items = ["0x01", "0x", "0x02", "0x" + "00" * (64 * 1024 + 1), "0x01", "0x03"]
    result = (await call("seq_sendTransactions", [1001, items]))["result"]
    assert len(result["hashes"]) == len(items)
    (receipt,) = result["receipts"]
    assert [item["hash"] for item in receipt["items"]] == [result["hashes"][0], result["hashes"][2]]
    told = [(entry["item"], entry["code"], entry["reason"], entry["retry_after_ms"]) for entry in result["refused"]]
    assert told == [(1, -32602, "empty", None), (3, -32602, "oversized", None), *told[2:]]
    assert told[-1] == (5, -32011, "full", 1_500)


@pytest.mark.parametrize(
    ("attribute", "code", "reason"),
    [("accepting", -32002, "not_accepting"), ("is_validator", -32016, "not_validator")],
)
async def test_a_node_that_takes_nothing_says_so(call, service, attribute, code, reason):
    setattr(service, attribute, False)
    for method, params in (("seq_sendTransaction", [1001, "0x01"]), ("seq_sendTransactions", [1001, ["0x01"]])):
        error = (await call(method, params))["error"]
        assert (error["code"], error["data"]["reason"]) == (code, reason)


async def test_an_unexpected_exception_is_internal_and_tells_nothing(call, service, capsys):
    service.failure = RuntimeError("a path like /home/node/keys")
    error = (await call("seq_sendTransaction", [1001, "0x01"]))["error"]
    assert (error["code"], error["data"]) == (-32603, {"reason": "internal"})
    assert "keys" not in error["message"]
    service.failure = None
    assert "result" in await call("seq_sendTransaction", [1001, "0x01"])


class TestBatches:
    @pytest.fixture
    async def post(self, http):
        async def post_batch(calls: list) -> object:
            response = await http.post("/", json=calls)
            return response.json() if response.content else response.status_code

        return post_batch

    async def test_each_call_is_answered_by_itself(self, post):
        answers = await post(
            [
                {"jsonrpc": "2.0", "id": "a", "method": "seq_listPeers"},
                {"jsonrpc": "2.0", "id": 2, "method": "seq_sendTransaction", "params": [1001, "0x01"]},
                {"jsonrpc": "2.0", "method": "seq_listPeers"},
                {"jsonrpc": "2.0", "id": 3, "method": "seq_nothing"},
                7,
                {"jsonrpc": "2.0", "id": None, "method": "seq_listPeers"},
            ]
        )
        assert [answer["id"] for answer in answers] == ["a", 2, 3, None, None]
        assert [answer.get("error", {}).get("code") for answer in answers] == [None, None, -32601, -32600, None]

    async def test_more_calls_than_the_cap_are_refused_whole(self, post, service):
        send = {"jsonrpc": "2.0", "id": 1, "method": "seq_sendTransaction", "params": [1001, "0x01"]}
        answer = await post([send] * 9)
        assert (answer["error"]["code"], answer["error"]["data"]["reason"]) == (-32005, "batch_too_large")
        assert service.submitted == []

    async def test_notifications_are_carried_out_and_not_answered(self, post, http, service):
        send = {"jsonrpc": "2.0", "method": "seq_sendTransaction", "params": [1001, "0x01"]}
        assert await post([send, {**send, "method": "seq_nothing"}]) == 204
        response = await http.post("/", json={**send, "params": [1001, "0x02"]})
        assert (response.status_code, response.content) == (204, b"")
        assert service.submitted == [(1001, b"\x01"), (1001, b"\x02")]

    async def test_transactions_of_a_batch_keep_their_order(self, post, service):
        sends = [
            {"jsonrpc": "2.0", "id": place, "method": "seq_sendTransaction", "params": [1001, f"0x{place:02x}"]}
            for place in range(8)
        ]
        for _ in range(5):
            service.submitted.clear()
            service._known.clear()
            answers = await post(sends)
            assert [answer["id"] for answer in answers] == list(range(8))
            assert [item for _, item in service.submitted] == [bytes([place]) for place in range(8)]

    async def test_answers_beyond_their_bound_are_refused(self, post, monkeypatch):
        monkeypatch.setattr("sequencer.rpc.json_rpc.BATCH_ANSWER_BYTES_MAX", 2_000)
        answers = await post([{"jsonrpc": "2.0", "id": place, "method": "seq_listPeers"} for place in range(8)])
        assert "result" in answers[0]
        assert (answers[7]["id"], answers[7]["error"]["data"]["reason"]) == (7, "answer_too_large")

    async def test_what_waits_for_the_rest_of_a_batch_is_bounded_over_all_of_them(self, post, monkeypatch):
        held = 0

        @contextmanager
        def hold(context, byte_count):
            nonlocal held
            if held + byte_count > 2_000:
                raise RequestRefused("overloaded", retry_after_ms=1_000)
            held += byte_count
            try:
                yield
            finally:
                held -= byte_count

        monkeypatch.setattr("sequencer.rpc.context.Context.answer_held", hold)
        answers = await post([{"jsonrpc": "2.0", "id": place, "method": "seq_listPeers"} for place in range(8)])
        assert "result" in answers[0]
        assert (answers[7]["id"], answers[7]["error"]["data"]["reason"]) == (7, "overloaded")
        assert held == 0


class TestLoad:
    """Bounds over all clients together, made small before the server is built."""

    @pytest.fixture
    def options(self, monkeypatch) -> RpcOptions:
        monkeypatch.setattr("sequencer.rpc.context.TRANSACTIONS_WAITING_MAX", 5)
        monkeypatch.setattr("sequencer.rpc.context.WAITING_CALLS_MAX", 4)
        monkeypatch.setattr("sequencer.rpc.bodies.BODIES_BYTES_MAX_FACTOR", 2)  # half of it for one client
        monkeypatch.setattr("sequencer.rpc.context.ANSWERS_BYTES_MAX", 4 * PAGE_BYTES_MAX)
        return RpcOptions(port=0, request_bytes_max=64 * 1024)

    @pytest.fixture
    async def held(self, http, service):
        """Starts a request that stays unanswered until the service seals."""
        service.sealed = trio.Event()
        async with trio.open_nursery() as nursery:

            async def hold(body: bytes) -> None:
                service.submitting = trio.Event()
                nursery.start_soon(partial(http.post, FAST_DOOR, content=body, headers=BINARY))
                await service.submitting.wait()

            yield hold
            service.sealed.set()

    async def test_more_waiting_transactions_than_the_bound_are_refused(self, http, call, held):
        await held(b"\0\0\0\1a\0\0\0\1b")
        response = await http.post(FAST_DOOR, content=b"\0\0\0\1c\0\0\0\1d", headers=BINARY)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert response.json()["error"]["data"] == {"reason": "overloaded", "retry_after_ms": 1_000}
        error = (await call("seq_sendTransactions", [1001, ["0x01", "0x02"]]))["error"]
        assert (error["code"], error["data"]["reason"]) == (-32005, "overloaded")

    async def test_more_waiting_calls_than_the_bound_are_refused(self, http):
        wait = {"jsonrpc": "2.0", "id": 1, "method": "seq_waitForTransaction", "params": [HASH, "final", 50]}
        answers = (await http.post("/", json=[wait] * 3)).json()
        assert sorted("error" in answer for answer in answers) == [False, False, True]

    async def test_more_pages_at_once_than_the_bound_are_refused(self, call, service):
        released = trio.Event()
        answers: list[dict[str, Any]] = []

        async def read_slowly(*_arguments):
            await released.wait()
            return []

        async def ask() -> None:
            answers.append(await call("seq_getNamespaceBlocks", [1001, 0, 1]))
            released.set()  # the first that is answered is the one that is refused

        service.namespace_blocks = read_slowly
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
        assert [answer["error"]["data"]["reason"] for answer in answers if "error" in answer] == ["overloaded"]
        assert (await call("seq_getNamespaceBlocks", [1001, 0, 1]))["result"] == []

    async def test_bodies_beyond_the_common_budget_are_refused(self, http, held, service):
        body = (60_000).to_bytes(4, "big") + bytes(60_000)
        await held(body)
        response = await http.post("/", content=b" " * 60_000, headers={"content-type": "application/json"})
        assert (response.status_code, response.json()["error"]["data"]["reason"]) == (503, "overloaded")
        service.sealed.set()
        await trio.testing.wait_all_tasks_blocked()
        response = await http.post("/", content=b" " * 60_000, headers={"content-type": "application/json"})
        assert response.status_code == 200


def test_every_refusal_of_the_table_has_a_code_of_its_kind():
    assert len(REASONS) == len(TABLE)
    assert reason_of("a_word_of_tomorrow").code == -32003
    assert all(400 <= reason.http_status < 600 for reason in TABLE)
    assert msgspec.json.encode([reason.meaning for reason in TABLE])
