"""What every test shares: how hypothesis searches, and an L1. Other fixtures live beside the tests that use them."""

import os

import pytest
from hypothesis import settings

from tests.anvil import anvil, make_anvil, module_anvil

__all__ = ["anvil", "make_anvil", "module_anvil", "pytest_addoption"]

# Never a timed assertion: a busy machine must not fail a property. In CI the search is the same in every run, so that
# a red run can be repeated; elsewhere it looks somewhere new each time.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Stands here because pytest reads options from the topmost conftest only."""
    parser.addoption("--rewrite-scripts", action="store_true", help="record the traces in tests/scripts anew")
