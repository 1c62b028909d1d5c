"""What an L1 endpoint answers, as typed values: blocks, logs and receipts, read strictly.

Responsible for: turning the JSON of an Ethereum node into these types, and writing numbers and bytes as it wants them.
Refuses to do: ask anybody (`json_rpc.py`), or know a contract (`inbox.py`).

Invariants:
1. Every error is `MalformedL1Answer` and names the field.
2. A number is a `0x` hex string of at most 256 bits; bytes are a `0x` hex string of whole bytes. Both are bounded
   before they are converted.
3. A log that is pending or was removed by a reorganisation is no log: it has no place, and is refused.
4. Fields that nobody asks for are ignored.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from sequencer.l1.errors import MalformedL1Answer

T = TypeVar("T")

ADDRESS_BYTES: Final = 20
HASH_BYTES: Final = 32
TOPICS_MAX: Final = 4
LOG_BYTES_MAX: Final = 1024 * 1024  # of one log's data; an Inbox event has at most some 130 kB
RECEIPT_LOGS_MAX: Final = 4_096

BlockTag = Literal["latest", "safe", "finalized"]

_NUMBER = re.compile(r"0x[0-9a-fA-F]{1,64}\Z")
_BYTES = re.compile(r"0x(?:[0-9a-fA-F]{2})*\Z")


@dataclass(frozen=True, slots=True)
class L1Block:
    """A block's header, as far as anybody here needs it."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp_s: int
    base_fee_wei: int


@dataclass(frozen=True, slots=True)
class L1Log:
    """One event of a mined transaction."""

    address: bytes  # 20 bytes
    topics: tuple[bytes, ...]  # 32 bytes each
    data: bytes
    transaction: bytes  # 32 bytes, its hash
    block_number: int
    block_hash: bytes
    log_index: int  # within the block


@dataclass(frozen=True, slots=True)
class L1Receipt:
    """What became of a mined transaction."""

    status: int  # 1: it did what it was for; 0: it was reverted
    block_number: int
    block_hash: bytes
    gas_used: int
    gas_price_wei: int  # what a unit of gas was paid with
    created: bytes | None  # the address of the contract that was deployed
    logs: tuple[L1Log, ...]


def to_hex(data: bytes) -> str:
    """`0x` and two digits per byte."""
    return "0x" + data.hex()


def as_number(value: object, name: str) -> int:
    """A `0x` hex number of at most 256 bits."""
    if not isinstance(value, str) or not _NUMBER.match(value):
        raise MalformedL1Answer(f"{name} is a 0x hex number of at most 256 bits")
    return int(value, 16)


def as_bytes(value: object, name: str, bytes_max: int) -> bytes:
    """The bytes of a `0x` hex string, at most `bytes_max`."""
    if not isinstance(value, str) or len(value) > 2 + 2 * bytes_max or not _BYTES.match(value):
        raise MalformedL1Answer(f"{name} is a 0x hex string of at most {bytes_max} bytes")
    return bytes.fromhex(value[2:])


def as_fixed(value: object, name: str, size: int) -> bytes:
    """The bytes of a `0x` hex string, exactly `size`."""
    data = as_bytes(value, name, size)
    if len(data) != size:
        raise MalformedL1Answer(f"{name} has {size} bytes, not {len(data)}")
    return data


def as_list(value: object, name: str, count_max: int, read: Callable[[object, str], T]) -> tuple[T, ...]:
    """A list of at most `count_max` values, each read by `read`."""
    if not isinstance(value, list) or len(value) > count_max:
        raise MalformedL1Answer(f"{name} is a list of at most {count_max}")
    return tuple(read(item, f"{name}[{place}]") for place, item in enumerate(value))


class _Fields:
    """A JSON object, read field by field."""

    __slots__ = ("_name", "_values")

    def __init__(self, value: object, name: str) -> None:
        if not isinstance(value, dict):
            raise MalformedL1Answer(f"{name} is an object")
        self._values: dict[object, object] = value
        self._name = name

    def value(self, key: str) -> object:
        """The field, or none if it is not there."""
        return self._values.get(key)

    def number(self, key: str) -> int:
        return as_number(self._values.get(key), f"{self._name}.{key}")

    def hash(self, key: str) -> bytes:
        return as_fixed(self._values.get(key), f"{self._name}.{key}", HASH_BYTES)

    def address(self, key: str) -> bytes:
        return as_fixed(self._values.get(key), f"{self._name}.{key}", ADDRESS_BYTES)


def read_block(value: object) -> L1Block:
    """A block as `eth_getBlockByNumber` answers it. A chain without base fees is not supported."""
    fields = _Fields(value, "block")
    return L1Block(
        fields.number("number"),
        fields.hash("hash"),
        fields.hash("parentHash"),
        fields.number("timestamp"),
        fields.number("baseFeePerGas"),
    )


def read_log(value: object, name: str = "log") -> L1Log:
    """One log of `eth_getLogs` or of a receipt."""
    fields = _Fields(value, name)
    if fields.value("removed") is not None and fields.value("removed") is not False:
        raise MalformedL1Answer(f"{name} was removed by a reorganisation")
    topics = as_list(fields.value("topics"), f"{name}.topics", TOPICS_MAX, _topic)
    return L1Log(
        fields.address("address"),
        topics,
        as_bytes(fields.value("data"), f"{name}.data", LOG_BYTES_MAX),
        fields.hash("transactionHash"),
        fields.number("blockNumber"),
        fields.hash("blockHash"),
        fields.number("logIndex"),
    )


def _topic(value: object, name: str) -> bytes:
    return as_fixed(value, name, HASH_BYTES)


def read_receipt(value: object) -> L1Receipt:
    """A receipt as `eth_getTransactionReceipt` answers it."""
    fields = _Fields(value, "receipt")
    status = fields.number("status")
    if status > 1:
        raise MalformedL1Answer("receipt.status is 0 or 1")
    return L1Receipt(
        status,
        fields.number("blockNumber"),
        fields.hash("blockHash"),
        fields.number("gasUsed"),
        fields.number("effectiveGasPrice"),
        None if fields.value("contractAddress") is None else fields.address("contractAddress"),
        as_list(fields.value("logs"), "receipt.logs", RECEIPT_LOGS_MAX, read_log),
    )
