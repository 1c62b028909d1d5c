"""Places that are bounded over all who want them."""

from contextlib import ExitStack, suppress

import pytest

from sequencer.rpc.errors import RequestRefused
from sequencer.rpc.places import FairPlaces


def test_places_are_given_back_whatever_happens():
    places = FairPlaces(4)
    with places.taken("a", 2), pytest.raises(RequestRefused, match="overloaded"), places.taken("a", 1):
        pass
    with pytest.raises(KeyError), places.taken("a", 2):
        raise KeyError
    with places.taken("a", 2):
        pass


def test_nobody_takes_every_place():
    places = FairPlaces(100)
    with places.taken("a", 50), places.taken("b", 25), pytest.raises(RequestRefused), places.taken("a", 1):
        pass
    with places.taken("a", 50):
        pass
    assert places._taken == {}


def test_owners_that_are_counted_have_places_of_their_own():
    places = FairPlaces(1_000, owner_count=20)
    with ExitStack() as held:
        for owner in range(19):
            with suppress(RequestRefused):
                while True:
                    held.enter_context(places.taken(owner, 1))
        held.enter_context(places.taken(19, 12))
        assert places._total <= 1_000
    assert places._taken == {}
