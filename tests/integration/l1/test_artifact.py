"""The committed artifact of the Inbox: the compiler's output from the committed source, and what the binding calls."""

import hashlib

from eth_utils.abi import event_abi_to_log_topic, function_abi_to_4byte_selector

from sequencer.l1.contracts.compile import ARTIFACT, SOURCE, compile_inbox, render
from sequencer.l1.inbox import COMMIT_SELECTOR, COMMITTED_TOPIC, artifact

RUNTIME_BYTES_MAX = 24_576  # EIP-170


def test_recompiling_gives_the_same_bytes():
    assert ARTIFACT.read_text() == render(compile_inbox())


def test_the_artifact_is_of_this_source_and_fits_on_an_l1():
    assert artifact()["source_sha256"] == hashlib.sha256(SOURCE.read_bytes()).hexdigest()
    assert len(bytes.fromhex(artifact()["runtime_bytecode"][2:])) <= RUNTIME_BYTES_MAX


def test_the_binding_calls_what_the_contract_has():
    entries = {entry.get("name"): entry for entry in artifact()["abi"]}
    assert function_abi_to_4byte_selector(entries["commit"]) == COMMIT_SELECTOR
    assert event_abi_to_log_topic(entries["BatchCommitted"]) == COMMITTED_TOPIC
    assert {"head", "identity", "validator", "next_index", "next_height", "head_hash", "last_commit_block"} <= set(
        entries
    )
