"""The attesting driver: what a silent peer, or one that is asked for much, must not hold up."""

from collections import Counter
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from consensus.numbers import GENESIS_EPOCH, BlockId, Hash, Height, ValidatorIndex
from consensus.vocabulary.attestation import Attestation, make_certificate
from sequencer.attesting import certify, events
from sequencer.attesting.attest import AttestationCore
from sequencer.node.attesting_driver import REQUESTS_MAX, AttestingDriver
from sequencer.node.failpoints import Failpoints
from sequencer.node.frames import FrameKind
from sequencer.node.outbox import Outbox
from sequencer.telemetry.metrics import Metrics
from storage.blocks import BlockStore
from storage.database import Database
from tests.committee import Committee

OWN = ValidatorIndex(0)


def attestation(height):
    return Attestation(GENESIS_EPOCH, Height(height), BlockId(height.to_bytes(32, "big")), Hash(bytes(32)))


class SilentPeers:
    """A host whose peers take everything and answer nothing."""

    def __init__(self):
        self.asked: Counter[int] = Counter()
        self.waiting = 0
        self.waiting_most = 0
        self.broadcasts = []

    def peers(self):
        return [SimpleNamespace(index=index, connected=True) for index in (1, 2, 3)]

    def broadcast(self, kind, body, *, urgent=False):
        self.broadcasts.append(kind)

    def send(self, peer, kind, body, *, urgent=False):
        return True

    async def request(self, peer, kind, body, *, timeout_ms, response_bytes_max):
        self.asked[int.from_bytes(body, "big")] += 1
        self.waiting += 1
        self.waiting_most = max(self.waiting_most, self.waiting)
        await trio.sleep_forever()


@pytest.fixture(scope="module")
def committee():
    return Committee()


@pytest.fixture
def driver(tmp_path, committee):
    chain = committee.chain
    with Database.open(tmp_path, chain.chain_id) as database:
        metrics, failpoints = Metrics("test"), Failpoints()
        yield AttestingDriver(
            chain=chain,
            key=committee.bls_keys[OWN],
            index=OWN,
            core=AttestationCore(chain, OWN),
            outbox=Outbox(database, metrics, failpoints),
            store=BlockStore(database),
            certified=lambda _: None,
            keep_evidence=lambda _: None,
            metrics=metrics,
            failpoints=failpoints,
        )


def certificate(committee, item):
    signatures = {
        ValidatorIndex(index): certify.sign_attestation(
            committee.chain, committee.bls_keys[index], ValidatorIndex(index), item
        ).signature
        for index in (1, 2, 3)
    }
    return make_certificate(item, signatures, committee.chain.validator_set.count)


async def until(condition):
    with trio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a thread
            await trio.sleep(0.001)


async def test_silent_peers_hold_up_neither_signing_nor_sending(driver, committee, nursery):
    host = SilentPeers()
    driver.attach(host)
    for task in (driver.run, driver.run_requests, driver._outbox.run):
        nursery.start_soon(task)
    lacking = range(1, 3 * REQUESTS_MAX + 1)
    newest = lacking[-1] + 1
    for height in lacking:
        driver.handle(events.AttestationDue(attestation(height)))
    driver.handle(events.CertificateReceived(certificate(committee, attestation(newest)), ValidatorIndex(1)))
    await until(lambda: driver.core.certified_height == newest)
    for _ in range(4):
        driver.handle(events.RetryPeriodPassed())
    await until(lambda: host.waiting == REQUESTS_MAX)

    driver.note_executed(Height(newest + 1), attestation(newest + 1))
    await until(lambda: FrameKind.ATTESTATION_SHARE in host.broadcasts)
    assert host.waiting_most == REQUESTS_MAX
    assert set(host.asked.values()) == {1}, "a height is asked for once at a time"
    nursery.cancel_scope.cancel()
