"""How many transactions of a fast-door request were taken, and why the others were not.

Responsible for: reading the answer at a cost that does not grow with the receipts' items in the usual case.
Refuses to do: check a receipt's signature; `sequencer/client` does.

Invariant: what it counts as taken, a whole decoding of the answer counts as taken, too.
"""

import json
from collections import Counter
from dataclasses import dataclass, field

from sequencer.client.errors import MalformedAnswer
from sequencer.client.submission import decode_outcome
from sequencer.load.errors import Unanswered
from sequencer.load.http import Answer

_BINARY = "application/octet-stream"
_RECEIPT_BYTES = 160  # without its items
_ITEM_BYTES = 45
_AROUND_BYTES = 1 + 4 + 4  # version, two lengths of lists
_PARTS_MAX = 8  # receipts of one request, one per batch that it went into


@dataclass(slots=True)
class Taken:
    """Of one request. `refused`: transactions by reason; `last_is_taken`: whether its last one has a receipt."""

    count: int
    refused: Counter[str] = field(default_factory=Counter)
    last_is_taken: bool = True


def read_taken(answer: Answer, count: int) -> Taken:
    """Of a request with `count` transactions. Raises `Unanswered` for an answer that no node gives."""
    if answer.headers.get("content-type") != _BINARY:
        return Taken(0, Counter({_reason_in(answer): count}), last_is_taken=False)
    body = answer.body
    parts, rest = divmod(len(body) - _AROUND_BYTES - _ITEM_BYTES * count, _RECEIPT_BYTES)
    if rest == 0 and 1 <= parts <= _PARTS_MAX and int.from_bytes(body[1:5], "big") == parts and not any(body[-4:]):
        return Taken(count)
    try:
        outcome = decode_outcome(body, ())
    except MalformedAnswer as error:
        raise Unanswered("garbage", str(error)) from error
    taken = sum(len(receipt.items) for receipt in outcome.receipts)
    return Taken(
        taken,
        Counter(entry.reason for entry in outcome.refused),
        all(entry.item != count - 1 for entry in outcome.refused),
    )


def _reason_in(answer: Answer) -> str:
    try:
        return str(json.loads(answer.body)["error"]["data"]["reason"])[:64]
    except (ValueError, KeyError, TypeError):
        return f"http_{answer.status}"
