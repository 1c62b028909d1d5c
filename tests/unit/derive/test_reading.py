"""Reading everything from an L1: pages, held payloads, and an endpoint that leaves something out."""

from dataclasses import replace

import httpx
import pytest
import trio

from consensus import limits
from consensus.signing import sha256
from consensus.vocabulary.l1_batch import DataKind
from sequencer.derive import held
from sequencer.derive.batches import BatchDeriver
from sequencer.derive.errors import PayloadUnavailable, WrongBatch
from sequencer.derive.held import ATTEMPTS_MAX, PAUSE_SECONDS, STALL_SECONDS, open_held_payloads
from sequencer.derive.namespace_blocks import DerivedBlock
from sequencer.derive.reading import PAGE_BLOCKS, derive_all
from sequencer.l1.inbox import Inbox
from sequencer.l1.json_rpc import L1Client
from tests.chain_run import ChainRun
from tests.committed_chain import INBOX, CommittedChain, on_l1
from tests.committee import Committee
from tests.unit.l1.fake_endpoint import Body, FakeEndpoint

HELD, CALLDATA = DataKind.HELD, DataKind.CALLDATA


@pytest.fixture
def chain():
    run = ChainRun(on_l1(Committee()))
    for number in range(6):
        run.block(10 * (number + 1), run.data(number % 4, b"item %d" % number))
    chain = CommittedChain(run)
    for last, kind in ((1, HELD), (3, CALLDATA), (5, HELD), (6, CALLDATA)):
        chain.commit(last, kind)
    return chain


async def read(chain, inbox=None, blocks=None):
    deriver, found = BatchDeriver(chain.committee.chain, INBOX), list[DerivedBlock]()
    l1_blocks = blocks or range(chain.last_block + 1)
    told = [item async for item in derive_all(deriver, chain, inbox or chain, chain, l1_blocks, found.append)]
    return found, told


async def test_everything_is_read_in_order_and_progress_is_told(chain):
    found, told = await read(chain)
    assert [one.transactions for one in found] == [(b"item %d" % number,) for number in range(6)]
    assert [item.derived.batch.index for item in told if item.derived] == [1, 2, 3, 4]
    assert (told[-1].l1_block, told[-1].next_index, told[-1].batch_count) == (chain.last_block, 5, 4)


async def test_the_l1_is_read_page_by_page(chain):
    moved = CommittedChain(chain.run)
    for last in (2, 6):
        moved.commit(last, CALLDATA)
    far = PAGE_BLOCKS * 2 + 7
    moved.batches[1] = replace(moved.batches[1], block_number=far)

    class Far(CommittedChain):
        last_block = far + 1

    reader = Far(moved.run, moved.batches)
    found, _ = await read(reader)
    assert len(found) == 6
    assert reader.asked == [(0, 511), (512, 1023), (1024, far + 1)]


async def test_an_event_that_is_left_out_is_missed(chain):
    class Forgetful(CommittedChain):
        async def committed(self, first_block, last_block):
            return [item for item in await super().committed(first_block, last_block) if item is not self.batches[gone]]

    for gone in range(4):
        with pytest.raises(WrongBatch, match="should come now" if gone < 3 else "do not lead to batch 4"):
            await read(chain, Forgetful(chain.run, chain.batches))


async def test_reading_may_end_before_the_newest_batch(chain):
    for end in range(chain.last_block + 1):
        found, told = await read(chain, blocks=range(end + 1))
        assert told[-1].next_index - 1 == sum(item.block_number <= end for item in chain.batches)
        assert told[-1].batch_count == 4
        assert len(found) == sum(height <= end for height in (3, 6, 6, 9, 9, 12))


async def test_the_batches_that_follow_must_lead_to_the_newest_one(chain):
    class Forgetful(CommittedChain):
        async def committed(self, first_block, last_block):
            found = await super().committed(first_block, last_block)
            return [item for item in found if item is not self.batches[gone] or last_block <= 3]

    for gone in range(1, 4):
        with pytest.raises(WrongBatch, match="should come now" if gone < 3 else "do not lead to batch 4"):
            await read(chain, Forgetful(chain.run, chain.batches), range(4))


async def test_a_beginning_that_is_too_late_is_told(chain):
    with pytest.raises(WrongBatch, match="batch 1 should come now"):
        await read(chain, blocks=range(6, chain.last_block + 1))


async def test_a_held_payload_that_nobody_has_ends_reading(chain):
    del chain.held[3]
    with pytest.raises(PayloadUnavailable) as raised:
        await read(chain)
    assert raised.value.index == 3


async def test_through_the_real_binding(chain):
    endpoint = FakeEndpoint(chain.answer)
    async with L1Client("http://l1.example", transport=endpoint) as client:
        inbox = Inbox(client, INBOX)
        await inbox.require_chain(chain.committee.chain)
        found, _ = await read(chain, inbox)
    assert len(found) == 6


class Nodes(httpx.AsyncBaseTransport):
    """Nodes by host name; each answers with a status and a body, or what its function does."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    async def handle_async_request(self, request):
        self.asked.append(request.url.host)
        assert request.headers["accept-encoding"] == "identity"
        assert request.url.path == "/v1/batches/7/payload"
        answer = self.answers[request.url.host]
        if callable(answer):
            answer = await answer()
        status, body = answer
        return httpx.Response(status, stream=Body([body]) if isinstance(body, bytes) else body)


PAYLOAD = b"the payload" * 1000


async def fetch(nodes, times=1):
    urls = [f"http://{name}/" for name in nodes.answers]
    async with open_held_payloads(urls, nodes) as payloads:
        return [await payloads.fetch(7, sha256(PAYLOAD)) for _ in range(times)]


class Endless(httpx.AsyncByteStream):
    """A body that never ends; `pause_s` between pieces of `size`."""

    def __init__(self, size, pause_s):
        self.size, self.pause_s, self.taken = size, pause_s, 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        await trio.sleep(self.pause_s)
        self.taken += self.size
        return bytes(self.size)


async def test_the_next_node_is_asked_and_the_one_that_answered_first_from_then_on():
    async def away():
        raise httpx.ConnectError("nobody listens")

    nodes = Nodes(away=away, absent=(404, b""), liar=(200, b"x" * 11_000), moved=(302, b""), good=(200, PAYLOAD))
    assert await fetch(nodes, times=2) == [PAYLOAD] * 2
    assert nodes.asked == ["away", "absent", "liar", "moved", "good", "good"]


async def test_every_answer_is_told_if_none_is_of_use():
    with pytest.raises(PayloadUnavailable) as raised:
        await fetch(Nodes(absent=(404, b""), liar=(200, b"x")))
    assert "http://absent: HTTP 404" in str(raised.value)
    assert "http://liar: its answer does not have the certified hash" in str(raised.value)
    with pytest.raises(PayloadUnavailable, match="no node was named"):
        await fetch(Nodes())


async def test_busy_nodes_are_asked_again_a_few_times(autojump_clock):
    answers = iter([(503, b""), (429, b""), (200, PAYLOAD)])

    async def busy():
        return next(answers)

    nodes = Nodes(busy=busy, absent=(404, b""))
    assert await fetch(nodes) == [PAYLOAD]
    assert nodes.asked == ["busy", "absent"] * 2 + ["busy"]
    assert trio.current_time() >= 2 * PAUSE_SECONDS
    always = Nodes(busy=(503, b""))
    with pytest.raises(PayloadUnavailable, match="HTTP 503"):
        await fetch(always)
    assert len(always.asked) == ATTEMPTS_MAX


async def test_a_node_that_drips_is_given_up(autojump_clock):
    drip = Endless(1, 1.0)
    nodes = Nodes(drip=(200, drip), good=(200, PAYLOAD))
    assert await fetch(nodes) == [PAYLOAD]
    assert drip.taken <= STALL_SECONDS + 1
    assert trio.current_time() <= STALL_SECONDS + 1


async def test_a_node_that_goes_on_is_waited_for_as_long_as_it_does(autojump_clock):
    class Slow(Endless):
        async def __anext__(self):
            if self.taken == 4 * self.size:
                raise StopAsyncIteration
            return await super().__anext__()

    slow = Slow(1024 * 1024, STALL_SECONDS - 1)
    body = bytes(4 * slow.size)
    async with open_held_payloads(["http://slow"], Nodes(slow=(200, slow))) as payloads:
        assert await payloads.fetch(7, sha256(body)) == body
    assert trio.current_time() > 3 * STALL_SECONDS


async def test_an_answer_without_end_is_cut(monkeypatch):
    monkeypatch.setattr(held, "PAYLOAD_BLOCK_BYTES_MAX", 200_000)
    assert limits.PAYLOAD_BLOCK_BYTES_MAX > 200_000
    endless = Endless(10_000, 0)
    with pytest.raises(PayloadUnavailable, match="too long"):
        await fetch(Nodes(endless=(200, endless)))
    assert endless.taken <= 300_000


async def test_an_address_that_is_none_is_an_answer_too():
    async with open_held_payloads(["http://[", "ftp://x"], None) as payloads:
        with pytest.raises(PayloadUnavailable):
            await payloads.fetch(7, sha256(PAYLOAD))
