"""A real L1 for tests: anvil on a free port, gone when the test ends.

Tests that use it start a real process: mark them `e2e`. `make_anvil(…)` takes the options of `AnvilOptions`; the
default here is a block for each transaction and none without, so that a test decides when time passes (`mine`). A
receipt may be there only a moment after its transaction was taken.
"""

import itertools
import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import trio

from sequencer.l1dev.anvil import find_anvil
from sequencer.l1dev.running import Anvil, AnvilOptions

T = TypeVar("T")

PATIENCE_S = 60.0
POLL_S = 0.02
RICH_SECRET = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")  # anvil's first account
RICH_ADDRESS = bytes.fromhex("f39fd6e51aad88f6f4ce6ab8827279cfffb92266")
EVERY_SECOND: dict[str, Any] = {"block_time_s": 1}


def ask(url: str, method: str, *parameters: Any) -> Any:
    """The result of one JSON-RPC request; an error fails the test."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        fields = json.load(answer)
    assert "error" not in fields, fields
    return fields["result"]


async def until(condition: Callable[[], T]) -> T:
    """Waits for what has to come true, and returns it; how long it takes is not what is tested."""
    with trio.fail_after(PATIENCE_S):
        while not (value := condition()):  # noqa: ASYNC110 (another process's state)
            await trio.sleep(POLL_S)
        return value


class TestAnvil(Anvil):
    """An anvil that answers plain questions without an event loop."""

    __test__ = False

    def ask(self, method: str, *parameters: Any) -> Any:
        """The result of one JSON-RPC request; an error fails the test."""
        return ask(self.url, method, *parameters)

    def mine(self, count: int = 1) -> None:
        """Mines blocks now."""
        self.ask("anvil_mine", hex(count))

    def fund(self, address: bytes, amount_wei: int = 10**21) -> None:
        """Gives an account this balance."""
        self.ask("anvil_setBalance", f"0x{address.hex()}", hex(amount_wei))

    def wait_ready(self) -> None:
        """Returns once it answers."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.is_ready():
            assert time.monotonic() < deadline, f"anvil never answered: {self.log_file.read_text()}"
            time.sleep(POLL_S)


def start_anvil(directory, name="anvil", **options) -> TestAnvil:
    """Starts one and waits until it answers; whoever calls this ends it with `kill` or `stop`."""
    anvil = TestAnvil(find_anvil(), AnvilOptions(**{"block_time_s": None, **options}), directory / f"{name}.log")
    try:
        anvil.wait_ready()
    except BaseException:
        anvil.kill()
        raise
    return anvil


@pytest.fixture
def make_anvil(tmp_path):
    """`make_anvil(block_time_s=1, port=…, chain_id=…)`: as many as a test wants."""
    made: list[TestAnvil] = []
    numbers = itertools.count()

    def make(**options) -> TestAnvil:
        made.append(start_anvil(tmp_path, f"anvil-{next(numbers)}", **options))
        return made[-1]

    yield make
    for anvil in made:
        anvil.kill()


@pytest.fixture
def anvil(make_anvil):
    """One anvil for one test: a block for each transaction."""
    return make_anvil()


@pytest.fixture(scope="module")
def module_anvil(tmp_path_factory):
    """One anvil for all tests of a file: they share its chain, so each deploys what it wants to be alone with."""
    started = start_anvil(tmp_path_factory.mktemp("anvil"))
    yield started
    started.kill()
