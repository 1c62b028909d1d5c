"""Every metric of a node, in one table. `docs/reference/metrics.md` is generated from it.

Responsible for: names, types, help texts, labels and buckets.
Refuses to do: hold values or know a metrics library (`metrics.py`).

Invariants:
1. A metric exists only if it stands here; its name never changes meaning (dashboards and alerts depend on it).
2. Refusal reasons are the same words as in RPC errors (`sequencer/rpc/errors.py`) and in logs.
"""

from consensus.limits import VALIDATORS_MAX
from sequencer.telemetry.metric_types import LATENCY_BUCKETS, AnyMetric, Counter, Gauge, Histogram, Label

_VALIDATOR = Label("validator", "a validator's index in the genesis", values_max=VALIDATORS_MAX)
_NAMESPACE = Label("namespace", "namespace id; the first 256 seen, then `other`", values_max=256)
_REASON = Label("reason", "one stable word", values_max=64)
_DIRECTION = Label("direction", "seen from this node", ("received", "sent"))
_ORIGIN = Label("origin", "who sealed the batch", ("own", "peer"))
_KIND = Label("kind", "kind of frame", values_max=32)
_STORE = Label("store", "`batches`: segment files; `chain`: the database", ("batches", "chain"))
_L1_TAG = Label("tag", "which block", ("latest", "finalized"))
_L1_RUNG = Label("status", "rung of the confirmation ladder", ("posted", "settled"))
_ANSWER = Label("answer", "what was answered", ("shares", "behind", "mismatch", "committed", "busy"))
_FATE = Label("fate", "how it ended", values_max=16)
_STATUS = Label("status", "rung of the confirmation ladder", ("ordered", "final", "executed", "attested"))
_RULE = Label("rule", "of evidence", tuple(f"E{number}" for number in range(1, 10)))
_MESSAGE = Label("message", "what was refused", ("proposal", "vote", "timeout", "report", "certificate", "walk"))
_OUTCOME = Label("outcome", "`ok`, or the reason of the error", values_max=64)
_METHOD = Label("method", "JSON-RPC method, or `fast_door`; `unknown` for methods that do not exist", values_max=64)
_SUBSCRIPTION = Label("kind", "what is subscribed to", ("heads", "namespace", "transactions", "evidence"))
_DIAL = Label("outcome", "how the dial ended", ("connected", "failed"))
_FETCH = Label("outcome", "how the request ended", ("found", "missing", "failed"))
_VERSION = Label("version", "version of the program", values_max=1)

# mempool
MEMPOOL_ADMITTED = Counter("sequencer_mempool_admitted_total", "Transactions admitted to a queue.", (_NAMESPACE,))
MEMPOOL_ADMITTED_BYTES = Counter("sequencer_mempool_admitted_bytes_total", "Bytes admitted to a queue.", (_NAMESPACE,))
MEMPOOL_REFUSED = Counter(
    "sequencer_mempool_refused_total", "Transactions refused at admission.", (_NAMESPACE, _REASON)
)
MEMPOOL_EXPIRED = Counter(
    "sequencer_mempool_expired_total", "Transactions whose time ended before they were sealed.", (_NAMESPACE,)
)
MEMPOOL_QUEUED = Gauge("sequencer_mempool_queued_count", "Transactions waiting to be sealed.")
MEMPOOL_QUEUED_BYTES = Gauge("sequencer_mempool_queued_bytes", "Bytes waiting to be sealed.")
MEMPOOL_NAMESPACE_BYTES = Gauge(
    "sequencer_mempool_namespace_queued_bytes", "Bytes of a namespace waiting to be sealed.", (_NAMESPACE,)
)
MEMPOOL_OLDEST = Gauge(
    "sequencer_mempool_oldest_seconds", "How long a namespace's oldest transaction has waited.", (_NAMESPACE,)
)
MEMPOOL_WAIT = Histogram("sequencer_mempool_wait_seconds", "Time from admission until the batch is sealed.")

# lanes
LANES_BATCHES = Counter("sequencer_lanes_batches_total", "Batches held (synced to disk).", (_ORIGIN,))
LANES_BATCH_BYTES = Counter("sequencer_lanes_batch_bytes_total", "Bytes of batches held.", (_ORIGIN,))
LANES_FAULTS = Counter("sequencer_lanes_faults_total", "Batches refused, and forks of a lane seen.", (_REASON,))
LANES_FETCHES = Counter("sequencer_lanes_fetches_total", "Requests for missing batches.", (_FETCH,))
LANES_HEAD = Gauge("sequencer_lanes_head_number", "Highest sequence number held without a gap.", (_VALIDATOR,))
LANES_UNCOMMITTED_BYTES = Gauge(
    "sequencer_lanes_uncommitted_bytes", "Bytes held of a lane that are not ordered yet.", (_VALIDATOR,)
)
LANES_PERSIST = Histogram("sequencer_lanes_persist_seconds", "Time from a batch's arrival until it is synced.")

# consensus
CONSENSUS_VIEW = Gauge("sequencer_consensus_view_number", "The view this node is in.")
CONSENSUS_HEIGHT = Gauge("sequencer_consensus_height_number", "Newest height by status.", (_STATUS,))
CONSENSUS_LEADER = Gauge("sequencer_consensus_leader_number", "Validator index of the current view's leader.")
CONSENSUS_VIEW_DURATION = Histogram("sequencer_consensus_view_duration_seconds", "Time spent in a view.")
CONSENSUS_PROPOSALS = Counter("sequencer_consensus_proposals_total", "Proposals by direction.", (_DIRECTION,))
CONSENSUS_VOTES = Counter("sequencer_consensus_votes_total", "Votes by direction.", (_DIRECTION,))
CONSENSUS_TIMEOUTS = Counter("sequencer_consensus_timeouts_total", "Timeouts by direction.", (_DIRECTION,))
CONSENSUS_QCS = Counter("sequencer_consensus_qcs_total", "New quorum certificates seen.")
CONSENSUS_TCS = Counter("sequencer_consensus_tcs_total", "New timeout certificates seen.")
CONSENSUS_INVALID = Counter("sequencer_consensus_invalid_total", "Messages that break a rule.", (_MESSAGE, _REASON))
CONSENSUS_EVIDENCE = Counter("sequencer_consensus_evidence_total", "Proofs of validators' faults kept.", (_RULE,))
CONSENSUS_PERSIST = Histogram("sequencer_consensus_persist_seconds", "Time a vote or proposal waits for its record.")
CONSENSUS_ORDERED_LATENCY = Histogram(
    "sequencer_consensus_ordered_latency_seconds", "Own batches: from sealing until a fresh QC covers them."
)
CONSENSUS_FINAL_LATENCY = Histogram(
    "sequencer_consensus_final_latency_seconds", "Own batches: from sealing until they are committed."
)

# p2p
P2P_PEERS = Gauge("sequencer_p2p_peers_count", "Validators with an open link.")
P2P_BYTES = Counter("sequencer_p2p_bytes_total", "Bytes of frames on links.", (_DIRECTION,))
P2P_FRAMES = Counter("sequencer_p2p_frames_total", "Frames on links.", (_DIRECTION, _KIND))
P2P_FAULTS = Counter("sequencer_p2p_faults_total", "Links closed or muted for a peer's fault.", (_REASON,))
P2P_DIALS = Counter("sequencer_p2p_dials_total", "Dials to validators.", (_DIAL,))
P2P_QUEUED_BYTES = Gauge("sequencer_p2p_queued_bytes", "Bytes waiting to be sent on a link.", (_VALIDATOR,))
P2P_ROUND_TRIP = Gauge("sequencer_p2p_round_trip_seconds", "Newest heartbeat round trip of a link.", (_VALIDATOR,))

# storage
STORAGE_SYNC = Histogram("sequencer_storage_sync_seconds", "Time of one synced write.", (_STORE,))
STORAGE_DISK_BYTES = Gauge("sequencer_storage_disk_bytes", "Bytes that a store takes on disk.", (_STORE,))
STORAGE_PRUNABLE = Gauge("sequencer_storage_prunable_height_number", "Up to here tips and batches may be pruned.")
STORAGE_PRUNED_BYTES = Counter("sequencer_storage_pruned_bytes_total", "Bytes of segment files that were removed.")

# execution
EXECUTION_HEIGHT = Gauge("sequencer_execution_height_number", "Newest executed height.")
EXECUTION_LAG = Gauge("sequencer_execution_lag_count", "Committed heights that are not executed yet.")
EXECUTION_NAMESPACE_BLOCKS = Counter("sequencer_execution_namespace_blocks_total", "Namespace blocks made.")
EXECUTION_TRANSACTIONS = Counter("sequencer_execution_transactions_total", "Transactions ordered, over all namespaces.")
EXECUTION_BYTES = Counter("sequencer_execution_bytes_total", "Bytes ordered, inert segments included.")
EXECUTION_INERT = Counter("sequencer_execution_inert_segments_total", "Segments that are ordered but hold no items.")
EXECUTION_DURATION = Histogram("sequencer_execution_duration_seconds", "Time to execute one height.")

# attesting
ATTESTING_HEIGHT = Gauge("sequencer_attesting_height_number", "Newest height with an attestation certificate.")
ATTESTING_SHARES = Counter("sequencer_attesting_shares_total", "Attestation shares by direction.", (_DIRECTION,))
ATTESTING_FAULTS = Counter("sequencer_attesting_faults_total", "Shares refused.", (_REASON,))
ATTESTING_CERTIFICATES = Counter("sequencer_attesting_certificates_total", "Certificates completed.")
ATTESTING_LATENCY = Histogram("sequencer_attesting_latency_seconds", "From a block's commit until its certificate.")

# l1
L1_REACHABLE = Gauge("sequencer_l1_reachable_info", "1 while the L1 endpoint answers and is the right L1, else 0.")
L1_BLOCK = Gauge("sequencer_l1_block_number", "Newest L1 block seen.", (_L1_TAG,))
L1_ERRORS = Counter("sequencer_l1_errors_total", "Questions to the L1 that failed.")

# settlement
SETTLEMENT_HEIGHT = Gauge("sequencer_settlement_height_number", "Newest height on the L1.", (_L1_RUNG,))
SETTLEMENT_BATCH = Gauge("sequencer_settlement_batch_number", "Index of the newest batch on the L1.")
SETTLEMENT_BACKLOG_BYTES = Gauge("sequencer_settlement_backlog_bytes", "Bytes of executed blocks not on the L1.")
SETTLEMENT_BACKLOG_AGE = Gauge("sequencer_settlement_backlog_seconds", "Age of the oldest block with data not there.")
SETTLEMENT_SHARES = Counter("sequencer_settlement_shares_total", "Posters' requests answered.", (_ANSWER,))
SETTLEMENT_CERTIFYING = Histogram("sequencer_settlement_certifying_seconds", "Time until a quorum signed a batch.")
SETTLEMENT_ATTEMPTS = Counter("sequencer_settlement_attempts_total", "Own tries to commit a batch.", (_FATE,))
SETTLEMENT_BALANCE = Gauge("sequencer_settlement_balance_wei", "Balance of this validator's poster key.")
SETTLEMENT_HALTED = Gauge("sequencer_settlement_halted_info", "1 while this poster waits for an operator, else 0.")

# rpc
RPC_REQUESTS = Counter("sequencer_rpc_requests_total", "Calls answered, each of a batch.", (_METHOD, _OUTCOME))
RPC_DURATION = Histogram("sequencer_rpc_duration_seconds", "Time to answer a call.", (_METHOD,))
RPC_TRANSACTIONS = Counter("sequencer_rpc_transactions_total", "Transactions handed in.", (_METHOD,))
RPC_CONNECTIONS = Gauge("sequencer_rpc_connections_count", "Open connections.")
RPC_IN_FLIGHT = Gauge("sequencer_rpc_in_flight_count", "Requests being worked on.")
RPC_BODY_BYTES = Counter("sequencer_rpc_body_bytes_total", "Bytes of request and response bodies.", (_DIRECTION,))
RPC_WEB_SOCKETS = Gauge("sequencer_rpc_web_sockets_count", "Open WebSockets.")
RPC_SUBSCRIPTIONS = Gauge("sequencer_rpc_subscriptions_count", "Subscriptions of clients.", (_SUBSCRIPTION,))
RPC_SUBSCRIPTIONS_ENDED = Counter("sequencer_rpc_subscriptions_ended_total", "Subscriptions that ended.", (_REASON,))
RPC_NOTIFICATIONS = Counter("sequencer_rpc_notifications_total", "Items sent to subscribers.", (_SUBSCRIPTION,))
RPC_NOTIFICATION_BYTES = Counter(
    "sequencer_rpc_notification_bytes_total", "Bytes of items sent to subscribers.", (_SUBSCRIPTION,)
)

# process
PROCESS_BUILD_INFO = Gauge("sequencer_process_build_info", "Always 1; the label tells the program.", (_VERSION,))
PROCESS_LOOP_LAG = Histogram(
    "sequencer_process_loop_lag_seconds", "How late the event loop wakes a timer.", buckets=LATENCY_BUCKETS
)

METRICS: tuple[AnyMetric, ...] = tuple(value for value in globals().values() if isinstance(value, AnyMetric))
