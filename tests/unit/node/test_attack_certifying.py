"""Attacks on certifying and sharing: slow validators, another Inbox, and clients that do not read."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from consensus.numbers import BlockId, Hash, Height, Milliseconds, ValidatorIndex
from consensus.vocabulary.l1_batch import DataKind, L1Batch
from p2p.errors import RequestFailed
from sequencer.node import certifying as certifying_module
from sequencer.node.certifying import Certifying
from sequencer.node.settlement import Settlement
from sequencer.node.unposted import Unposted
from sequencer.rpc.errors import RequestRefused
from sequencer.rpc.payloads import PayloadDoor
from sequencer.settlement.errors import NoQuorum
from sequencer.settlement.sharing import ShareAnswer, ShareRequest, Word
from sequencer.telemetry.metrics import Metrics
from tests.committee import Committee


@pytest.fixture
def autojump_clock(autojump_clock):
    autojump_clock.autojump_threshold = 0.2  # threads are at work too
    return autojump_clock


COMMITTEE = Committee()
CHAIN = COMMITTEE.chain
BATCH = L1Batch(
    31_337, b"\x1b" * 20, 1, Height(1), Height(5), CHAIN.chain_id, DataKind.HELD,
    Hash(bytes(32)), BlockId(Hash(bytes(32))), Hash(bytes(32)),
)  # fmt: skip
REQUEST = ShareRequest(1, Height(1), Height(5), CHAIN.chain_id, b"")


def answer_of(index, batch=BATCH):
    signature = COMMITTEE.bls_keys[index].sign(batch.signing_digest(CHAIN.domain))
    return ShareAnswer(Word.SHARES, ((DataKind.HELD, signature),))


class Peers:
    """Validators that need `seconds` for an answer and work on one request at a time."""

    def __init__(self, seconds, batch=BATCH):
        self.seconds = seconds
        self.batch = batch
        self.accused: Counter[int] = Counter()

    def peers(self):
        return [SimpleNamespace(index=index, connected=True) for index in (1, 2, 3)]

    async def request(self, peer, kind, body, *, timeout_ms, response_bytes_max):
        with trio.move_on_after(timeout_ms / 1_000):
            await trio.sleep(self.seconds)
            return answer_of(peer, self.batch).encode()
        raise RequestFailed("timeout")

    def accuse(self, peer, fault):
        self.accused[peer] += 1


def certifying(host):
    async def own(_request):
        await trio.lowlevel.checkpoint()
        return answer_of(0)

    sharing: Any = SimpleNamespace(answer=own)
    return Certifying(chain=CHAIN, index=ValidatorIndex(0), host=host, sharing=sharing, metrics=Metrics("test"))


async def test_validators_that_need_three_seconds_are_waited_for(autojump_clock):
    certificate = await certifying(Peers(3)).certify(REQUEST, BATCH, lambda: False)
    assert len(certificate.signers) >= 3


async def test_a_validator_whose_configuration_names_another_inbox_is_not_muted(autojump_clock, monkeypatch):
    monkeypatch.setattr(certifying_module, "TIMEOUT_S", 3)
    other = L1Batch(
        31_337, b"\x1c" * 20, 1, Height(1), Height(5), CHAIN.chain_id, DataKind.HELD,
        Hash(bytes(32)), BlockId(Hash(bytes(32))), Hash(bytes(32)),
    )  # fmt: skip
    host = Peers(0.1, other)
    with pytest.raises(NoQuorum):
        await certifying(host).certify(REQUEST, BATCH, lambda: False)
    assert not host.accused


async def test_a_payload_that_is_not_read_yet_holds_the_door():
    class Service:
        async def held_payload(self, index):
            await trio.lowlevel.checkpoint()
            return bytes(64)

    context: Any = SimpleNamespace(service=Service(), metrics=Metrics("test"))
    door = PayloadDoor(context)
    request: Any = SimpleNamespace(path_params={"index": "1"})
    first = await door.answer(request)  # made, and not sent
    with pytest.raises(RequestRefused):
        await door.answer(request)
    del first


async def test_a_validator_that_does_not_post_forgets_what_others_have_posted():
    """`l1.post = false`: the backlog hears what was posted from the look, not from a poster's turn."""
    block: Any = SimpleNamespace(height=Height(1), ts_ms=Milliseconds(1), namespaces=(SimpleNamespace(byte_count=10),))
    progress: Any = SimpleNamespace(
        executed=SimpleNamespace(height=Height(1)), attested_height=Height(1), note_l1=lambda *_: None
    )
    settlement: Any = object.__new__(Settlement)
    nothing: Any = None
    settlement._progress = progress
    settlement._unposted = Unposted(nothing, progress)
    settlement._unposted.note_executed(block)
    settlement.follower = SimpleNamespace(posted_height=Height(1), settled_height=Height(0))
    assert settlement._unposted.backlog.byte_count == 10
    settlement._note_moved()
    assert settlement._unposted.backlog.byte_count == 0
