"""The HTTP application: what is served at which path, and how errors look.

Responsible for: routes, health pages, error bodies and their HTTP status.
Refuses to do: listen (`listening.py`), or bound connections and unread bodies (`gate.py`).

Invariants:
1. An error body is JSON: at `/` a JSON-RPC answer with a null id, elsewhere `{"error": …}` with the same error object.
2. A JSON-RPC call that fails inside a readable request is answered with HTTP 200, as other nodes do; other statuses
   mean that the request as a whole was refused.
"""

import math
from functools import partial

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from sequencer.client.views import health_check_to_json
from sequencer.rpc.bodies import BodyReader
from sequencer.rpc.clients import client_of
from sequencer.rpc.context import Context
from sequencer.rpc.errors import RequestRefused, error_object
from sequencer.rpc.fast_door import PATH, FastDoor
from sequencer.rpc.feeds import Feeds
from sequencer.rpc.json_rpc import JsonRpc, error_answer
from sequencer.rpc.payloads import PATH as PAYLOAD_PATH
from sequencer.rpc.payloads import PayloadDoor
from sequencer.rpc.web_socket import PATH as WEB_SOCKET_PATH
from sequencer.rpc.web_socket import WebSocketDoor
from sequencer.telemetry import table

_log = structlog.get_logger()
JSON_TYPES = ("application/json", "application/json-rpc")
_HTTP_REASONS = {404: "unknown_path", 405: "wrong_http_method"}


def build_application(context: Context, feeds: Feeds) -> Starlette:
    """All routes of a node's RPC port."""
    bodies = BodyReader(context.options.request_bytes_max)
    json_rpc = JsonRpc(context)
    return Starlette(
        routes=[
            Route("/", partial(_answer_json_rpc, context, json_rpc, bodies), methods=["POST"]),
            Route(PATH, FastDoor(context, bodies).answer, methods=["POST"]),
            Route(PAYLOAD_PATH, PayloadDoor(context).answer, methods=["GET"]),
            WebSocketRoute(WEB_SOCKET_PATH, WebSocketDoor(context, feeds, json_rpc)),
            Route("/livez", _answer_livez, methods=["GET"]),
            Route("/readyz", partial(_answer_readyz, context), methods=["GET"]),
            Route("/healthz", partial(_answer_healthz, context), methods=["GET"]),
        ],
        exception_handlers={
            RequestRefused: _answer_refused,
            HTTPException: _answer_http_error,
            Exception: _answer_unexpected,
        },
    )


async def _answer_json_rpc(context: Context, json_rpc: JsonRpc, bodies: BodyReader, request: Request) -> Response:
    async with bodies.held(request, JSON_TYPES) as body:
        context.metrics.add(table.RPC_BODY_BYTES, len(body), "received")
        answer = await json_rpc.for_client(client_of(request.scope)).answer(body)
    if answer is None:
        return Response(status_code=204)
    context.metrics.add(table.RPC_BODY_BYTES, len(answer), "sent")
    return _json(answer)


async def _answer_livez(_request: Request) -> Response:
    """Alive means that the event loop answers."""
    return _json(b'{"live":true}')


async def _answer_readyz(context: Context, _request: Request) -> Response:
    reasons = list(context.service.readiness())
    body = msgspec.json.encode({"ready": not reasons, "reasons": reasons})
    return _json(body, 503 if reasons else 200)


async def _answer_healthz(context: Context, _request: Request) -> Response:
    checks = context.service.health()
    ok = all(check.ok for check in checks)
    body = msgspec.json.encode({"ok": ok, "checks": [health_check_to_json(check) for check in checks]})
    return _json(body, 200 if ok else 503)


async def _answer_refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestRefused):
        raise error
    at_root = request.scope["path"] == "/"
    body = error_answer(None, error) if at_root else msgspec.json.encode({"error": error_object(error)})
    headers = {}
    if error.retry_after_ms is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after_ms / 1000))
    return _json(body, error.entry.http_status, headers)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    response = await _answer_refused(request, RequestRefused(_HTTP_REASONS.get(status, "invalid_request")))
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)  # `allow`, with 405
    return response


async def _answer_unexpected(request: Request, _error: Exception) -> Response:
    """The last word to the client; the gate logs the error, or stops the node for it."""
    return await _answer_refused(request, RequestRefused("internal"))


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type="application/json")
