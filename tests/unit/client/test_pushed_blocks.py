"""Blocks that come by subscription: what is held without a proof is bounded, and costs nothing while more comes."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from consensus.numbers import NamespaceIndex
from sequencer.client.errors import UnprovedAnswer
from sequencer.client.parts import NamespaceBlockPart
from sequencer.client.pushed_blocks import PushedBlocks
from sequencer.client.transport import open_transport
from sequencer.client.wire import DeliveredRun
from tests.chain_run import ChainRun
from tests.committee import FIRST, Committee

COMMITTEE = Committee()


class CountedRuns(tuple[DeliveredRun, ...]):
    """Counts how often it is gone through."""

    passes = 0

    def __iter__(self) -> Iterator[DeliveredRun]:
        CountedRuns.passes += 1
        return super().__iter__()


def unproved(count: int) -> list[NamespaceBlockPart]:
    """Blocks of one run each: their indices rise, and that is all."""
    run = ChainRun(COMMITTEE)
    run.block(1, run.data(0, b"x" * 1_000))
    one = run.delivered(0)
    return [
        NamespaceBlockPart(
            replace(one, block=replace(one.block, index=NamespaceIndex(index)), runs=CountedRuns(one.runs)), 0, 1
        )
        for index in range(count)
    ]


@asynccontextmanager
async def pushed() -> AsyncIterator[PushedBlocks]:
    async with open_transport(["http://127.0.0.1:1"], 1.0) as transport:
        yield PushedBlocks(transport, COMMITTEE.chain, FIRST, NamespaceIndex(0), None)


async def test_a_part_costs_the_same_however_much_is_held():
    async with pushed() as blocks:
        parts = unproved(300)
        CountedRuns.passes = 0
        for part in parts:
            assert blocks._take_part(part) == []
        assert CountedRuns.passes <= 2 * len(parts)


async def test_what_is_held_without_a_proof_is_bounded(monkeypatch):
    monkeypatch.setattr("sequencer.client.following.HELD_BYTES_MAX", 50_000)
    parts = unproved(50_000 // 2_204 + 1)
    async with pushed() as blocks:
        for _ in range(2):  # the second time over a connection that was opened again
            for part in parts[:-1]:
                blocks._take_part(part)
            with pytest.raises(UnprovedAnswer, match="without a proof"):
                blocks._take_part(parts[-1])
            blocks._begin()


async def test_what_is_proved_is_held_no_longer():
    run = ChainRun(COMMITTEE)
    async with pushed() as blocks:
        for height in range(1, 4):
            run.block(height * 10_000, run.data(0, b"%d" % height))
            part = NamespaceBlockPart(run.delivered(height - 1), 0, 1)
            assert blocks._take_part(part) == []
            (proved,) = await blocks._take_proof(run.proof(max(run.attestations)))
            assert proved.transactions == (b"%d" % height,)
            assert blocks._held_bytes == 0
