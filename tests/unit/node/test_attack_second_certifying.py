"""Attacks on certifying, second reading: the own share, and what is counted after a reorganisation."""

from types import SimpleNamespace
from typing import Any

import pytest
import trio

from consensus.numbers import BlockId, Hash, Height, Milliseconds, ValidatorIndex
from consensus.vocabulary.l1_batch import DataKind, L1Batch
from sequencer.node.certifying import Certifying
from sequencer.node.unposted import Unposted
from sequencer.settlement.sharing import ShareAnswer, ShareRequest, Word
from sequencer.telemetry.metrics import Metrics
from tests.committee import Committee


@pytest.fixture
def autojump_clock(autojump_clock):
    autojump_clock.autojump_threshold = 0.2  # threads are at work too
    return autojump_clock


ZEROS = Hash(bytes(32))


def batch_of(chain):
    return L1Batch(
        31_337, b"\x1b" * 20, 1, Height(1), Height(5), chain.chain_id, DataKind.HELD, ZEROS, BlockId(ZEROS), ZEROS
    )


class Peers:
    """Validators that sign at once."""

    def __init__(self, committee, indices):
        self.committee, self.indices = committee, indices

    def peers(self):
        return [SimpleNamespace(index=index, connected=True) for index in self.indices]

    async def request(self, peer, kind, body, *, timeout_ms, response_bytes_max):
        await trio.lowlevel.checkpoint()
        return share_of(self.committee, peer).encode()


def share_of(committee, index):
    digest = batch_of(committee.chain).signing_digest(committee.chain.domain)
    return ShareAnswer(Word.SHARES, ((DataKind.HELD, committee.bls_keys[index].sign(digest)),))


@pytest.mark.parametrize(
    ("stakes", "others"), [((1,), ()), ((1, 1, 1, 1), (1, 2)), ((3, 1, 1, 1, 1, 1, 1), (1, 2, 3, 4, 5))]
)
async def test_an_own_answer_of_a_bad_moment_is_asked_for_again(stakes, others, autojump_clock):
    """One look that failed makes the own answer BEHIND; alone, or beside a dead validator, ours is needed."""
    committee = Committee(stakes=stakes)
    asked = []

    async def own(_request):
        await trio.lowlevel.checkpoint()
        asked.append(trio.current_time())
        return ShareAnswer(Word.BEHIND) if len(asked) == 1 else share_of(committee, 0)

    host: Any = Peers(committee, others)
    sharing: Any = SimpleNamespace(answer=own)
    certifying = Certifying(
        chain=committee.chain, index=ValidatorIndex(0), host=host, sharing=sharing, metrics=Metrics("test")
    )
    request = ShareRequest(1, Height(1), Height(5), committee.chain.chain_id, b"")
    certificate = await certifying.certify(request, batch_of(committee.chain), lambda: False)
    assert 0 in certificate.signers


class Reader:
    """Every height holds ten bytes."""

    def with_data(self, first, last):
        for height in range(first, last + 1):
            yield SimpleNamespace(height=Height(height), ts_ms=Milliseconds(height), byte_count=10)


async def test_what_a_look_saw_posted_and_a_reorganisation_took_back_waits_again():
    """The poster was busy during the look that saw the batch: only `note_posted` heard of it."""
    progress: Any = SimpleNamespace(executed=SimpleNamespace(height=Height(10)), attested_height=Height(10))
    reader: Any = Reader()
    unposted = Unposted(reader, progress)
    await unposted.catch_up(Height(0))
    assert unposted.backlog.byte_count == 100
    unposted.note_posted(Height(10))  # a look; the poster is in the middle of a turn
    unposted.note_posted(Height(0))  # the next look: the L1 took it back
    await unposted.catch_up(Height(0))
    assert unposted.backlog.byte_count == 100
