"""What the reference page says of subscriptions, with the bounds that hold."""

from sequencer.rpc.options import (
    CALLS_AT_ONCE_MAX,
    MESSAGE_BYTES_MAX,
    MESSAGES_PER_SECOND,
    PING_SECONDS,
    SILENCE_SECONDS_MAX,
    SUBSCRIPTION_HASHES_MAX,
    SUBSCRIPTION_PAGE_BYTES,
)

SUBSCRIPTIONS = f"""
## Subscriptions

`GET /ws` opens a WebSocket. Each message on it is a JSON-RPC request, as a body of `POST /` is, of at most
{MESSAGE_BYTES_MAX // 1024} KiB. `seq_subscribe` answers an id; items follow as notifications, the first one behind the
answer. How to use them: [build/subscriptions.md](../build/subscriptions.md).

```
{{"jsonrpc": "2.0", "method": "seq_subscription", "params": {{"subscription": "0x1", "result": …}}}}
```

| kind | filter | item |
|---|---|---|
| `heads` | `statuses`: list of `ordered` and `final`, by default both | `Block` |
| `namespace` | `namespace`, `from_index` (by default the next new block), `proofs` (false) | `NamespaceItem` |
| `transactions` | `hashes`: at most {SUBSCRIPTION_HASHES_MAX} | `Status` |
| `transactions` | `namespace` | `NamespaceProgress` |
| `evidence` | – | `Evidence` |

* **heads**: `status` says which. `ordered` comes the moment a fresh QC exists: the preconfirmation; roots and
  namespaces are null then, a block comes once and after its parent. `final` comes for every height, once executed.
* **namespace**: every block from `from_index` on, in order, none left out and none twice: what is old is read first. A
  block larger than about {SUBSCRIPTION_PAGE_BYTES // 1024} KiB comes in parts (`first_run`, `run_count`). With `proofs`
  a proof comes behind the block that it names, as soon as that is attested, and covers every block before it too.
* **transactions** by hash: the status now, and again whenever the rung changes. Rungs passed quickly may be left out.
* **transactions** of a namespace: everything in blocks up to `height` has reached `status`. `ordered` has `ends`, the
  last batch covered for each lane: compare with `lane` and `seq` of a receipt. `final` has the newest block's `index`.
* **evidence**: a proof of a validator's fault, when it is kept.

A subscription that fails says so in a last notification, with `error` in place of `result`. `data.resume` is what to
put into the filter in order to go on (`from_index`), or null. A subscriber that lags behind by more than
`rpc.subscription_messages_max` items or `rpc.subscription_bytes_max` bytes fails with `subscriber_too_slow`, and its
connection is closed (1008). Old blocks may be read slowly, if each message is taken within about ten seconds.

The node pings every {PING_SECONDS:.0f} seconds, and closes a connection on which nothing comes, no pong either, for
{SILENCE_SECONDS_MAX:.0f}. It works on {CALLS_AT_ONCE_MAX} messages of a connection at once and takes
{MESSAGES_PER_SECOND:.0f} a second; more wait unread. It closes with 1001 when it stops and with 1009 when a message is
too long. Compression is not agreed on. A web page needs its origin in `rpc.origins`.
"""
