"""From a node's HTTP answers to values or to the error they mean.

Responsible for: JSON-RPC envelopes, fast-door answers, health pages.
Refuses to do: read shapes (`wire.py`, `views.py` …).

Invariant: whatever a node sends ends in a value or in a `ClientError`.
"""

from collections.abc import Sequence
from typing import Any

from consensus.numbers import Hash
from sequencer.client.errors import MalformedAnswer, RequestRefused
from sequencer.client.fields import Fields, parse_json
from sequencer.client.submission import SubmitOutcome, decode_outcome
from sequencer.client.transport import Answer
from sequencer.client.wire import receipt_from_json

_BINARY = "application/octet-stream"


def read_json_rpc(answer: Answer, number: int) -> Any:
    """The result of the call with this number. Raises `RequestRefused` or `MalformedAnswer`."""
    return read_envelope(Fields(_parse(answer), "answer"), number)


def read_envelope(fields: Fields, number: int) -> Any:
    """The same of a parsed answer."""
    fields.constant("jsonrpc", "2.0")
    if "error" in fields:
        raise refusal_of(fields.object("error"))
    fields.constant("id", number)
    return fields["result"]


def read_fast_door(answer: Answer, hashes: Sequence[Hash]) -> SubmitOutcome:
    """The outcome of a fast-door request. Raises `RequestRefused` or `MalformedAnswer`."""
    if answer.content_type == _BINARY:
        return decode_outcome(answer.body, hashes)
    raise refusal_of(Fields(_parse(answer), "answer").object("error"))


def read_readiness(answer: Answer) -> list[str]:
    """The reasons of `/readyz`."""
    fields = Fields(_parse(answer), "readiness")
    return fields.items("reasons", lambda value, name: Fields({name: value}, "readiness").text(name))


def _parse(answer: Answer) -> Any:
    try:
        return parse_json(answer.body)
    except ValueError as error:
        raise MalformedAnswer(f"HTTP status {answer.status} with a body that is not JSON") from error


def refusal_of(error: Fields) -> RequestRefused:
    """The error that a node's error object means. Raises `MalformedAnswer`."""
    code = error["code"]
    if isinstance(code, bool) or not isinstance(code, int):
        raise MalformedAnswer("error.code is a number")
    data = error.object("data") if "data" in error else Fields({}, "data")
    return RequestRefused(
        code,
        data.text("reason") if "reason" in data else "rejected",
        error.text("message"),
        retry_after_ms=data.number("retry_after_ms") if "retry_after_ms" in data else None,
        first_receipt=receipt_from_json(data["receipt"]) if "receipt" in data else None,
    )
