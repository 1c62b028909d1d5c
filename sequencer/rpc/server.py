"""The client-facing server of a node.

Responsible for: putting the parts of this room together, and stopping the node when a request met a fatal fault.
Refuses to do: anything else.

Invariants:
1. A broken invariant or storage fault met by a request is raised from `serve`, inside the node's nursery.
"""

from typing import TYPE_CHECKING

import trio

from sequencer.rpc.application import build_application
from sequencer.rpc.context import Context
from sequencer.rpc.feeds import Feeds
from sequencer.rpc.gate import Gate
from sequencer.rpc.listening import Server, serve_application
from sequencer.rpc.options import RpcOptions
from sequencer.rpc.service import Service
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # its stubs shadow trio's own types, which lack nothing but this name


async def serve(
    service: Service,
    options: RpcOptions,
    metrics: Metrics,
    *,
    task_status: "TaskStatus[Server]" = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves clients until cancelled or stopped; `task_status` gets the `Server` with its bound port.

    Raises `ListenFailed` for an address that cannot be listened on.
    """
    crashes: list[Exception] = []
    scope = trio.CancelScope()

    def crash(error: Exception) -> None:
        crashes.append(error)
        scope.cancel()

    context = Context(service, options, metrics)
    feeds = Feeds(context, crash)
    service.listen(feeds)
    application = Gate(build_application(context, feeds), metrics, crash)
    with scope:
        async with feeds.running():
            await serve_application(
                application,
                options.host,
                options.port,
                connections_max=options.connections_max,
                on_connections=lambda count: metrics.set(table.RPC_CONNECTIONS, count),
                task_status=task_status,
            )
    if crashes:
        raise crashes[0]
