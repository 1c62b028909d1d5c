"""The kinds of subscriptions: from a filter to what is sent.

Responsible for: reading filters, and for each kind which items go to a subscriber, in which order.
Refuses to do: encode what is shared (`feeds.py`), or write to a connection (`session.py`).

Invariants:
1. A filter has only known fields, each read by its own bounded reader, before anything is kept for it.
2. Items of `transactions` are states, not events: a slow subscriber gets the newest one, and nothing waits for it.
3. The items of `heads` and `evidence` are events; a subscriber that falls behind their ring is told so and closed.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import msgspec
import trio

from consensus.numbers import Hash, Height, NamespaceId, NamespaceIndex
from sequencer.client.fields import as_number, namespace_from_json
from sequencer.client.status import LADDER, Status, TransactionStatus, status_to_json
from sequencer.client.subscription_items import (
    HEAD_STATUSES,
    Kind,
    NamespaceProgress,
    namespace_progress_to_json,
)
from sequencer.rpc.context import Context
from sequencer.rpc.errors import RequestRefused
from sequencer.rpc.feeds import Feeds
from sequencer.rpc.namespace_subscription import NamespaceSubscription
from sequencer.rpc.options import SUBSCRIPTION_HASHES_MAX
from sequencer.rpc.parameters import read_hash
from sequencer.rpc.ring import Ring, Tag
from sequencer.rpc.rungs import Rungs
from sequencer.rpc.session import Subscription, Wanted

UNKNOWN_POLL_S_MIN = 0.1  # a transaction that no index knows is looked for again, ever more slowly
UNKNOWN_POLL_S_MAX = 1.0
WAIT_ROUND_MS = 60_000

Filter = Mapping[str, object]


def read_wanted(context: Context, feeds: Feeds, kind: Kind, filter: Filter) -> Wanted:  # noqa: A002 - the public name
    """What a client asks for. Raises `RequestRefused` or `MalformedAnswer`, which name the field."""
    match kind:
        case Kind.HEADS:
            statuses = _read_statuses(_only(filter, "statuses").get("statuses"))
            return Wanted(kind, lambda to: _follow_ring(to, feeds.heads(), lambda status: status in statuses))
        case Kind.EVIDENCE:
            _only(filter)
            return Wanted(kind, lambda to: _follow_ring(to, feeds.evidence(), lambda _: True))
        case Kind.NAMESPACE:
            return _read_namespace(context, feeds, _only(filter, "namespace", "from_index", "proofs"))
        case Kind.TRANSACTIONS:
            return _read_transactions(context, feeds, _only(filter, "hashes", "namespace"))


def _only(filter: Filter, *known: str) -> Filter:  # noqa: A002
    unknown = [name for name in filter if name not in known]
    if unknown:
        raise RequestRefused("malformed", f"filter has no field {unknown[0][:64]!r}")
    return filter


def _read_statuses(value: object) -> frozenset[Status]:
    if value is None:
        return frozenset(HEAD_STATUSES)
    found = {status for status in HEAD_STATUSES if isinstance(value, list) and status.value in value}
    if not isinstance(value, list) or not found or len(found) != len(value):
        raise RequestRefused("malformed", "filter.statuses is a list of ordered and final, each once")
    return frozenset(found)


def _read_namespace_id(context: Context, value: object) -> NamespaceId:
    namespace = namespace_from_json(value, "filter.namespace")
    context.require_namespace(namespace)
    return namespace


def _read_namespace(context: Context, feeds: Feeds, filter: Filter) -> Wanted:  # noqa: A002
    namespace = _read_namespace_id(context, filter.get("namespace"))
    given = filter.get("from_index")
    from_index = None if given is None else NamespaceIndex(as_number(given, "filter.from_index"))
    proofs = filter.get("proofs", False)
    if not isinstance(proofs, bool):
        raise RequestRefused("malformed", "filter.proofs is true or false")

    async def follow(to: Subscription) -> None:
        with feeds.namespace(namespace, proofs=proofs) as feed:
            first = feed.next_index if from_index is None else from_index
            await NamespaceSubscription(context, feeds.rungs, feed, to, namespace, first, proofs=proofs).run()

    return Wanted(Kind.NAMESPACE, follow)


def _read_transactions(context: Context, feeds: Feeds, filter: Filter) -> Wanted:  # noqa: A002
    if ("hashes" in filter) == ("namespace" in filter):
        raise RequestRefused("malformed", "filter has either hashes or a namespace")
    if "namespace" in filter:
        namespace = _read_namespace_id(context, filter["namespace"])
        return Wanted(Kind.TRANSACTIONS, lambda to: _follow_namespace_progress(context, feeds.rungs, to, namespace))
    given = filter["hashes"]
    if not isinstance(given, list) or not given:
        raise RequestRefused("malformed", "filter.hashes is a list of hashes")
    if len(given) > SUBSCRIPTION_HASHES_MAX:
        raise RequestRefused("oversized", f"filter.hashes has at most {SUBSCRIPTION_HASHES_MAX} entries")
    hashes = list(dict.fromkeys(read_hash(value, f"filter.hashes[{place}]") for place, value in enumerate(given)))

    async def follow(to: Subscription) -> None:
        async with trio.open_nursery() as nursery:
            for hash in hashes:
                nursery.start_soon(_follow_transaction, context, to, hash)
            await trio.sleep_forever()  # also with nothing left to tell: it is the client that ends it

    return Wanted(Kind.TRANSACTIONS, follow, len(hashes))


# events


async def _follow_ring(
    to: Subscription, opened: AbstractContextManager[Ring[Tag]], is_wanted: Callable[[Tag], bool]
) -> None:
    with opened as ring:
        position = ring.next_position
        while True:
            await ring.until(position)
            async with to.turn() as send:
                entry = ring.at(position)
                position += 1
                if is_wanted(entry.tag):
                    await send(entry.text)


# states


async def _follow_transaction(context: Context, to: Subscription, hash: Hash) -> None:
    """Tells the status now, and again whenever it has changed, until it can change no more."""
    told: TransactionStatus | None = None
    poll_s = UNKNOWN_POLL_S_MIN
    while True:
        async with to.turn() as send:
            found = context.service.status(hash, None)
            if told is None or _has_moved(told, found):
                told = found
                await send(msgspec.json.encode(status_to_json(found)).decode())
        if found.has_ended or found.status is Status.SETTLED:
            return
        if found.status is Status.UNKNOWN:
            await trio.sleep(poll_s)
            poll_s = min(2 * poll_s, UNKNOWN_POLL_S_MAX)
        else:
            await context.service.wait(hash, LADDER[LADDER.index(found.status) + 1], WAIT_ROUND_MS, None)


def _has_moved(told: TransactionStatus, found: TransactionStatus) -> bool:
    return (told.status, told.height, told.l1) != (found.status, found.height, found.l1)


async def _follow_namespace_progress(context: Context, rungs: Rungs, to: Subscription, namespace: NamespaceId) -> None:
    """Tells how far the namespace's transactions are on each rung, when it concerns the namespace."""
    newest = context.service.newest_index(namespace)
    newest_height = rungs.executed_height  # at or above the height of its newest block
    told = {Status.ATTESTED: rungs.attested_height, Status.POSTED: rungs.posted_height}
    told[Status.SETTLED] = rungs.settled_height
    ends = rungs.ordered_ends

    def collect() -> list[NamespaceProgress]:
        nonlocal newest, newest_height, ends
        moved = []
        if rungs.ordered_ends != ends:
            ends = rungs.ordered_ends
            moved.append(NamespaceProgress(namespace, Status.ORDERED, rungs.ordered_height, ends=ends))
        index = context.service.newest_index(namespace)
        if index != newest:
            newest, newest_height = index, rungs.executed_height
            moved.append(NamespaceProgress(namespace, Status.FINAL, newest_height, index=index))
        reached: dict[Status, Height] = {
            Status.ATTESTED: rungs.attested_height,
            Status.POSTED: rungs.posted_height,
            Status.SETTLED: rungs.settled_height,
        }
        for status, height in reached.items():
            if height != told[status] and newest_height > min(told[status], height):
                told[status] = height
                moved.append(NamespaceProgress(namespace, status, height))
        return moved

    while True:
        await rungs.until_moved()
        async with to.turn() as send:
            for progress in collect():
                await send(msgspec.json.encode(namespace_progress_to_json(progress)).decode())
