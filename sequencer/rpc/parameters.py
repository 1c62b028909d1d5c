"""The parameters that methods share, each with its reader, its bounds and its JSON Schema.

Invariant: a reader accepts only the documented form, and its work is bounded by the size of the request's body.
"""

from binascii import Error as HexError
from binascii import unhexlify

from consensus.evidence.check import OFFENCE_BYTES
from consensus.limits import RECEIPT_ITEMS_MAX
from consensus.numbers import Digest, Epoch, Hash, Height, NamespaceId, NamespaceIndex, Seq, ValidatorIndex
from sequencer.client.fields import NUMBER_MAX, Fields, as_number, namespace_from_json
from sequencer.client.l1_views import BatchName
from sequencer.client.status import LADDER, LanePlace, Status
from sequencer.client.subscription_items import Kind
from sequencer.client.views import BlockName
from sequencer.rpc.errors import RequestRefused
from sequencer.rpc.method import Parameter
from sequencer.rpc.options import (
    BATCHES_PAGE_MAX,
    EVIDENCE_PAGE_MAX,
    NAMESPACES_PAGE_MAX,
    PAGE_BLOCKS_MAX,
    WAIT_TIMEOUT_DEFAULT_MS,
)

_LANE_MAX = 2**16 - 1

NUMBER_SCHEMA = {"type": "integer", "minimum": 0, "maximum": NUMBER_MAX}
HEX_SCHEMA = {"type": "string", "pattern": "^0x([0-9a-fA-F]{2})*$"}
HASH_SCHEMA = {"type": "string", "pattern": "^0x[0-9a-fA-F]{64}$"}
NAMESPACE_SCHEMA = {
    "oneOf": [NUMBER_SCHEMA, {"type": "string", "pattern": "^0x[1-9a-fA-F][0-9a-fA-F]{0,15}$"}],
}


def read_hex(value: object, name: str) -> bytes:
    """The bytes of a `0x` hex string."""
    if not isinstance(value, str) or value[:2] != "0x":
        raise RequestRefused("malformed", f"{name} is a 0x hex string")
    try:
        return unhexlify(value[2:])
    except (HexError, ValueError) as error:
        raise RequestRefused("malformed", f"{name} is a 0x hex string with two digits per byte") from error


def read_hash(value: object, name: str) -> Hash:
    """32 bytes in hex."""
    data = read_hex(value, name)
    if len(data) != 32:
        raise RequestRefused("malformed", f"{name} has 32 bytes, not {len(data)}")
    return Hash(data)


def _read_data(value: object) -> bytes:
    return read_hex(value, "data")


def _read_items(value: object) -> list[bytes]:
    if not isinstance(value, list):
        raise RequestRefused("malformed", "data is a list of 0x hex strings")
    if not value:
        raise RequestRefused("empty", "data has no entries")
    if len(value) > RECEIPT_ITEMS_MAX:
        raise RequestRefused("oversized", f"data has at most {RECEIPT_ITEMS_MAX} entries")
    return [read_hex(entry, f"data[{place}]") for place, entry in enumerate(value)]


def _read_block_name(value: object) -> Height | BlockName:
    match value:
        case "ordered" | "final" | "attested" | "posted" | "settled":
            return value
        case str():
            raise RequestRefused("malformed", "height is a number, or ordered, final, attested, posted or settled")
        case _:
            return Height(as_number(value, "height"))


def _read_attested_height(value: object) -> Height | str:
    return "attested" if value == "attested" else Height(as_number(value, "height"))


def _read_batch_name(value: object) -> int | BatchName:
    match value:
        case "posted" | "settled":
            return value
        case str():
            raise RequestRefused("malformed", "index is a number, or posted or settled")
        case _:
            return as_number(value, "index")


def _read_offence(value: object, name: str) -> bytes:
    data = read_hex(value, name)
    if len(data) not in (0, OFFENCE_BYTES):
        raise RequestRefused("malformed", f"{name} is an id of {OFFENCE_BYTES} bytes, or 0x")
    return data


def _read_kind(value: object) -> Kind:
    for kind in Kind:
        if value == kind.value:
            return kind
    raise RequestRefused("malformed", "kind is one of: " + ", ".join(Kind))


def _read_filter(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise RequestRefused("malformed", "filter is an object")
    return value


def _read_subscription(value: object) -> str:
    if not isinstance(value, str):
        raise RequestRefused("malformed", "subscription is the id that seq_subscribe answered")
    return value


def _read_rung(value: object) -> Status:
    for status in LADDER:
        if value == status.value:
            return status
    raise RequestRefused("malformed", "status is a rung of the ladder: " + ", ".join(LADDER))


def _read_place(value: object) -> LanePlace | None:
    if value is None:
        return None
    fields = Fields(value, "place")
    return LanePlace(
        ValidatorIndex(fields.number("lane", _LANE_MAX)), Seq(fields.number("seq")), Digest(fields.hash("batch"))
    )


def _count(maximum: int, description: str = "At most this many.", default: int | None = None) -> Parameter:
    """How many entries a page has at most, and the method's bound; by default that bound."""

    def read(value: object) -> int:
        count = as_number(value, "count", maximum)
        if count == 0:
            raise RequestRefused("malformed", f"count is 1 to {maximum}")
        return count

    schema = {"type": "integer", "minimum": 1, "maximum": maximum}
    return Parameter("count", description, schema, read, maximum if default is None else default)


NAMESPACE = Parameter("namespace", "Id of a registered namespace.", NAMESPACE_SCHEMA, namespace_from_json)
DATA = Parameter("data", "The transaction's bytes.", HEX_SCHEMA, _read_data)
ITEMS = Parameter(
    "data",
    "The transactions' bytes, in order.",
    {"type": "array", "items": HEX_SCHEMA, "minItems": 1, "maxItems": RECEIPT_ITEMS_MAX},
    _read_items,
)
HASH = Parameter("hash", "A transaction's hash.", HASH_SCHEMA, lambda value: read_hash(value, "hash"))
PLACE = Parameter(
    "place",
    "What its receipt says: by it a node that does not know the hash can say where that batch stands. That the "
    "transaction is in the batch is the word of the receipt's author, who is convicted (E8) if it is not.",
    {
        "oneOf": [
            {
                "type": "object",
                "properties": {"lane": NUMBER_SCHEMA, "seq": NUMBER_SCHEMA, "batch": HASH_SCHEMA},
                "required": ["lane", "seq", "batch"],
            },
            {"type": "null"},
        ]
    },
    _read_place,
    None,
)
RUNG = Parameter(
    "status",
    "The status to wait for.",
    {"type": "string", "enum": [status.value for status in LADDER]},
    _read_rung,
    Status.FINAL,
)
TIMEOUT_MS = Parameter(
    "timeout_ms",
    "How long to wait at most, in milliseconds; a node lowers it to its own bound.",
    NUMBER_SCHEMA,
    lambda value: as_number(value, "timeout_ms"),
    WAIT_TIMEOUT_DEFAULT_MS,
)
BLOCK = Parameter(
    "height",
    "A height, or the newest block of a status.",
    {"oneOf": [NUMBER_SCHEMA, {"type": "string", "enum": ["ordered", "final", "attested", "posted", "settled"]}]},
    _read_block_name,
)
ATTESTED_HEIGHT = Parameter(
    "height",
    "A height, covered by the first attested one at or above it; `attested` is the newest.",
    {"oneOf": [NUMBER_SCHEMA, {"type": "string", "enum": ["attested"]}]},
    _read_attested_height,
    "attested",
)
FROM_INDEX = Parameter(
    "from_index",
    "Number of the first block wanted; a namespace's blocks are numbered 0, 1, 2 …",
    NUMBER_SCHEMA,
    lambda value: NamespaceIndex(as_number(value, "from_index")),
)
COUNT = _count(PAGE_BLOCKS_MAX, "At most this many blocks; a page may hold fewer because its bytes are bounded.", 100)
FIRST_RUN = Parameter(
    "first_run",
    "Number of the first run wanted of the first block, to go on inside a block that is larger than a page.",
    NUMBER_SCHEMA,
    lambda value: as_number(value, "first_run"),
    0,
)
BATCH = Parameter(
    "index",
    "Number of an L1 batch, from 1 on, or the newest of a status.",
    {"oneOf": [NUMBER_SCHEMA, {"type": "string", "enum": ["posted", "settled"]}]},
    _read_batch_name,
)
FROM_BATCH = Parameter(
    "from_index",
    "Number of the first batch wanted.",
    NUMBER_SCHEMA,
    lambda value: as_number(value, "from_index"),
    1,
)
BATCHES_COUNT = _count(BATCHES_PAGE_MAX)
AFTER_OFFENCE = Parameter(
    "after",
    "The id behind which the page begins: the last one of the page before.",
    HEX_SCHEMA,
    lambda value: _read_offence(value, "after"),
    b"",
)
OFFENCE = Parameter(
    "id",
    "Only the proof of this offence, if there is one; `after` and `count` mean nothing then.",
    HEX_SCHEMA,
    lambda value: _read_offence(value, "id"),
    b"",
)
EVIDENCE_COUNT = _count(EVIDENCE_PAGE_MAX, "At most this many; a page may hold fewer because its bytes are bounded.")
EPOCH = Parameter("epoch", "An epoch.", NUMBER_SCHEMA, lambda value: Epoch(as_number(value, "epoch")), Epoch(0))
FROM_ID = Parameter(
    "from_id",
    "Lowest namespace id wanted.",
    NAMESPACE_SCHEMA,
    lambda value: namespace_from_json(value, "from_id"),
    NamespaceId(0),
)
NAMESPACES_COUNT = _count(NAMESPACES_PAGE_MAX)
KIND = Parameter(
    "kind",
    "What to subscribe to.",
    {"type": "string", "enum": [kind.value for kind in Kind]},
    _read_kind,
)
FILTER = Parameter("filter", "Which items, by kind.", {"type": "object"}, _read_filter, {})
SUBSCRIPTION = Parameter("subscription", "Its id.", {"type": "string"}, _read_subscription)
