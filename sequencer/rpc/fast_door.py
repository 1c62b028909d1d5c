"""The fast door: many transactions of one namespace in one binary request, without JSON in between.

`POST /v1/namespaces/{namespace}/transactions`, `application/octet-stream`; both layouts stand in
`sequencer/client/submission.py`.

Responsible for: the request's framing and the answer, binary or JSON by `Accept`.
Refuses to do: judge a transaction; admission does.

Invariants:
1. A body that does not parse, has no transaction or too many is refused whole: nothing of it was handed in.
2. An answer with status 200 accounts for every transaction.
3. A request that meets a quota or finds no room at all is refused whole, with 429 and a time to wait.
"""

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response

from consensus.numbers import NamespaceId
from consensus.vocabulary.batch import Items
from sequencer.client.errors import MalformedAnswer
from sequencer.client.fields import namespace_from_json
from sequencer.client.submission import encode_outcome, outcome_to_json
from sequencer.rpc.bodies import BodyReader
from sequencer.rpc.clients import client_of
from sequencer.rpc.context import Context
from sequencer.rpc.errors import RequestRefused
from sequencer.telemetry import table

PATH = "/v1/namespaces/{namespace}/transactions"
BINARY = "application/octet-stream"
JSON = "application/json"
METRIC_LABEL = "fast_door"


class FastDoor:
    """Answers fast-door requests. One per server."""

    def __init__(self, context: Context, bodies: BodyReader) -> None:
        self._context = context
        self._bodies = bodies

    async def answer(self, request: Request) -> Response:
        """The endpoint. Raises `RequestRefused` for a request that is refused whole."""
        started = trio.current_time()
        outcome = "ok"
        try:
            return await self._answer(request)
        except RequestRefused as refused:
            outcome = refused.reason
            raise
        finally:
            self._context.metrics.add(table.RPC_REQUESTS, 1, METRIC_LABEL, outcome)
            self._context.metrics.observe(table.RPC_DURATION, trio.current_time() - started, METRIC_LABEL)

    async def _answer(self, request: Request) -> Response:
        namespace = _read_namespace(request.path_params["namespace"])
        self._context.require_namespace(namespace)
        async with self._bodies.held(request, (BINARY,)) as body:
            self._context.metrics.add(table.RPC_BODY_BYTES, len(body), "received")
            context = self._context.for_client(client_of(request.scope))
            outcome = await context.submit(METRIC_LABEL, namespace, self._read_items(body))
        binary = BINARY in request.headers.get("accept", "")
        if binary:
            content = encode_outcome(outcome.receipts, outcome.refused)
        else:
            content = msgspec.json.encode(outcome_to_json(outcome))
        self._context.metrics.add(table.RPC_BODY_BYTES, len(content), "sent")
        return Response(content, headers={"content-type": BINARY if binary else JSON})

    def _read_items(self, body: bytes) -> Items:
        items_max = self._context.options.fast_door_items_max
        items = Items.parse(body, items_max)
        if items is None:
            raise RequestRefused("malformed", "the body is repeated u32 length and transaction, to its last byte")
        if not items:
            raise RequestRefused("empty", "the body holds no transaction")
        if len(items) > items_max:
            raise RequestRefused("oversized", f"a request holds at most {items_max} transactions")
        return items


def _read_namespace(text: str) -> NamespaceId:
    try:
        return namespace_from_json(int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else text)
    except MalformedAnswer as error:
        raise RequestRefused("malformed", str(error)) from error
