"""The options of what a node serves: JSON-RPC with its WebSockets, and metrics. See `config.py`."""

from pydantic import Field

from consensus import limits
from sequencer.node.config_section import HOUR_MS, MIB, Section


class RpcSection(Section):
    """JSON-RPC server, fast door and health pages."""

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(default=8645, ge=0, le=65_535, description="TCP port to listen on; 0 picks a free one")
    request_bytes_max: int = Field(default=4 * MIB, ge=64 * 1024, le=64 * MIB, description="longest request body")
    fast_door_items_max: int = Field(
        default=4096, ge=1, le=limits.RECEIPT_ITEMS_MAX, description="most transactions in one fast-door request"
    )
    batch_calls_max: int = Field(default=100, ge=1, le=10_000, description="most calls in one JSON-RPC batch")
    connections_max: int = Field(default=1024, ge=1, le=100_000, description="most connections open at once")
    wait_timeout_max_ms: int = Field(
        default=60_000, ge=100, le=HOUR_MS, description="longest time a client may wait in seq_waitForTransaction"
    )
    web_sockets_max: int = Field(
        default=256,
        ge=0,
        le=100_000,
        description="most WebSockets open at once, each one of connections_max; one client, half of what others leave",
    )
    subscriptions_max: int = Field(default=16, ge=1, le=1_000, description="most subscriptions on one WebSocket")
    subscription_messages_max: int = Field(
        default=1024, ge=1, le=1_000_000, description="items a subscriber may lag behind before it is closed"
    )
    subscription_bytes_max: int = Field(
        default=8 * MIB, ge=64 * 1024, le=1024 * MIB, description="bytes of items a subscriber may lag behind"
    )
    origins: tuple[str, ...] = Field(
        default=(), description='web pages that may open a WebSocket, as "https://example.org"; "*" for all'
    )


class MetricsSection(Section):
    """Prometheus metrics at /metrics."""

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(default=9464, ge=0, le=65_535, description="TCP port to listen on; 0 picks a free one")
