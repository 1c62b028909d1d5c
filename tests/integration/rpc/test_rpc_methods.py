"""What each method answers, through real HTTP."""

import httpx
import pytest
import trio

from consensus.evidence.check import Offence
from consensus.genesis import Genesis
from consensus.namespace_terms import NamespaceTerms
from consensus.numbers import Hash, ValidatorIndex
from sequencer.client.errors import MalformedAnswer
from sequencer.client.evidence_views import EvidenceView, evidence_from_json
from sequencer.client.l1_views import l1_batch_from_json
from sequencer.client.namespace_views import namespace_view_from_json
from sequencer.client.status import Status, TransactionStatus, status_from_json
from sequencer.client.views import (
    HealthCheck,
    block_from_json,
    peer_from_json,
    sync_status_from_json,
)
from sequencer.client.wire import receipt_from_json
from sequencer.rpc.methods import METHODS
from sequencer.telemetry import table
from tests.integration.rpc.fake_service import LOAD, block_view, l1_batch_view

HASH = Hash(b"\x11" * 32)
HASH_HEX = "0x" + HASH.hex()


async def test_a_transaction_by_position_and_by_name(call, committee, service, metrics):
    first = (await call("seq_sendTransaction", [1001, "0xAbCd"]))["result"]
    second = (await call("seq_sendTransaction", {"data": "0x02", "namespace": "0x3ea"}))["result"]
    assert service.submitted == [(1001, b"\xab\xcd"), (1002, b"\x02")]
    for result in (first, second):
        receipt = receipt_from_json(result["receipt"])
        receipt.check(committee.chain)
        assert result["hash"] == "0x" + receipt.items[0].hash.hex()
    assert metrics.value(table.RPC_REQUESTS, "seq_sendTransaction", "ok") == 2
    assert metrics.value(table.RPC_TRANSACTIONS, "seq_sendTransaction") == 2


async def test_several_transactions(call, committee):
    result = (await call("seq_sendTransactions", [1001, ["0x01", "0x02"]]))["result"]
    (receipt,) = result["receipts"]
    receipt_from_json(receipt).check(committee.chain)
    assert [item["hash"] for item in receipt["items"]] == result["hashes"]
    assert result["refused"] == []


async def test_a_status_and_waiting_for_it(call, service):
    unknown = (await call("seq_getTransactionStatus", [HASH_HEX]))["result"]
    assert status_from_json(unknown) == TransactionStatus(HASH, Status.UNKNOWN)
    sent = (await call("seq_sendTransaction", [1001, "0x01"]))["result"]
    status = status_from_json((await call("seq_getTransactionStatus", [sent["hash"]]))["result"])
    assert status.status is Status.RECEIVED
    assert status.receipt == receipt_from_json(sent["receipt"])
    waited = (await call("seq_waitForTransaction", [sent["hash"], "received"]))["result"]
    assert status_from_json(waited) == status
    waited = (await call("seq_waitForTransaction", [sent["hash"], "final", 1]))["result"]
    assert waited["status"] == "received"


async def test_a_wait_is_no_longer_than_the_node_allows(call, service, options, monkeypatch):
    asked = []

    async def wait(hash: Hash, status: Status, timeout_ms: int, place: object) -> TransactionStatus:
        assert place is None
        asked.append((status, timeout_ms))
        return TransactionStatus(hash, Status.UNKNOWN)

    monkeypatch.setattr(service, "wait", wait)
    await call("seq_waitForTransaction", [HASH_HEX, "attested", 2**53 - 1])
    await call("seq_waitForTransaction", [HASH_HEX])
    assert asked == [(Status.ATTESTED, options.wait_timeout_max_ms), (Status.FINAL, 10_000)]


async def test_a_client_that_leaves_is_no_longer_waited_for(server, service, metrics):
    cancelled = trio.Event()

    async def wait(_hash: Hash, _status: Status, _timeout_ms: int, _place: object) -> TransactionStatus:
        service.submitting.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()
        raise AssertionError

    service.wait = wait
    stream = await trio.open_tcp_stream("127.0.0.1", server.port)
    body = b'{"jsonrpc":"2.0","id":1,"method":"seq_waitForTransaction","params":["%s"]}' % HASH_HEX.encode()
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    await stream.send_all(head + body)
    await service.submitting.wait()
    await stream.aclose()
    await cancelled.wait()


async def test_blocks_by_height_and_by_status(call, service):
    service.blocks = {7: block_view(7), "ordered": block_view(9, Status.ORDERED), "final": block_view(8)}
    for which in (7, "ordered", "final"):
        assert block_from_json((await call("seq_getBlock", [which]))["result"]) == service.blocks[which]
    assert (await call("seq_getBlock", [8]))["result"] is None
    assert (await call("seq_getBlock", ["attested"]))["result"] is None


async def test_l1_batches_by_number_by_status_and_page_by_page(call, service):
    assert (await call("seq_getBatch", [1]))["result"] is None
    assert (await call("seq_listBatches"))["result"] == []
    service.l1 = [l1_batch_view(1, Status.SETTLED), l1_batch_view(2), l1_batch_view(3)]
    for which, expected in ((2, 1), ("posted", 2), ("settled", 0)):
        assert l1_batch_from_json((await call("seq_getBatch", [which]))["result"]) == service.l1[expected]
    listed = (await call("seq_listBatches", {"from_index": 2, "count": 1}))["result"]
    assert [l1_batch_from_json(batch) for batch in listed] == service.l1[1:2]


async def test_evidence_page_by_page(call, service):
    assert (await call("seq_getEvidence"))["result"] == []
    assert (await call("seq_getCheckpoint"))["result"] == {
        "height": 7,
        "block_id": "0x" + "00" * 32,
        "data": "0x" + b"unverified".hex(),
    }
    places = ((3, 1, 7), (3, 2, 7), (7, 0, 2**63))
    service.offences = [
        EvidenceView(Offence(rule, ValidatorIndex(who), place), b"proof %d" % rule) for rule, who, place in places
    ]
    listed = (await call("seq_getEvidence"))["result"]
    assert [evidence_from_json(found) for found in listed] == service.offences
    page = (await call("seq_getEvidence", {"after": listed[0]["id"], "count": 1}))["result"]
    assert [evidence_from_json(found) for found in page] == service.offences[1:2]
    with pytest.raises(MalformedAnswer):
        evidence_from_json({**listed[0], "validator": 9})


async def test_evidence_of_one_offence(call, service):
    kept, other = (EvidenceView(Offence(rule, ValidatorIndex(1), 7), b"proof") for rule in (3, 4))
    service.offences = [kept]
    for wanted, expected in ((kept, [kept]), (other, [])):
        listed = (await call("seq_getEvidence", {"id": "0x" + wanted.offence.encode().hex()}))["result"]
        assert [evidence_from_json(found) for found in listed] == expected


async def test_the_payload_of_a_held_batch(server, service):
    service.payloads[7] = b"payload"
    async with httpx.AsyncClient() as http:
        found = await http.get(f"http://127.0.0.1:{server.port}/v1/batches/7/payload")
        assert (found.status_code, found.content) == (200, b"payload")
        assert found.headers["content-type"] == "application/octet-stream"
        missing = await http.get(f"http://127.0.0.1:{server.port}/v1/batches/8/payload")
        assert (missing.status_code, missing.json()["error"]["data"]["reason"]) == (404, "unknown_batch")
        for number in ("-1", "x", "9" * 16):
            wrong = await http.get(f"http://127.0.0.1:{server.port}/v1/batches/{number}/payload")
            assert wrong.status_code == 400


async def test_what_is_not_there_yet_is_null_or_empty(call):
    assert (await call("seq_getNamespaceBlocks", [1001, 0]))["result"] == []
    assert (await call("seq_getNamespaceProof", [1001]))["result"] is None
    assert (await call("seq_getAttestation"))["result"] is None
    assert (await call("seq_getValidators", [1]))["result"] is None


async def test_the_chain_and_its_validators(call, committee):
    chain = (await call("seq_getChain"))["result"]
    assert Genesis.decode(bytes.fromhex(chain["genesis"][2:])) == committee.chain
    assert chain["chain_id"] == "0x" + committee.chain.chain_id.hex()
    assert chain["parameters"]["tx_bytes_max"] == 64 * 1024
    validators = (await call("seq_getValidators", {"epoch": 0}))["result"]
    assert validators["validators"] == chain["validators"]
    assert (validators["total_stake"], validators["quorum_stake"], validators["witness_stake"]) == (4, 3, 2)


async def test_namespaces_page_by_page(call, committee):
    first = (await call("seq_listNamespaces", {"count": 1}))["result"]
    second = (await call("seq_listNamespaces", {"from_id": first[0]["id"] + 1}))["result"]
    listed = [namespace_view_from_json(entry) for entry in first + second]
    assert [(entry.id, entry.name) for entry in listed] == [(n.id, n.name) for n in committee.chain.namespaces]
    assert [(entry.terms, entry.load) for entry in listed] == [(NamespaceTerms(), LOAD)] * 2


async def test_peers_and_progress(call, service):
    peers = (await call("seq_listPeers"))["result"]
    assert [peer_from_json(peer) for peer in peers] == list(service.peers())
    service.not_ready = ["no_quorum"]
    assert sync_status_from_json((await call("seq_syncStatus"))["result"]) == service.sync_status()


async def test_discover_lists_exactly_the_methods_there_are(call):
    document = (await call("rpc.discover"))["result"]
    assert document["openrpc"] == "1.3.2"
    names = [method["name"] for method in document["methods"]]
    assert names == [*METHODS, "rpc.discover"]
    for name in names:
        answer = await call(name, {"surely": "not"})
        assert answer.get("error", {}).get("data", {}).get("reason") != "unknown_method"


class TestHealth:
    async def test_livez(self, http):
        response = await http.get("/livez")
        assert (response.status_code, response.json()) == (200, {"live": True})

    async def test_readyz_says_why_not(self, http, service):
        response = await http.get("/readyz")
        assert (response.status_code, response.json()) == (200, {"ready": True, "reasons": []})
        service.not_ready = ["syncing", "no_quorum"]
        response = await http.get("/readyz")
        assert (response.status_code, response.json()) == (
            503,
            {"ready": False, "reasons": ["syncing", "no_quorum"]},
        )

    async def test_healthz_lists_every_check(self, http, service):
        response = await http.get("/healthz")
        assert response.status_code == 200
        service.checks.append(HealthCheck("l1", False, "unreachable for 40 s"))
        response = await http.get("/healthz")
        assert response.status_code == 503
        assert response.json() == {
            "ok": False,
            "checks": [
                {"name": "storage", "ok": True, "detail": "synced 3 ms ago"},
                {"name": "l1", "ok": False, "detail": "unreachable for 40 s"},
            ],
        }


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
async def test_health_pages_answer_head_too(http, path):
    response = await http.head(path)
    assert (response.status_code, response.content) == (200, b"")
