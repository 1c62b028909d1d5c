"""Clients that misbehave on the socket: each costs itself its connection, and nobody else anything."""

import math
from contextlib import asynccontextmanager
from functools import partial

import httpx
import pytest
import trio

from consensus.errors import BrokenInvariant
from sequencer.rpc.errors import ListenFailed
from sequencer.rpc.listening import Server, serve_application
from sequencer.rpc.options import RpcOptions
from sequencer.rpc.server import serve
from sequencer.telemetry import table
from sequencer.telemetry.exposition import exposition_application
from storage.errors import StorageFault
from tests.integration.rpc.conftest import running
from tests.integration.rpc.streams import read_all

PATH = b"/v1/namespaces/1001/transactions"
SEND = {"jsonrpc": "2.0", "id": 1, "method": "seq_sendTransaction", "params": [1001, "0x01"]}


async def connect(server: Server) -> trio.SocketStream:
    return await trio.open_tcp_stream(server.host, server.port)


async def ask(server: Server, data: bytes) -> bytes:
    """Sends `data` and reads until the server closes."""
    stream = await connect(server)
    async with stream:
        await stream.send_all(data)
        return await read_all(stream)


def head(verb: bytes = b"POST", path: bytes = PATH, *lines: bytes) -> bytes:
    return b"\r\n".join([verb + b" " + path + b" HTTP/1.1", b"host: x", *lines, b"", b""])


OCTETS = b"content-type: application/octet-stream"


@pytest.fixture
async def alive(http):
    """After each test the server still answers others."""
    yield
    response = await http.post("/", json=SEND)
    assert "result" in response.json()


@pytest.mark.usefixtures("alive")
class TestBodies:
    @pytest.fixture(autouse=True)
    def short_drain(self, monkeypatch):
        monkeypatch.setattr("sequencer.rpc.gate.DRAIN_SECONDS_MAX", 0.1)

    async def test_a_declared_length_above_the_bound_is_refused_before_it_is_read(self, server):
        answer = await ask(server, head(b"POST", PATH, OCTETS, b"content-length: 99999999999"))
        assert answer.startswith(b"HTTP/1.1 413 ")

    async def test_an_undeclared_length_is_refused_as_soon_as_it_is_above_the_bound(self, server):
        chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
        answer = await ask(server, head(b"POST", PATH, OCTETS, b"transfer-encoding: chunked") + chunk * 5)
        assert answer.startswith(b"HTTP/1.1 413 ")

    @pytest.mark.parametrize("declared", [b"-1", b"1, 2", b"0x10", b"1_000", b"\xc2\xb2"])
    async def test_a_senseless_length_is_refused(self, server, declared):
        answer = await ask(server, head(b"POST", PATH, OCTETS, b"content-length: " + declared))
        assert answer.startswith(b"HTTP/1.1 400 ")

    @pytest.mark.parametrize("drained_bytes", [1024 * 1024, 2**40])
    async def test_a_client_that_sends_on_gets_its_refusal_and_is_then_closed(self, server, monkeypatch, drained_bytes):
        monkeypatch.setattr("sequencer.rpc.gate.DRAIN_BYTES_MAX", drained_bytes)
        stream = await connect(server)
        answers = []
        async with stream, trio.open_nursery() as nursery:

            async def send_for_ever() -> None:
                await stream.send_all(head(b"POST", b"/nowhere", OCTETS, b"content-length: 999999999"))
                try:
                    while True:
                        await stream.send_all(bytes(65_536))
                except trio.BrokenResourceError:
                    pass

            nursery.start_soon(send_for_ever)
            answers.append(await read_all(stream))
        assert answers[0].startswith(b"HTTP/1.1 404 ")

    async def test_a_body_that_stops_arriving_is_refused_in_time(self, server, monkeypatch):
        monkeypatch.setattr("sequencer.rpc.bodies.BODY_SECONDS_MAX", 0.05)
        answer = await ask(server, head(b"POST", PATH, OCTETS, b"content-length: 100") + b"abc")
        assert answer.startswith(b"HTTP/1.1 408 ")

    async def test_an_unread_body_does_not_end_a_connection_that_can_go_on(self, server):
        stream = await connect(server)
        async with stream:
            await stream.send_all(head(b"POST", b"/nowhere", OCTETS, b"content-length: 200000") + bytes(200_000))
            await stream.send_all(head(b"GET", b"/livez", b"connection: close"))
            answer = await read_all(stream)
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"HTTP/1.1 200 " in answer


@pytest.mark.usefixtures("alive")
class TestHttp:
    @pytest.mark.parametrize(
        "data",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),  # TLS
            b"GET\r\n\r\n",
            b"POST / HTTP/1.1\r\nno colon\r\n\r\n",
            b"POST / HTTP/1.1\r\n\r\n",  # no host
            head(b"GET", b"/livez", b"a: " + bytes([0])),
            head(b"GET", b"/livez", b"x: " + b"y" * 100_000),
            head(b"GET", b"/livez", b"transfer-encoding: chunked") + b"zz\r\n",
        ],
    )
    async def test_what_is_not_http_is_refused_and_closed(self, server, data):
        answer = await ask(server, data)
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))

    async def test_http_2_is_not_spoken(self, server):
        upgrade = (b"connection: upgrade, http2-settings, close", b"upgrade: h2c", b"http2-settings: !!!not base64")
        assert (await ask(server, head(b"GET", b"/livez", *upgrade))).startswith(b"HTTP/1.1 200 ")
        answer = await ask(server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        assert answer.startswith(b"HTTP/1.1 ")
        assert b" 101 " not in answer

    async def test_a_websocket_elsewhere_is_refused(self, server):
        handshake = (
            b"connection: upgrade",
            b"upgrade: websocket",
            b"sec-websocket-version: 13",
            b"sec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==",
        )
        assert (await ask(server, head(b"GET", b"/", *handshake))).startswith(b"HTTP/1.1 403 ")

    async def test_requests_on_one_connection_are_answered_in_order(self, server):
        answer = await ask(server, head(b"GET", b"/livez") * 3 + head(b"GET", b"/nowhere", b"connection: close"))
        assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"200", b"404"]


@pytest.mark.usefixtures("alive")
class TestWaits:
    async def test_a_client_that_says_nothing_is_closed(self, server, monkeypatch):
        monkeypatch.setattr("sequencer.rpc.connection.FIRST_REQUEST_SECONDS_MAX", 0.05)
        assert await ask(server, b"") == b""
        assert await ask(server, b"GET /livez HTTP/1.1\r\nhost:") == b""

    async def test_a_client_that_goes_quiet_is_closed(self, server, monkeypatch):
        monkeypatch.setattr("sequencer.rpc.connection.IDLE_SECONDS_MAX", 0.05)
        answer = await ask(server, head(b"GET", b"/livez"))
        assert answer.startswith(b"HTTP/1.1 200 ")

    async def test_a_request_that_takes_long_is_not_idle(self, server, service):
        service.sealed = trio.Event()
        body = b'{"jsonrpc":"2.0","id":1,"method":"seq_sendTransaction","params":[1001,"0x77"]}'
        stream = await connect(server)
        async with stream:
            length = b"content-length: %d" % len(body)
            await stream.send_all(head(b"POST", b"/", b"content-type: application/json", length) + body)
            await service.submitting.wait()
            (connection,) = server._connections
            assert connection._scope.deadline == math.inf
            service.sealed.set()
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_never_reads_its_answer_is_closed(monkeypatch):
    monkeypatch.setattr("sequencer.rpc.connection.SEND_SECONDS_MAX", 0.05)
    monkeypatch.setattr("sequencer.rpc.connection.SEND_BYTES_PER_SECOND_MIN", 1024**4)
    all_gone = trio.Event()

    async def answer_at_length(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(64 * 1024 * 1024)})

    async with serving(answer_at_length, on_connections=lambda count: all_gone.set() if count == 0 else None) as server:
        stream = await connect(server)
        async with stream:
            await stream.send_all(head(b"GET", b"/"))
            await all_gone.wait()


async def test_an_exception_of_the_http_library_ends_one_connection_only(monkeypatch):
    async def fail(*_arguments: object) -> None:
        raise AttributeError("a bug that a client found")

    monkeypatch.setattr("sequencer.rpc.connection._Http11.handle", fail)
    async with serving(None) as server:
        assert await ask(server, b"anything") == b""
        assert await ask(server, b"anything") == b""


async def test_connections_are_bounded(service, metrics):
    async with running(service, RpcOptions(port=0, connections_max=2), metrics) as server:
        held = [await connect(server) for _ in range(2)]
        for stream in held:  # answered, so both are accepted
            await stream.send_all(head(b"GET", b"/livez"))
            await stream.receive_some()
        assert metrics.value(table.RPC_CONNECTIONS) == 2
        refusal = await ask(server, b"")
        assert refusal.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in refusal
        for stream in held:
            await stream.aclose()


class TestLifecycle:
    async def test_a_port_in_use_is_named(self, service, metrics, server):
        with pytest.raises(ListenFailed, match=rf"{server.port}: Address already in use.*Stop what uses the port"):
            await serve(service, RpcOptions(port=server.port), metrics)

    async def test_an_address_that_is_not_ours_is_named(self, service, metrics):
        with pytest.raises(ListenFailed, match=r"192\.0\.2\.1"):
            await serve(service, RpcOptions(host="192.0.2.1", port=0), metrics)

    async def test_stopping_lets_current_requests_end(self, service, options, metrics):
        service.sealed = trio.Event()
        answers = []
        async with running(service, options, metrics) as server, httpx.AsyncClient(trust_env=False) as http:
            idle = await connect(server)

            async def send() -> None:
                answers.append(await http.post(server.url, json=SEND))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                await service.submitting.wait()
                nursery.start_soon(server.stop, 30)
                assert await idle.receive_some() == b""  # nothing in progress here: closed at once
                with pytest.raises(OSError, match="connect"):
                    await connect(server)
                service.sealed.set()
            await idle.aclose()
        assert "result" in answers[0].json()

    async def test_stopping_does_not_wait_for_ever(self, service, options, metrics):
        service.sealed = trio.Event()
        async with (
            running(service, options, metrics) as server,
            httpx.AsyncClient(trust_env=False) as http,
            trio.open_nursery() as nursery,
        ):

            async def send() -> None:
                with pytest.raises(httpx.TransportError):
                    await http.post(server.url, json=SEND)

            nursery.start_soon(send)
            await service.submitting.wait()
            await server.stop(0.01)

    @pytest.mark.parametrize("fault", [BrokenInvariant("two blocks at height 7"), StorageFault("the disk lies")])
    @pytest.mark.parametrize("batch", [False, True])
    async def test_a_fatal_fault_met_by_a_request_stops_the_node(self, service, options, metrics, fault, batch):
        service.failure = fault
        with pytest.RaisesGroup(type(fault), flatten_subgroups=True):
            async with running(service, options, metrics) as server, httpx.AsyncClient(trust_env=False) as http:
                response = await http.post(server.url, json=[SEND] if batch else SEND)
                assert (response.status_code, response.json()["error"]["data"]) == (500, {"reason": "internal"})
                await trio.sleep_forever()


async def test_metrics_are_served_on_a_port_of_their_own(metrics):
    metrics.add(table.MEMPOOL_EXPIRED, 2, "1001")
    async with serving(exposition_application(metrics)) as server, httpx.AsyncClient(trust_env=False) as http:
        response = await http.get(f"{server.url}/metrics")
        assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert 'sequencer_mempool_expired_total{namespace="1001"} 2.0' in response.text
        assert (await http.get(f"{server.url}/")).status_code == 404


@asynccontextmanager
async def serving(application, **further):
    async with trio.open_nursery() as nursery:
        yield await nursery.start(partial(serve_application, application, "127.0.0.1", 0, **further))
        nursery.cancel_scope.cancel()
