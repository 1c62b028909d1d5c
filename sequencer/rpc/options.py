"""The bounds of the client-facing server: those an operator sets, and those that are fixed.

Invariant: every queue, count, size and time that a client can influence is compared with one of these first.
"""

from dataclasses import dataclass

BODY_SECONDS_MAX = 30.0  # a 4 MiB body at 140 kB/s
FIRST_REQUEST_SECONDS_MAX = 10.0  # from the connection to the end of its first request's headers
IDLE_SECONDS_MAX = 60.0  # between requests; above the 5 s after which common clients let go by themselves
SEND_SECONDS_MAX = 10.0  # for any answer, and one second more for every SEND_BYTES_PER_SECOND_MIN
SEND_BYTES_PER_SECOND_MIN = 128 * 1024
DRAIN_SECONDS_MAX = 5.0  # reading away the rest of a refused body, so that the refusal arrives, also on a busy machine
DRAIN_BYTES_MAX = 8 * 1024 * 1024

BODIES_BYTES_MAX_FACTOR = 16  # bodies in memory at once, in bodies of the largest size
WAITING_CALLS_MAX = 4_096  # calls that wait for a transaction, over all clients
TRANSACTIONS_WAITING_MAX = 98_304  # transactions handed in and not yet sealed, over all clients and doors
PAGE_BYTES_MAX = 1024 * 1024  # transaction bytes in one page of namespace blocks; one run more at most
PAGE_BLOCKS_MAX = 1_000
BATCHES_PAGE_MAX = 100  # of seq_listBatches
EVIDENCE_PAGE_MAX = 100  # of seq_getEvidence
EVIDENCE_PAGE_BYTES_MAX = 4 * 1024 * 1024  # of its proofs; one more at most
NAMESPACES_PAGE_MAX = 1_000
BATCH_ANSWER_BYTES_MAX = 16 * 1024 * 1024  # calls beyond it are answered with `answer_too_large`
ANSWERS_BYTES_MAX = 256 * 1024 * 1024  # pages, answers of open batches and those on WebSockets, over all clients
WAIT_TIMEOUT_DEFAULT_MS = 10_000
RETRY_AFTER_DEFAULT_MS = 1_000

MESSAGE_BYTES_MAX = 256 * 1024  # of a client on a WebSocket
MESSAGES_PER_SECOND = 100.0  # of a client on a WebSocket, and as many at once; beyond it they are read more slowly
FRAMES_PER_SECOND = 100.0  # of a client on a WebSocket that bring next to nothing, and as many at once: likewise
FRAME_BYTES_MIN = 1_024  # in a frame that ends no message; a smaller one brings next to nothing
CALLS_AT_ONCE_MAX = 16  # messages of one WebSocket that are worked on; the next is read when one is answered
PING_SECONDS = 20.0  # between pings on a WebSocket
SILENCE_SECONDS_MAX = 60.0  # without a byte from a client on a WebSocket, pongs included
CLOSE_SECONDS_MAX = 0.5  # telling a client that its WebSocket is closed
SUBSCRIPTION_HASHES_MAX = 256  # transactions of one subscription
HASHES_FOLLOWED_MAX = 4_096  # by subscriptions, over all clients
SUBSCRIPTION_PAGE_BLOCKS = 100  # of a namespace, read at once for subscriptions
SUBSCRIPTION_PAGE_BYTES = 256 * 1024  # of transactions in such a page; one run more at most


@dataclass(frozen=True, slots=True)
class RpcOptions:
    """What an operator configures (`[rpc]`). Sizes in bytes."""

    host: str = "127.0.0.1"
    port: int = 8645  # 0 picks a free one
    request_bytes_max: int = 4 * 1024 * 1024
    fast_door_items_max: int = 4_096
    batch_calls_max: int = 100
    connections_max: int = 1_024
    wait_timeout_max_ms: int = 60_000
    web_sockets_max: int = 256
    subscriptions_max: int = 16  # of one WebSocket
    subscription_messages_max: int = 1_024  # that a subscriber may lag behind
    subscription_bytes_max: int = 8 * 1024 * 1024  # likewise
    origins: tuple[str, ...] = ()  # of web pages that may open a WebSocket
