"""The counting guards, without a network."""

import pytest
import trio
import trio.testing

from p2p.guards import AddressPaces, HalfOpenTable, MuteList, Pace, Shelter


def test_a_mute_ends_and_a_shorter_one_does_not_shorten_it() -> None:
    mutes = MuteList()
    assert mutes.muted_until(1, now=0.0) is None
    mutes.mute(1, until=60.0)
    mutes.mute(1, until=30.0)
    assert mutes.muted_until(1, now=59.9) == 60.0
    assert mutes.muted_until(2, now=59.9) is None
    assert mutes.muted_until(1, now=60.0) is None


def test_pace_allows_a_burst_and_then_its_rate() -> None:
    pace = Pace(burst=3, per_second=2.0, now=0.0)
    assert [pace.take(0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert pace.take(0.0) == pytest.approx(0.5)
    assert pace.take(0.25) == pytest.approx(0.25)
    assert pace.take(0.5) == 0.0
    assert pace.take(0.5) > 0
    assert [pace.take(1_000.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert pace.take(1_000.0) > 0


def test_addresses_have_paces_of_their_own_and_few_are_remembered() -> None:
    paces = AddressPaces(burst=1, per_second=1.0, addresses_max=2)
    assert paces.allows("a", 0.0)
    assert not paces.allows("a", 0.0)
    assert paces.allows("b", 0.0)
    assert not paces.allows("a", 0.0)
    assert paces.allows("c", 0.0)
    assert paces.allows("b", 0.0), "b was seen longest ago and is forgotten"


class FakeConnection:
    def __init__(self) -> None:
        self.closed = False

    def hard_close(self) -> None:
        self.closed = True


def test_an_address_over_its_share_loses_its_own_oldest() -> None:
    table = HalfOpenTable(connections_max=10, per_address_max=2)
    first, second, third, other = (FakeConnection() for _ in range(4))
    assert table.enter(other, "honest") == 0
    assert table.enter(first, "flood") == 0
    assert table.enter(second, "flood") == 0
    assert table.enter(third, "flood") == 1
    assert [connection.closed for connection in (first, second, third, other)] == [True, False, False, False]
    assert len(table) == 3


def test_a_full_table_takes_from_the_address_with_the_most() -> None:
    table = HalfOpenTable(connections_max=3, per_address_max=2)
    honest, first, second, newcomer = (FakeConnection() for _ in range(4))
    table.enter(honest, "honest")
    table.enter(first, "flood")
    table.enter(second, "flood")
    assert table.enter(newcomer, "newcomer") == 1
    assert first.closed
    assert not honest.closed
    assert len(table) == 3


def test_leaving_makes_room_and_leaving_twice_does_nothing() -> None:
    table = HalfOpenTable(connections_max=1, per_address_max=1)
    first, second = FakeConnection(), FakeConnection()
    table.enter(first, "a")
    table.leave(first)
    table.leave(first)
    assert table.enter(second, "a") == 0
    assert len(table) == 1


async def test_shelter_lets_a_callback_finish_what_its_link_cancels(autojump_clock: trio.testing.MockClock) -> None:
    shelter = Shelter()
    finished = False

    async def callback() -> None:
        nonlocal finished
        await trio.sleep(5)
        finished = True

    with trio.CancelScope() as link:
        link.cancel()
        await shelter.run(callback)
    assert finished


async def test_a_lifted_shelter_protects_nothing(autojump_clock: trio.testing.MockClock) -> None:
    shelter = Shelter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shelter.run, trio.sleep_forever)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        shelter.lift()
    with trio.move_on_after(1) as scope:
        await shelter.run(trio.sleep_forever)
    assert scope.cancelled_caught


async def test_shelter_returns_and_raises_what_the_callback_does() -> None:
    async def answer() -> bytes:
        return b"answer"

    async def fail() -> bytes:
        raise KeyError("no")

    assert await Shelter().run(answer) == b"answer"
    with pytest.raises(KeyError):
        await Shelter().run(fail)
