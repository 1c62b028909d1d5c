"""One real L1 for all tests of a file. They share its chain, so each takes a desk of its own where it commits."""

import pytest

from tests.anvil import TestAnvil, start_anvil
from tests.inbox_desk import Desk, on_l1


@pytest.fixture(scope="module")
def l1(tmp_path_factory):
    """An anvil that mines a block for each transaction."""
    started: TestAnvil = start_anvil(tmp_path_factory.mktemp("l1"))
    yield started
    started.kill()


@pytest.fixture
def desk(l1):
    """A fresh Inbox of four equal validators."""
    return Desk(l1, on_l1([1, 1, 1, 1]))


@pytest.fixture(scope="module")
def advanced(l1):
    """An Inbox of unequal stakes, one batch committed; tests ask it and commit nothing."""
    desk = Desk(l1, on_l1([5, 1, 3, 2, 1, 4, 1, 1, 2]))
    assert desk.commit(desk.certify(desk.batch())).receipt.status == 1
    return desk
