"""Every bound of the protocol in one table, with its reason. The reference page is generated from it.

Responsible for: numbers that a decoder, a pool or a queue compares with before it uses or stores something.
Refuses to do: parameters that an operator may set (`sequencer/node/config.py`) or that a chain fixes (`genesis.py`).

Invariants:
1. A bound that two validators must agree on is either here (same for every chain) or in the genesis, never in a file.
"""

VALIDATORS_MAX = 128  # leader tables, bitmaps and report matrices are sized by it; about 100 are foreseen
NAMESPACES_MAX = 65_536  # one queue and one Merkle leaf each
NAMESPACE_BYTES_CEILING = 2**40  # what a genesis may set a namespace's bytes to, a second or in the queue; fits in JSON
NAMESPACE_TX_CEILING = 2**32 - 1  # and its transactions
SHARES_PERMILLE_MAX = 900  # of all namespaces together: those without a share always get a tenth of a batch
NAME_BYTES_MAX = 64  # names of chains and namespaces, for people
STAKE_TOTAL_MAX = 2**63 - 1  # so that twice a stake fits in a u64 anywhere

BATCH_SEGMENTS_MAX = 4_096  # one (namespace, kind) each; bounds a batch header to about 220 kB
BATCH_BYTES_FLOOR = 64 * 1024  # a genesis may not set BATCH_BYTES_MAX below one transaction of the largest size
BATCH_BYTES_CEILING = 8 * 1024 * 1024  # nor above what a link sends in well under a view
TX_BYTES_CEILING = 1024 * 1024  # what a genesis may set TX_BYTES_MAX to; it must fit twice in a batch
RECEIPT_ITEMS_MAX = 4_096  # transactions of one request in one batch
LANE_REPORT_BATCHES_CEILING = 64  # per lane; a genesis takes min(64, 1,024 / n)
LANE_REPORT_TOTAL = 1_024  # batches in one report over all lanes, so that a report stays below about 50 kB
AHEAD_BATCHES_MAX = 64  # batches of one lane buffered ahead of a gap

COMMIT_BYTES_FLOOR = 1_024  # a genesis may not set COMMIT_BYTES_MAX below a block's entry in a payload's table
COMMIT_BYTES_CEILING = 120_000  # nor above what the Inbox takes; L1 nodes relay transactions of at most 128 KiB

VIEWS_AHEAD = 10  # votes are kept for views from view − 1 to view + 10
TIPS_UNCOMMITTED_MAX = 1_024  # tips kept in memory beyond the committed chain
TIMESTAMP_MS_MAX = 2**53 - 1  # times are JSON numbers; a far-future clock cannot overflow a later sum
WALK_BYTES_MAX = 1024 * 1024  # one page of tips, parents of a certificate
WALK_TIPS_MAX = 256  # tips in one page
WALK_MARKS_MAX = 1_024  # pages of a long walk that are remembered by their first tip's id; beyond it every other one
WALK_UNHELD_MAX = 8_192  # committed batches whose bytes are missing, before a walk waits for them on its way up
STEP_LANES_MAX = 1_024  # blocks × lanes ordered or committed in one step, so that no step takes longer than a vote may

PAYLOAD_BYTES_MAX = 64 * 1024 * 1024  # of an L1 batch, uncompressed; a range that needs more is posted in several
PAYLOAD_BLOCK_BYTES_MAX = 1024 * 1024 * 1024  # of one with a single block, which has no halves: 1,024 batches of 1 MiB
PAYLOAD_RUNS_MAX = 4_194_304  # runs of an L1 batch: a block's 1,024 batches with 4,096 segments each

LEADER_TABLE_MIN = 256  # slots of the leader table; 4n if that is more
PACEMAKER_EXPONENT_MAX = 6  # 1.2^6 ≈ 3: then 1.1 per further view up to T_MAX
