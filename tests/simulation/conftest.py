"""Simulations check the same signatures at every node and in every repetition: each is checked once."""

from functools import lru_cache

import pytest

from consensus import signing


@pytest.fixture(autouse=True, scope="session")
def _remembered_signatures():
    """A pure function, so what it found stays true."""
    original = signing.is_signature
    signing.is_signature = lru_cache(maxsize=65_536)(original)
    yield
    signing.is_signature = original
