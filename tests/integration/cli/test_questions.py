"""The commands that ask a node, against an HTTP server that answers as one does."""

import json
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from consensus.evidence.check import Offence
from consensus.evidence.proofs import encode_proof
from consensus.namespace_terms import NamespaceTerms
from consensus.numbers import Digest, Epoch, Hash, Milliseconds, Seq, ValidatorIndex
from consensus.signing import SIGNATURE_BYTES
from consensus.vocabulary.batch import KIND_OPEN, transaction_id
from consensus.vocabulary.receipt import Receipt, ReceiptItem
from sequencer.cli.main import main
from sequencer.client.evidence_views import EvidenceView, evidence_to_json
from sequencer.client.fields import namespace_from_json
from sequencer.client.namespace_views import LOAD_NUMBERS
from sequencer.client.wire import receipt_to_json
from tests.unit.consensus.evidence.test_check import CHAIN, EXAMPLES, INNOCENTS

HASH = "0x" + "ab" * 32


def progress(**changes):
    return {
        "ready": True,
        "reasons": [],
        "view": 12,
        "ordered_height": 11,
        "final_height": 10,
        "executed_height": 9,
        "attested_height": 8,
        "target_height": 11,
        "missing_batches": 0,
        "l1": None,
        "catching_up": None,
        **changes,
    }


def standing(status, **changes):
    unknown = "height namespace_index position section receipt count ordered_ms final_ms attested_ms l1 reason"
    known = dict.fromkeys(unknown.split())
    return {"hash": HASH, "namespace": 1001, "status": status, **known, **changes}


def received(params):
    """What a node answers to a transaction."""
    namespace, data = namespace_from_json(params["namespace"]), bytes.fromhex(params["data"][2:])
    item = ReceiptItem(namespace, KIND_OPEN, transaction_id(namespace, KIND_OPEN, data), 0)
    receipt = Receipt(
        Hash(bytes(32)),
        Epoch(0),
        ValidatorIndex(2),
        Seq(7),
        Digest(bytes(32)),
        Milliseconds(1),
        (item,),
        bytes(SIGNATURE_BYTES),
    )
    return {"hash": "0x" + item.hash.hex(), "receipt": receipt_to_json(receipt)}


@contextmanager
def node(answers):
    """A server; `answers` maps a method to its result, or to a function of its parameters. An exception is an error."""
    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append((request["method"], request["params"]))
            result = answers[request["method"]]
            if callable(result):
                result = result(request["params"])
            key = "error" if isinstance(result, dict) and "code" in result else "result"
            body = json.dumps({"jsonrpc": "2.0", "id": request["id"], key: result}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def run(capsys, *arguments, code=0):
    assert main([str(argument) for argument in arguments]) == code
    return capsys.readouterr()


@pytest.mark.parametrize(("ready", "code"), [(True, 0), (False, 3)])
def test_status_says_it_in_its_exit_code(capsys, ready, code):
    answer = progress(ready=ready, reasons=[] if ready else ["no_quorum"])
    with node({"seq_syncStatus": answer}) as (url, _):
        assert json.loads(run(capsys, "status", "--url", url, "--json", code=code).out) == answer
        shown = run(capsys, "status", "--url", url, code=code).out
    assert ("no_quorum" in shown) is not ready
    assert "final" in shown


def l1_progress(**changes):
    fields = {"reachable": True, "posted_height": 7, "settled_height": 5, "batch_index": 3, "backlog_bytes": 900}
    return {**fields, "backlog_ms": 2_500, "poster": "in_flight", **changes}


def test_status_shows_the_l1_and_its_backlog(capsys):
    for l1, word in ((l1_progress(), "in_flight"), (l1_progress(reachable=False), "does not answer")):
        with node({"seq_syncStatus": progress(l1=l1)}) as (url, _):
            shown = run(capsys, "status", "--url", url).out
        assert word in shown
        assert "900 bytes, 2.5 s" in shown


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "executing, headers at 90, 1200 heights left, 80 blocks/s, about 15 s left"),
        ({"phase": "headers", "seconds_left": None}, "headers, headers at 90, 1200 heights left, 80 blocks/s, no end"),
        ({"phase": "batches", "walk_height": None}, "batches, 1200 heights left, 80 blocks/s, about 15 s left"),
    ],
)
def test_status_shows_how_it_catches_up(capsys, changes, words):
    figures = {"phase": "executing", "walk_height": 90, "heights_left": 1_200, "blocks_per_s": 80, "seconds_left": 15}
    answer = progress(ready=False, reasons=["behind"], catching_up={**figures, **changes})
    with node({"seq_syncStatus": answer}) as (url, _):
        shown = run(capsys, "status", "--url", url, code=3).out
    assert words in " ".join(shown.split())


def l1_batch(index, status="posted"):
    hashes = dict.fromkeys(("hash", "previous_hash", "data_hash", "namespaces_root", "transaction", "block_hash"), HASH)
    heights = {"first_height": 2 * index - 1, "last_height": 2 * index}
    rest = {"data": "calldata", "byte_count": 321, "poster": "0x" + "07" * 20, "block_number": 99, "status": status}
    return {"index": index, **heights, **hashes, **rest}


def test_batches_are_listed_and_shown(capsys):
    batches = [l1_batch(1, "settled"), l1_batch(2)]
    with node({"seq_listBatches": batches, "seq_getBatch": batches[1]}) as (url, _):
        listed = run(capsys, "batch", "list", "--url", url).out
        assert json.loads(run(capsys, "batch", "list", "--from", "1", "--url", url, "--json").out) == batches
        assert json.loads(run(capsys, "batch", "show", "posted", "--url", url, "--json").out) == batches[1]
    assert "settled" in listed
    assert "321" in listed
    with node({"seq_getBatch": None}) as (url, _):
        assert "not on the L1" in run(capsys, "batch", "show", "9", "--url", url, code=1).err
        assert "no batch" in run(capsys, "batch", "show", "newest", "--url", url, code=2).err


def test_the_address_comes_from_the_home(capsys, tmp_path):
    with node({"seq_syncStatus": progress()}) as (url, _):
        port = url.rpartition(":")[2]
        run(capsys, "init", "--home", tmp_path, "--set", f"rpc.port={port}", "--set", "rpc.host=0.0.0.0")
        run(capsys, "status", "--home", tmp_path)


def test_the_address_comes_from_the_environment(capsys, monkeypatch):
    with node({"seq_syncStatus": progress()}) as (url, _):
        monkeypatch.setenv("SEQUENCER_URL", url)
        run(capsys, "status")


def test_send_prints_the_hash(capsys, tmp_path):
    (tmp_path / "data").write_bytes(b"\x00\x01")
    with node({"seq_sendTransaction": received}) as (url, asked):
        shown = run(capsys, "tx", "send", "1001", "0xC0ffee", "--url", url)
        run(capsys, "tx", "send", "0x3e9", "--text", "hé", "--url", url)
        run(capsys, "tx", "send", str(2**60), "--file", tmp_path / "data", "--url", url)
        answer = json.loads(run(capsys, "tx", "send", "1001", "0x00", "--url", url, "--json").out)
    assert shown.out == received(asked[0][1])["hash"] + "\n"
    assert "validator 2" in shown.err
    assert answer == received(asked[3][1])
    assert [params for _, params in asked[:3]] == [
        {"namespace": 1001, "data": "0xc0ffee"},
        {"namespace": 1001, "data": "0x68c3a9"},
        {"namespace": hex(2**60), "data": "0x0001"},
    ]


def test_send_through_several_nodes(capsys):
    with (
        node({"seq_sendTransaction": received}) as (url, asked),
        node({"seq_sendTransaction": received}) as (more, other),
    ):
        command = ["tx", "send", "1001", "0x00", "--url", url, "--also", more]
        answer = json.loads(run(capsys, *command, "--json").out)
        assert answer["receipts"] == [answer["receipt"]]  # both speak for one validator
        assert asked == other
        shown = run(capsys, *command, "--also", "http://127.0.0.1:9")
        assert "a node has not taken it" in shown.err
    assert "http://" in run(capsys, "tx", "send", "1001", "0x00", "--url", url, "--also", "nowhere", code=2).err


def test_send_and_wait(capsys):
    answers = {
        "seq_sendTransaction": received,
        "seq_waitForTransaction": lambda params: standing("final", height=5, hash=params["hash"]),
        "seq_getTransactionStatus": lambda params: standing("final", height=5, hash=params["hash"]),
    }
    with node(answers) as (url, asked):
        shown = run(capsys, "tx", "send", "1", "0x00", "--wait", "final", "--timeout-ms", "5", "--url", url).out
        assert "final" in shown
        method, params = asked[1]
        assert method == "seq_waitForTransaction"
        assert (params["hash"], params["status"]) == (received(asked[0][1])["hash"], "final")
        assert params["timeout_ms"] <= 5
        assert params["place"] == {"lane": 2, "seq": 7, "batch": "0x" + bytes(32).hex()}
        first_is_down = ["--url", "http://127.0.0.1:9", "--also", url]
        assert "final" in run(capsys, "tx", "send", "1", "0x00", "--wait", "final", *first_is_down).out
        run(capsys, "tx", "send", "1", "0x00", "--wait", "attested", "--url", url, code=1)


def test_status_of_a_transaction(capsys):
    with node({"seq_getTransactionStatus": standing("ordered", height=5)}) as (url, asked):
        shown = run(capsys, "tx", "status", "AB" * 32, "--url", url).out
        assert json.loads(run(capsys, "tx", "status", HASH, "--url", url, "--json").out)["status"] == "ordered"
    assert "ordered" in shown
    assert "reason" not in shown
    assert [params for _, params in asked] == [{"hash": HASH}] * 2


@pytest.mark.parametrize(
    ("status", "code"), [("final", 0), ("attested", 0), ("ordered", 1), ("unknown", 1), ("refused", 1), ("expired", 1)]
)
def test_wait_tells_whether_it_was_reached(capsys, status, code):
    answer = standing(status)
    with node({"seq_waitForTransaction": answer, "seq_getTransactionStatus": answer}) as (url, _):
        shown = run(capsys, "tx", "wait", HASH, "--timeout-ms", "1", "--url", url, "--json", code=code)
    assert json.loads(shown.out)["status"] == status


def test_a_refusal_is_one_message_and_1(capsys):
    refusal = {"code": -32010, "message": "unknown namespace", "data": {"reason": "unknown_namespace"}}
    with node({"seq_sendTransaction": refusal}) as (url, _):
        shown = run(capsys, "tx", "send", "5", "0x00", "--url", url, code=1)
    assert shown.out == ""
    assert "unknown_namespace" in shown.err
    assert shown.err.count("\n") == 1


def test_lists(capsys):
    peer = {
        "index": 1,
        "peer_id": "16U\x1b[2J",
        "address": None,
        "connected": True,
        "last_heard_ms": 1,
        "round_trip_ms": None,
        "sent_bytes": 1,
        "received_bytes": 2,
        "queued_bytes": 0,
    }
    keys = {"node_public_key": "0x" + "02" * 33, "bls_public_key": "0x" + "03" * 48}
    validator = {"index": 0, "stake": 1, **keys, "possession": "0x" + "04" * 96}
    answers = {
        "seq_listPeers": [peer],
        "seq_getValidators": lambda params: {"epoch": 0, "validators": [validator]} if params["epoch"] == 0 else None,
    }
    with node(answers) as (url, _):
        shown = run(capsys, "peers", "list", "--url", url).out
        assert "16U" in shown
        assert "\x1b" not in shown
        assert json.loads(run(capsys, "peers", "list", "--url", url, "--json").out) == [peer]
        assert keys["bls_public_key"] in run(capsys, "validators", "list", "--url", url).out
        listed = json.loads(run(capsys, "validators", "list", "--url", url, "--json").out)
        assert listed == [{"index": 0, "stake": 1, **keys}]
        assert "no epoch 4" in run(capsys, "validators", "list", "--epoch", "4", "--url", url, code=1).err


TERMS = {"terms": {**asdict(NamespaceTerms()), "share_permille": 250}}


def test_namespaces_page_by_page_and_without_control_characters(capsys):
    namespaces = [
        {"id": number, "name": f"n\x1b[2J{number}", "index": None, "height": None, "hash": None, **TERMS, "load": None}
        for number in range(2500)
    ]
    load = {**dict.fromkeys(LOAD_NUMBERS, 5), "refused": {"quota": 7, "full": 3}}
    namespaces.append({"id": hex(2**60), "name": "far", "index": 1, "height": 2, "hash": HASH, **TERMS, "load": load})

    def page(params):
        start = params["from_id"] if isinstance(params["from_id"], int) else int(params["from_id"], 16)
        ids = [int(str(entry["id"]), 0) for entry in namespaces]
        return [entry for entry, number in zip(namespaces, ids, strict=True) if number >= start][:1000]

    with node({"seq_listNamespaces": page}) as (url, asked):
        assert json.loads(run(capsys, "namespace", "list", "--url", url, "--json").out) == namespaces
        assert len(asked) == 4
        shown = run(capsys, "namespace", "list", "--url", url).out
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2502
    assert shown.splitlines()[-1].split()[3:] == [
        "2",
        "5",
        "5",
        "ms",
        "5/s",
        "5/s",
        "0.5%",
        "0%",
        "(25%)",
        "3",
        "full,",
        "7",
        "quota",
    ]


@pytest.mark.parametrize(
    "answer", ["null", "[]", "<html>", "{}", '{"result": 1', '{"jsonrpc": "2.0", "id": 1, "result": 5}']
)
def test_something_that_is_no_node(capsys, answer):
    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        shown = run(capsys, "status", "--url", f"http://127.0.0.1:{server.server_port}", code=1)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert shown.err.startswith("sequencer: ")
    assert shown.err.count("\n") == 1


def test_evidence_is_listed_and_judged_by_the_genesis_alone(capsys, tmp_path, monkeypatch):
    proofs = {name: EXAMPLES[name] for name in ("two votes", "invalid proposal")}
    entries = [
        evidence_to_json(EvidenceView(Offence(rule, ValidatorIndex(who), place), encode_proof(proof)))
        for proof, (rule, who, place) in proofs.values()
    ]
    with node({"seq_getEvidence": lambda params: entries if params["after"] == "0x" else []}) as (url, _):
        listed = run(capsys, "evidence", "list", "--url", url).out
        printed = run(capsys, "evidence", "list", "--url", url, "--json").out
    assert "E3" in listed
    assert json.loads(printed) == entries
    monkeypatch.setattr("sequencer.keys.genesis_file.load_genesis", lambda path: CHAIN)
    file = tmp_path / "evidence.json"
    file.write_text(printed)
    judged = json.loads(run(capsys, "evidence", "verify", file, "--json").out)
    assert [(entry["rule"], entry["slashable"]) for entry in judged] == [("E3", True), ("E9", False)]
    file.write_text("0x" + encode_proof(INNOCENTS["a valid proposal"]).hex())
    assert "convict nobody" in run(capsys, "evidence", "verify", file, code=1).err
    file.write_text("[1]")
    assert "neither" in run(capsys, "evidence", "verify", file, code=2).err
    assert "cannot be read" in run(capsys, "evidence", "verify", tmp_path / "none", code=2).err


def test_one_offence_is_shown_by_its_id_and_judged(capsys, tmp_path, monkeypatch):
    proof, (rule, who, place) = EXAMPLES["two votes"]
    entry = evidence_to_json(EvidenceView(Offence(rule, ValidatorIndex(who), place), encode_proof(proof)))
    other = "0x" + Offence(rule, ValidatorIndex(who), place + 1).encode().hex()
    with node({"seq_getEvidence": lambda params: [entry] if params["id"] == entry["id"] else []}) as (url, _):
        shown = run(capsys, "evidence", "show", entry["id"], "--url", url).out
        printed = run(capsys, "evidence", "show", entry["id"], "--url", url, "--json").out
        assert "keeps no proof of E3" in run(capsys, "evidence", "show", other, "--url", url, code=1).err
        assert "is no offence" in run(capsys, "evidence", "show", "0x01", "--url", url, code=2).err
    assert "E3" in shown
    assert entry["proof"] not in shown
    assert json.loads(printed) == entry
    monkeypatch.setattr("sequencer.keys.genesis_file.load_genesis", lambda path: CHAIN)
    file = tmp_path / "evidence.json"
    file.write_text(printed)
    assert "E3" in run(capsys, "evidence", "verify", file).out
    with node({"seq_getEvidence": [entry]}) as (url, _):
        assert "another offence" in run(capsys, "evidence", "show", other, "--url", url, code=1).err
