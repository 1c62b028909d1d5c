"""Frames: how one stream of bytes is cut into messages, and how a request and its answer are laid out.

    frame    u32 length of the body ‖ u8 kind ‖ body
    request  u8 kind   ‖ u32 length of the body ‖ body
    answer   u8 status ‖ u32 length of the body ‖ body

This file is responsible for cutting and bounding. It does no I/O and never looks inside a body.

1. A length is compared with the bound of its kind as soon as the header has arrived, before anything is kept for it.
2. A kind without a bound is refused by its header alone.
3. After a refusal the decoder refuses everything: the place of the next header is unknown.
"""

from collections import deque
from collections.abc import Mapping
from enum import IntEnum
from struct import Struct

from p2p.bounds import SMALL_BYTES
from p2p.errors import PeerFault

_FRAME_HEADER = Struct("!IB")
_EXCHANGE_HEADER = Struct("!BI")
EXCHANGE_HEADER_BYTES = _EXCHANGE_HEADER.size


class AnswerStatus(IntEnum):
    """First byte of an answer."""

    ANSWERED = 0
    REFUSED = 1


def frame_parts(kind: int, body: bytes) -> tuple[bytes, bytes]:
    """One frame as it is queued for any number of peers: the body is shared and never copied for it."""
    return _FRAME_HEADER.pack(len(body), kind), body


def encode_frame(kind: int, body: bytes) -> bytes:
    """One frame in one piece."""
    return b"".join(frame_parts(kind, body))


class FrameDecoder:
    """Cuts what one stream delivers into frames. `bounds` maps a kind to the largest body it may have."""

    def __init__(self, bounds: Mapping[int, int]) -> None:
        self.bounds = bounds
        self.buffered_bytes = 0
        """Received and not yet returned as part of a frame."""
        self._chunks: deque[bytes] = deque()
        self._start = 0  # in the first chunk
        self._header: tuple[int, int] | None = None  # length and kind of the frame that arrives
        self._refused: PeerFault | None = None

    def feed(self, data: bytes) -> None:
        """Take what was read from the stream; what is not small is not copied. `data` may end anywhere."""
        if data:
            if self._chunks and len(self._chunks[-1]) + len(data) <= SMALL_BYTES:
                self._chunks[-1] += data  # or a frame that comes by the byte would be a million objects
            else:
                self._chunks.append(data)
            self.buffered_bytes += len(data)

    def next_frame(self) -> tuple[int, bytes] | None:
        """The next whole frame, as (kind, body), if it has arrived. Raises PeerFault if its header breaks its bound."""
        if self._refused is not None:
            raise self._refused
        if self._header is None:
            if self.buffered_bytes < _FRAME_HEADER.size:
                return None
            length, kind = _FRAME_HEADER.unpack(self._take(_FRAME_HEADER.size))
            self._check(kind, length)
            self._header = length, kind
        length, kind = self._header
        if self.buffered_bytes < length:
            return None
        self._header = None
        return kind, self._take(length)

    def _take(self, wanted: int) -> bytes:
        """So many bytes, which have arrived: copied once, wherever the chunks end."""
        self.buffered_bytes -= wanted
        parts: list[bytes | memoryview] = []
        while wanted:
            first = self._chunks[0]
            end = min(len(first), self._start + wanted)
            part = memoryview(first)[self._start : end]
            wanted -= len(part)
            parts.append(part)
            self._start = end
            if end == len(first):
                self._chunks.popleft()
                self._start = 0
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def _check(self, kind: int, length: int) -> None:
        bytes_max = self.bounds.get(kind)
        if bytes_max is None:
            self._refused = PeerFault("unknown_kind", f"frame of kind {kind}")
        elif length > bytes_max:
            self._refused = PeerFault("oversized", f"frame of kind {kind} announces {length} bytes, bound {bytes_max}")
        if self._refused is not None:
            raise self._refused


def encode_request(kind: int, body: bytes) -> bytes:
    """A request as it is written to a stream of its own."""
    return _EXCHANGE_HEADER.pack(kind, len(body)) + body


def encode_answer(status: AnswerStatus, body: bytes) -> bytes:
    """An answer as it is written back."""
    return _EXCHANGE_HEADER.pack(status, len(body)) + body


def decode_request_header(header: bytes, bounds: Mapping[int, int]) -> tuple[int, int]:
    """(kind, length of the body) from exactly `EXCHANGE_HEADER_BYTES` bytes. Raises PeerFault over the bound."""
    kind, length = _EXCHANGE_HEADER.unpack(header)
    bytes_max = bounds.get(kind)
    if bytes_max is None:
        raise PeerFault("unknown_kind", f"request of kind {kind}")
    if length > bytes_max:
        raise PeerFault("oversized", f"request of kind {kind} announces {length} bytes, bound {bytes_max}")
    return kind, length


def decode_answer_header(header: bytes, bytes_max: int, refusal_bytes_max: int) -> tuple[AnswerStatus, int]:
    """(status, length of the body) from exactly `EXCHANGE_HEADER_BYTES` bytes. Raises PeerFault over the bound."""
    value, length = _EXCHANGE_HEADER.unpack(header)
    try:
        status = AnswerStatus(value)
    except ValueError:
        raise PeerFault("bad_answer", f"unknown status {value}") from None
    bound = bytes_max if status is AnswerStatus.ANSWERED else refusal_bytes_max
    if length > bound:
        raise PeerFault("bad_answer", f"answer announces {length} bytes, bound {bound}")
    return status, length
