"""Subscribing to what happens, over a WebSocket."""

from collections.abc import Mapping

from sequencer.client.errors import MalformedAnswer
from sequencer.client.subscription_items import Kind
from sequencer.rpc.context import Context
from sequencer.rpc.errors import RequestRefused
from sequencer.rpc.method import Method
from sequencer.rpc.parameters import FILTER, KIND, SUBSCRIPTION
from sequencer.rpc.session import Caller
from sequencer.rpc.subscriptions import read_wanted


async def subscribe(context: Context, caller: Caller, kind: Kind, filter: Mapping[str, object]) -> object:  # noqa: A002
    """The id of a new subscription."""
    try:
        wanted = read_wanted(context, caller.feeds, kind, filter)
    except MalformedAnswer as error:
        raise RequestRefused("malformed", str(error)) from error
    return caller.subscribe(wanted)


async def unsubscribe(_context: Context, caller: Caller, subscription: str) -> object:
    """True."""
    caller.unsubscribe(subscription)
    return True


METHODS = (
    Method(
        "seq_subscribe",
        "Subscribes, and answers the subscription's id; each item then comes as a notification. What the kinds take "
        "and tell: [Subscriptions](#subscriptions). Only over a WebSocket.",
        subscribe,
        (KIND, FILTER),
        result="SubscriptionId",
        reasons=("needs_web_socket", "unknown_namespace", "too_many_subscriptions", "oversized", "overloaded"),
        over_web_socket=True,
    ),
    Method(
        "seq_unsubscribe",
        "Ends a subscription of this connection: none of its items comes behind the answer, which is true.",
        unsubscribe,
        (SUBSCRIPTION,),
        result="Ended",
        reasons=("needs_web_socket", "unknown_subscription"),
        over_web_socket=True,
    ),
)
