"""Sending transactions and asking after them."""

from consensus.numbers import Hash, NamespaceId
from consensus.vocabulary.batch import Items
from sequencer.client.fields import to_hex
from sequencer.client.status import LanePlace, Status, status_to_json
from sequencer.client.submission import outcome_to_json
from sequencer.client.wire import receipt_to_json
from sequencer.rpc.context import Context
from sequencer.rpc.errors import RequestRefused
from sequencer.rpc.method import Method
from sequencer.rpc.parameters import DATA, HASH, ITEMS, NAMESPACE, PLACE, RUNG, TIMEOUT_MS

_SUBMIT_REASONS = (
    "unknown_namespace", "not_accepting", "lane_forked", "not_validator", "overloaded", "quota", "client_quota", "full",
)  # fmt: skip
_ITEM_REASONS = ("empty", "oversized", "known", "expired")


async def send_transaction(context: Context, namespace: NamespaceId, data: bytes) -> object:
    """`{hash, receipt}` of one sealed transaction; a refusal is this call's error."""
    outcome = await context.submit("seq_sendTransaction", namespace, Items.of([data]))
    if outcome.refused:
        refused = outcome.refused[0]
        raise RequestRefused(refused.reason, retry_after_ms=refused.retry_after_ms, first_receipt=refused.first_receipt)
    return {"hash": to_hex(outcome.hashes[0]), "receipt": receipt_to_json(outcome.receipts[0])}


async def send_transactions(context: Context, namespace: NamespaceId, items: list[bytes]) -> object:
    """`{hashes, receipts, refused}`: each item stands in one receipt or is refused by itself."""
    return outcome_to_json(await context.submit("seq_sendTransactions", namespace, Items.of(items)))


async def get_transaction_status(context: Context, hash: Hash, place: LanePlace | None) -> object:
    """The transaction's status now."""
    return status_to_json(context.service.status(hash, place))


async def wait_for_transaction(
    context: Context, hash: Hash, status: Status, timeout_ms: int, place: LanePlace | None
) -> object:
    """The transaction's status when it has reached `status` or ended, or when the time is over, whichever is first."""
    bounded_ms = min(timeout_ms, context.options.wait_timeout_max_ms)
    return status_to_json(await context.service.wait(hash, status, bounded_ms, place))


METHODS = (
    Method(
        "seq_sendTransaction",
        "Sends one transaction and answers once the batch it stands in is sealed and synced.",
        send_transaction,
        (NAMESPACE, DATA),
        result="Sent",
        reasons=(*_ITEM_REASONS, *_SUBMIT_REASONS),
        waits=True,
    ),
    Method(
        "seq_sendTransactions",
        "Sends several transactions of one namespace, in order. Each is in one receipt or is refused by itself.",
        send_transactions,
        (NAMESPACE, ITEMS),
        result="Outcome",
        reasons=("empty", "oversized", *_SUBMIT_REASONS),
        waits=True,
    ),
    Method(
        "seq_getTransactionStatus",
        "Where a transaction stands on the ladder, and its copies. Its author knows a hash at once, nodes that index "
        "all from `final` on, and every node by what its receipt says. `places` has the first 16 copies that the node "
        "knows of, `count` how many are final (1,024: or more). While its author is away a transaction with a receipt "
        "stays `received`; it is `refused` (`lane_closed`) only if its author has signed two batches of one seq. "
        "From when the node knows of that until the lane is closed it is `received` with the reason `lane_forked`. "
        "Of a copy in the node's own lane and one that `place` names the one that has come further is told.",
        get_transaction_status,
        (HASH, PLACE),
        result="Status",
    ),
    Method(
        "seq_waitForTransaction",
        "Waits until a transaction has reached a status, has ended (expired, refused) or the time is over, and answers "
        "its status then. Compare `status` with what was asked for.",
        wait_for_transaction,
        (HASH, RUNG, TIMEOUT_MS, PLACE),
        result="Status",
        reasons=("overloaded",),
        waits=True,
    ),
)
