"""Why a request was refused: one word, its error code, its HTTP status and what it means. One table for both ends.

Responsible for: the words. The same word stands in `data.reason` of an RPC error, in metric labels and in logs.
Refuses to do: decide anything.

Invariants:
1. A word, once released, keeps its code and its meaning. Codes are JSON-RPC 2.0's, EIP-1474's and our own −3201x.
2. A word that is not in the table (from a newer node) means `TRANSACTION_REJECTED`.
"""

from dataclasses import dataclass

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMETERS = -32602
INTERNAL_ERROR = -32603
RESOURCE_UNAVAILABLE = -32002  # EIP-1474
TRANSACTION_REJECTED = -32003  # EIP-1474
LIMIT_EXCEEDED = -32005  # EIP-1474
UNKNOWN_NAMESPACE = -32010
FULL = -32011
SUBSCRIBER_TOO_SLOW = -32015
NOT_A_VALIDATOR = -32016
ALREADY_KNOWN = -32017


@dataclass(frozen=True, slots=True)
class Reason:
    """`http_status` is that of a whole refused request; a JSON-RPC call inside a good request is answered with 200."""

    word: str
    code: int
    http_status: int
    meaning: str


TABLE = (
    Reason("unparsable", PARSE_ERROR, 400, "The body is not JSON."),
    Reason("invalid_request", INVALID_REQUEST, 400, "JSON, but not a JSON-RPC 2.0 request or batch."),
    Reason("unknown_method", METHOD_NOT_FOUND, 404, "This node has no such method; `rpc.discover` lists what it has."),
    Reason("empty", INVALID_PARAMETERS, 400, "A transaction, or a list of them, has no bytes or no entries."),
    Reason("oversized", INVALID_PARAMETERS, 413, "A transaction, a list or a whole body is above its bound."),
    Reason("malformed", INVALID_PARAMETERS, 400, "A parameter or a binary body does not have the documented form."),
    Reason("internal", INTERNAL_ERROR, 500, "A fault of this node; its log has the cause."),
    Reason("not_accepting", RESOURCE_UNAVAILABLE, 503, "The node is starting, catching up or stopping. Try another."),
    Reason(
        "lane_forked",
        RESOURCE_UNAVAILABLE,
        503,
        "This validator's key sealed two batches of one number: its lane is not ordered any more. Try another.",
    ),
    Reason("expired", TRANSACTION_REJECTED, 503, "The transaction waited too long to be sealed and has no receipt."),
    Reason("rejected", TRANSACTION_REJECTED, 400, "Refused for a reason that this release has no word for."),
    Reason("overloaded", LIMIT_EXCEEDED, 503, "More requests at once than this node works on."),
    Reason("batch_too_large", LIMIT_EXCEEDED, 400, "More calls in one JSON-RPC batch than this node takes."),
    Reason("answer_too_large", LIMIT_EXCEEDED, 400, "The answer is above its bound; ask for less at once."),
    Reason("unknown_namespace", UNKNOWN_NAMESPACE, 404, "The namespace is not registered; see `seq_listNamespaces`."),
    Reason("unknown_batch", INVALID_PARAMETERS, 404, "No L1 batch of this number is held here; see `seq_getBatch`."),
    Reason("pruned", RESOURCE_UNAVAILABLE, 410, "This node does not keep it any more; ask one that keeps everything."),
    Reason("quota", FULL, 429, "The namespace's quota at this validator is used up; wait `retry_after_ms`."),
    Reason("client_quota", FULL, 429, "The sender's quota at this validator is used up; wait `retry_after_ms`."),
    Reason("full", FULL, 429, "The namespace's queue is full; wait `retry_after_ms`."),
    Reason("not_validator", NOT_A_VALIDATOR, 403, "This node has no lane; send to a validator."),
    Reason("known", ALREADY_KNOWN, 409, "Sent before; `data.receipt` is its first receipt."),
    Reason("too_slow", INVALID_REQUEST, 408, "The body did not arrive in time."),
    Reason(
        "subscriber_too_slow",
        SUBSCRIBER_TOO_SLOW,
        503,
        "The subscriber is too slow: more waits for it than a node keeps. `data.resume` says where to go on.",
    ),
    Reason("needs_web_socket", METHOD_NOT_FOUND, 404, "Subscriptions are made over a WebSocket: connect to `/ws`."),
    Reason("too_many_subscriptions", LIMIT_EXCEEDED, 429, "More subscriptions on one connection than this node keeps."),
    Reason("unknown_subscription", INVALID_PARAMETERS, 404, "This connection has no subscription of that id."),
    Reason("forbidden_origin", INVALID_REQUEST, 403, "Web pages of this origin may not connect; see `rpc.origins`."),
    Reason(
        "unsupported_media_type",
        INVALID_REQUEST,
        415,
        "The content type or content encoding is not the documented one.",
    ),
    Reason("unknown_path", INVALID_REQUEST, 404, "Nothing is served at this path."),
    Reason("wrong_http_method", INVALID_REQUEST, 405, "The path is served with another HTTP method."),
)
REASONS = {reason.word: reason for reason in TABLE}


def reason_of(word: str) -> Reason:
    """The table's entry of a word; that of `rejected` for a word that is not in it."""
    return REASONS.get(word) or REASONS["rejected"]
