"""One WebSocket to one node: wsproto's machine on a trio stream, with every wait and length bounded.

Responsible for: the handshake, whole messages in, pongs, and saying who does not serve WebSockets.
Refuses to do: know JSON, run a task of its own (so that a generator may hold one), or choose a node (`transport.py`).

Invariants:
1. Whatever the node or the network does ends in a message or in a `ClientError`.
2. A message has at most MESSAGE_BYTES_MAX bytes; nothing is decompressed.
3. A node that sends nothing for SILENCE_SECONDS_MAX is gone: it pings several times within it.
4. A frame that brings nothing costs no memory, and others get a turn of the event loop before the next one: a read
   brings ten thousand of them.
"""

import ssl
from collections.abc import Iterator
from io import StringIO
from urllib.parse import urlsplit

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Message,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from sequencer.client.errors import MalformedAnswer, NodeUnreachable, NoSubscriptions

PATH = "/ws"
MESSAGE_BYTES_MAX = 64 * 1024 * 1024
SILENCE_SECONDS_MAX = 75.0
_RECEIVE_BYTES = 64 * 1024


class WebSocket:
    """An open one; get it from `open_web_socket`."""

    def __init__(self, url: str, stream: trio.abc.Stream) -> None:
        self._url = url
        self._stream = stream
        self._machine = WSConnection(ConnectionType.CLIENT)
        self._events: Iterator[Event] = iter(())  # of what was read: decoded one by one
        self._text = StringIO()  # of the message that has begun

    async def shake_hands(self, host: str, target: str) -> None:
        """Raises `NoSubscriptions` if the node answers something else."""
        await self._send(Request(host=host, target=target))
        match await self._next_event():
            case AcceptConnection():
                return
            case RejectConnection(status_code=status):
                raise NoSubscriptions(f"{self._url}: HTTP status {status} instead of a WebSocket")
            case _:
                raise NoSubscriptions(f"{self._url}: no WebSocket")

    async def send(self, text: str) -> None:
        """Sends a message."""
        await self._send(TextMessage(data=text))

    async def receive(self) -> str:
        """The next message. Raises `NodeUnreachable` once the node has closed or is gone."""
        while True:
            match await self._next_event():
                case TextMessage(data=text, message_finished=is_finished):
                    self._take(text)
                    if is_finished:
                        whole, self._text = self._text.getvalue(), StringIO()
                        return whole
                    await trio.lowlevel.checkpoint()
                case Ping() as ping:
                    await self._send(ping.response())
                case CloseConnection(code=code, reason=reason):
                    raise NodeUnreachable(f"{self._url}: closed with {code} {(reason or '')[:64]}".rstrip())
                case Message():
                    raise MalformedAnswer(f"{self._url}: a binary message")
                case _:
                    await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Closes without ceremony: what is subscribed ends with the connection."""
        await trio.aclose_forcefully(self._stream)

    def _take(self, text: str) -> None:
        if self._text.tell() + len(text) > MESSAGE_BYTES_MAX:
            raise MalformedAnswer(f"{self._url}: a message of more than {MESSAGE_BYTES_MAX} bytes")
        self._text.write(text)

    async def _send(self, event: Event) -> None:
        try:
            with trio.fail_after(SILENCE_SECONDS_MAX):
                await self._stream.send_all(self._machine.send(event))
        except ProtocolError as error:
            raise NodeUnreachable(f"{self._url}: closed") from error
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            raise NodeUnreachable(f"{self._url}: {type(error).__name__}") from error

    async def _next_event(self) -> Event:
        while True:
            try:
                for event in self._events:
                    return event
                with trio.fail_after(SILENCE_SECONDS_MAX):
                    data = await self._stream.receive_some(_RECEIVE_BYTES)
                self._machine.receive_data(bytes(data) or None)
                self._events = self._machine.events()
            except ProtocolError as error:
                raise NoSubscriptions(f"{self._url}: {error}") from error
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
                raise NodeUnreachable(f"{self._url}: {type(error).__name__}") from error


async def open_web_socket(url: str, tls: ssl.SSLContext, timeout_s: float) -> WebSocket:
    """A WebSocket to the node at `http(s)://host:port`. Raises `NodeUnreachable` or `NoSubscriptions`."""
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    stream: trio.abc.Stream | None = None
    try:
        with trio.fail_after(timeout_s):
            port = parts.port or (443 if is_tls else 80)
            stream = await trio.open_tcp_stream(parts.hostname or "", port)
            if is_tls:
                stream = trio.SSLStream(stream, tls, server_hostname=parts.hostname, https_compatible=True)
            socket = WebSocket(url, stream)
            await socket.shake_hands(parts.netloc, parts.path.rstrip("/") + PATH)
            return socket
    except BaseException as error:
        if stream is not None:
            await trio.aclose_forcefully(stream)
        if isinstance(error, (OSError, ValueError, trio.TooSlowError)):
            raise NodeUnreachable(f"{url}: {str(error) or type(error).__name__}") from error
        raise
