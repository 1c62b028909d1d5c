"""A real server on a free port, in front of a service in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpx
import pytest
import trio

from sequencer.rpc.listening import Server
from sequencer.rpc.options import RpcOptions
from sequencer.rpc.server import serve
from sequencer.telemetry.metrics import Metrics
from tests.committee import Committee
from tests.integration.rpc.fake_service import FakeService


@pytest.fixture(scope="session")
def committee() -> Committee:
    return Committee()


@pytest.fixture
def service(committee: Committee) -> FakeService:
    return FakeService(committee)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("test")


@pytest.fixture
def options() -> RpcOptions:
    """Small bounds, so that tests reach them; tests override this fixture for others."""
    return RpcOptions(port=0, request_bytes_max=256 * 1024, batch_calls_max=8, fast_door_items_max=64)


@asynccontextmanager
async def running(service: FakeService, options: RpcOptions, metrics: Metrics) -> AsyncIterator[Server]:
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(partial(serve, service, options, metrics))
        yield server
        nursery.cancel_scope.cancel()


@pytest.fixture
async def server(service: FakeService, options: RpcOptions, metrics: Metrics) -> AsyncIterator[Server]:
    async with running(service, options, metrics) as found:
        yield found


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
async def call(http: httpx.AsyncClient):
    """Calls one method and returns the whole answer."""

    async def call_method(method: str, params: object = None) -> dict:
        request = {"jsonrpc": "2.0", "id": 1, "method": method}
        if params is not None:
            request["params"] = params
        response = await http.post("/", json=request)
        assert response.status_code == 200
        answer = response.json()
        assert answer["jsonrpc"] == "2.0"
        assert answer["id"] == 1
        return answer

    return call_method
