"""JSON-RPC 2.0: from a body to the body of the answer (https://www.jsonrpc.org/specification).

Responsible for: parsing, single calls and batches, notifications, error objects, counting.
Refuses to do: HTTP (`application.py`), or know what a method does.

Invariants:
1. Every call of a batch is answered by itself; notifications are carried out and never answered.
2. Calls of a batch that wait for transactions run side by side, and begin in the order of the batch: transactions of
   one batch keep their order. The others run one after the other.
3. A batch has at most `batch_calls_max` calls; beyond BATCH_ANSWER_BYTES_MAX of answers the rest is refused,
   and what there is no room for while it waits for the others.
4. An unexpected exception is answered as `internal` and logged; one that must stop the node is passed on.
"""

from contextlib import ExitStack
from typing import Any, TypeGuard

import msgspec
import structlog
import trio

from sequencer.client.fields import NUMBER_MAX, JsonObject, parse_json
from sequencer.rpc.context import Context
from sequencer.rpc.discovery import DISCOVER, openrpc_document
from sequencer.rpc.errors import RequestRefused, error_object
from sequencer.rpc.faults import find_fatal
from sequencer.rpc.method import Method
from sequencer.rpc.methods import METHODS
from sequencer.rpc.options import BATCH_ANSWER_BYTES_MAX
from sequencer.rpc.session import Caller
from sequencer.telemetry import table

_log = structlog.get_logger()
_UNKNOWN = "unknown"
_ID_LENGTH_MAX = 256


def error_answer(identity: object, refused: RequestRefused) -> bytes:
    """A whole JSON-RPC answer that is an error."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": identity, "error": error_object(refused)})


class JsonRpc:
    """Answers bodies. One per server."""

    def __init__(self, context: Context, document: JsonObject | None = None) -> None:
        """`document`: what `rpc.discover` answers, if it is made already."""
        self._context = context
        self._document = openrpc_document() if document is None else document

    def for_client(self, client: str) -> "JsonRpc":
        """The same, for what this client asks."""
        return JsonRpc(self._context.for_client(client), self._document)

    async def answer(self, body: bytes, caller: Caller | None = None) -> bytes | None:
        """The answer's body, or None if there is nothing to answer (only notifications). `caller`: on a WebSocket."""
        try:
            request = parse_json(body, strings_may_hold_brackets=False)
        except ValueError:
            return self._refuse(_UNKNOWN, None, RequestRefused("unparsable"))
        if isinstance(request, list):
            return await self._answer_batch(request, caller)
        return await self._answer_call(request, caller)

    async def _answer_batch(self, calls: list[object], caller: Caller | None) -> bytes | None:
        if not calls:
            return self._refuse(_UNKNOWN, None, RequestRefused("invalid_request", "an empty batch"))
        calls_max = self._context.options.batch_calls_max
        if len(calls) > calls_max:
            return self._refuse(_UNKNOWN, None, RequestRefused("batch_too_large", f"at most {calls_max} calls"))
        answers: list[bytes | None] = [None] * len(calls)

        async def run_in_turn(place: int, turn: trio.Event, next_turn: trio.Event) -> None:
            await turn.wait()
            next_turn.set()  # the next begins when this call first waits; by then it has been admitted
            answers[place] = await self._answer_call(calls[place], caller)

        turn = trio.Event()
        turn.set()
        answer_bytes = 0
        with ExitStack() as held:
            async with trio.open_nursery() as nursery:
                for place, call in enumerate(calls):
                    if _waits(call):
                        next_turn = trio.Event()
                        nursery.start_soon(run_in_turn, place, turn, next_turn)
                        turn = next_turn
                        continue
                    answer = await self._answer_call(call, caller)
                    if answer is not None:
                        answer_bytes += len(answer)
                        answers[place] = self._keep(answer, call, answer_bytes, held)
                    await trio.lowlevel.checkpoint()
        given = [answer for answer in answers if answer is not None]
        return b"[" + b",".join(given) + b"]" if given else None

    def _keep(self, answer: bytes, call: object, answer_bytes: int, held: ExitStack) -> bytes:
        """The answer if there is room for it, in the batch and in memory until `held` is closed; else an error."""
        if answer_bytes > BATCH_ANSWER_BYTES_MAX:
            return error_answer(_identity(call), RequestRefused("answer_too_large"))
        try:
            held.enter_context(self._context.answer_held(len(answer)))
        except RequestRefused as refused:
            return error_answer(_identity(call), refused)
        return answer

    async def _answer_call(self, call: object, caller: Caller | None) -> bytes | None:
        """One call's answer, or None for a notification."""
        if not _is_call(call):
            return self._refuse(_UNKNOWN, _identity(call), RequestRefused("invalid_request"))
        name, identity = call["method"], _identity(call)
        method = METHODS.get(name)
        label = name if method or name == DISCOVER else _UNKNOWN
        started = trio.current_time()
        try:
            result = await self._run(method, name, call.get("params"), caller)
        except RequestRefused as refused:
            answer = self._refuse(label, identity, refused)
        except Exception as error:
            if find_fatal(error) is not None:
                raise
            _log.exception("rpc_call_failed", method=label)
            answer = self._refuse(label, identity, RequestRefused("internal"))
        else:
            self._context.metrics.add(table.RPC_REQUESTS, 1, label, "ok")
            answer = msgspec.json.encode({"jsonrpc": "2.0", "id": identity, "result": result})
        self._context.metrics.observe(table.RPC_DURATION, trio.current_time() - started, label)
        return answer if "id" in call else None

    async def _run(self, method: Method | None, name: str, params: object, caller: Caller | None) -> object:
        if name == DISCOVER:
            return self._document
        if method is None:
            raise RequestRefused("unknown_method", f"no method {name[:64]!r}")
        if method.over_web_socket:
            if caller is None:
                raise RequestRefused("needs_web_socket")
            return await method.call(self._context, caller, *method.bind(params))
        values = method.bind(params)
        if not method.waits:
            return await method.call(self._context, *values)
        with self._context.call_waiting():
            return await method.call(self._context, *values)

    def _refuse(self, label: str, identity: object, refused: RequestRefused) -> bytes:
        self._context.metrics.add(table.RPC_REQUESTS, 1, label, refused.reason)
        return error_answer(identity, refused)


def _is_call(call: Any) -> TypeGuard[dict[str, Any]]:
    return (
        isinstance(call, dict)
        and call.get("jsonrpc") == "2.0"
        and isinstance(call.get("method"), str)
        and ("id" not in call or call["id"] is None or _identity(call) is not None)
    )


def _identity(call: Any) -> str | int | float | None:
    """The id to answer with: a string or a number; None for anything else."""
    identity = call.get("id") if isinstance(call, dict) else None
    match identity:
        case bool():
            return None
        case str():
            return identity if len(identity) <= _ID_LENGTH_MAX else None
        case int():
            return identity if abs(identity) <= NUMBER_MAX else None
        case float():
            return identity
        case _:
            return None


def _waits(call: Any) -> bool:
    method = METHODS.get(call["method"]) if _is_call(call) else None
    return method is not None and method.waits
