"""An L1 in memory: blocks, a pool with geth's strict rules, and one Inbox, which is the model of `inbox_model.py`.

Nothing happens by itself: a test mines, reorganises, withholds, drops and breaks the connection. `MemoryL1Client` is
the real client with the connection left out, so answers are read as those of any endpoint.

geth's rules: per sender one transaction for a nonce, mined in the order of nonces without a gap; replaced only by one
that pays more than 12.5 % more in both fees; `nonce too low`, `already known`, no funds and oversized data are refused.
A reorganisation puts the transactions of the blocks it takes back into the pool again.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import trio
from eth_abi.abi import decode, encode
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from consensus.encoding import u8, u64, u256
from consensus.numbers import GENESIS_EPOCH
from consensus.signing import PREFIX, sha256
from consensus.vocabulary.l1_batch import BatchCertificate
from sequencer.l1.errors import ExecutionReverted, L1Refused, L1Unreachable
from sequencer.l1.inbox import (
    COMMIT_SELECTOR,
    COMMIT_TYPES,
    COMMITTED_TOPIC,
    InboxHead,
    runtime_code,
    validator_set_code,
)
from sequencer.l1.json_rpc import L1Client
from sequencer.l1.shapes import to_hex
from tests.committee import Committee
from tests.inbox_model import Call, InboxModel, call_of

T = TypeVar("T")

INBOX = b"\x1b" * 20
VALIDATORS_ACCOUNT = b"\x08" * 20
DEPLOYED_BLOCK = 1
BASE_FEE_WEI = 10**9
ETHER_WEI = 10**18
GAS_LIMIT_MAX = 2**24
TRANSACTION_BYTES_MAX = 128 * 1024
GAS_REVERTED, GAS_DONE = 34_000, 230_000
OUT_OF_GAS = "out of gas"
_METHODS = {
    "eth_chainId": "chain_id",
    "eth_getBlockByNumber": "block",
    "eth_getCode": "code",
    "eth_syncing": "syncing",
    "eth_call": "call",
    "eth_estimateGas": "estimate_gas",
    "eth_getTransactionCount": "nonce",
    "eth_getBalance": "balance",
    "eth_sendRawTransaction": "send_raw",
    "eth_getTransactionReceipt": "receipt",
    "eth_getLogs": "logs",
}
_VERDICTS: dict[tuple[bytes, bytes, InboxHead], str | None] = {}  # of calls, which histories repeat


@dataclass(frozen=True)
class Transaction:
    """As the pool knows it."""

    hash: bytes
    sender: bytes
    nonce: int
    data: bytes
    gas: int
    max_fee_wei: int
    priority_fee_wei: int
    size: int = 0

    @staticmethod
    def decode(raw: bytes) -> "Transaction":
        fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
        return Transaction(
            keccak(raw),
            bytes.fromhex(Account.recover_transaction(raw)[2:]),
            fields["nonce"],
            bytes(fields["data"]),
            fields["gas"],
            fields["maxFeePerGas"],
            fields["maxPriorityFeePerGas"],
            len(raw),
        )

    @property
    def worst_wei(self) -> int:
        return self.gas * self.max_fee_wei


@dataclass(frozen=True)
class Mined:
    """A transaction in a block. `refusal` is why it was reverted."""

    transaction: Transaction
    refusal: str | None

    @property
    def gas_used(self) -> int:
        return GAS_DONE if self.refusal is None else GAS_REVERTED


@dataclass(frozen=True)
class Block:
    """A block and the state after it."""

    number: int
    hash: bytes
    parent_hash: bytes
    mined: tuple[Mined, ...]
    head: InboxHead
    nonces: dict[bytes, int]
    balances: dict[bytes, int]


@dataclass
class MemoryL1:
    """See the module. `unfinalized`: how many of the newest blocks are not final."""

    committee: Committee
    unfinalized: int = 8
    base_fee_wei: int = BASE_FEE_WEI
    is_away: bool = False
    loses_answers: bool = False  # requests arrive, and the answer never does
    runs_out_of_gas: bool = False  # whatever is executed now is reverted for no reason of the contract
    before: Callable[[str, list[Any]], None] | None = None  # called before a request is answered
    withheld: set[bytes] = field(default_factory=set)  # hashes that no block takes
    pool: dict[tuple[bytes, int], Transaction] = field(default_factory=dict)
    received: dict[tuple[bytes, int], set[bytes]] = field(default_factory=dict)  # hashes by sender and nonce
    asked: Counter[str] = field(default_factory=Counter)
    sent: list[bytes] = field(default_factory=list)  # raw, in the order in which they came, refused ones too

    def __post_init__(self) -> None:
        self._forks = 0
        head = InboxHead(1, 1, self.committee.chain.chain_id, DEPLOYED_BLOCK)
        self.blocks = [Block(0, sha256(b"first"), bytes(32), (), head, {}, {})]
        self.mine(DEPLOYED_BLOCK)

    # what a test does

    @property
    def newest(self) -> Block:
        return self.blocks[-1]

    @property
    def head(self) -> InboxHead:
        """Of the Inbox, after the newest block."""
        return self.newest.head

    def give(self, account: bytes, wei: int) -> None:
        """Sets a balance from the newest block on."""
        self.newest.balances[account] = wei

    def mine(self, count: int = 1, *, takes_pool: bool = True) -> None:
        """Further blocks, each with all that the pool may have mined."""
        for _ in range(count):
            self.blocks.append(self._next_block(self._eligible() if takes_pool else ()))

    def reorganise(self, depth: int, *, takes_pool: bool = True, first: Iterable[bytes] = ()) -> None:
        """Other blocks instead of the newest `depth`, and one more. `first`: hashes that are alone in the first one."""
        taken_back = self.blocks[-depth:]
        del self.blocks[-depth:]
        self._forks += 1
        for block in taken_back:
            for mined in block.mined:
                self.pool.setdefault((mined.transaction.sender, mined.transaction.nonce), mined.transaction)
        wanted = set(first)
        if wanted:
            self.blocks.append(self._next_block([item for item in self._eligible() if item.hash in wanted]))
        self.mine(depth + 1 - bool(wanted), takes_pool=takes_pool)

    def drop(self, transaction: bytes) -> None:
        """The pool forgets a transaction."""
        self.pool = {place: item for place, item in self.pool.items() if item.hash != transaction}

    def hand_in(self, certificate: BatchCertificate, data: bytes = b"", *, sender: bytes = b"\x77" * 20) -> bytes:
        """Another poster's commit, into the pool; returns its hash."""
        self.newest.balances.setdefault(sender, ETHER_WEI)
        return self.use_nonce(sender, call_of(certificate, data).encode())

    def use_nonce(self, sender: bytes, data: bytes = b"") -> bytes:
        """A transaction of this account that was signed elsewhere, into the pool in place of what has its nonce."""
        nonce = self.newest.nonces.get(sender, 0)
        name = sha256(b"elsewhere" + sender + u64(nonce) + data)
        self.pool[sender, nonce] = Transaction(name, sender, nonce, data, 10**6, 10**12, 10**9)
        return name

    # blocks

    def _eligible(self) -> list[Transaction]:
        """What the next block may take: each sender's in the order of nonces, without a gap, and able to pay."""
        found = list[Transaction]()
        for (sender, nonce), item in sorted(self.pool.items()):
            expected = self.newest.nonces.get(sender, 0) + sum(other.sender == sender for other in found)
            if nonce == expected and item.hash not in self.withheld and item.max_fee_wei >= self.base_fee_wei:
                found.append(item)
        return found

    def _next_block(self, transactions: Iterable[Transaction]) -> Block:
        before, number = self.newest, self.newest.number + 1
        head, mined = before.head, list[Mined]()
        nonces, balances = dict(before.nonces), dict(before.balances)
        for item in transactions:
            refusal = self._refusal(item.data, head)
            if refusal is None and item.data:
                head = self._after(item.data, number)
            mined.append(Mined(item, refusal))
            nonces[item.sender] = item.nonce + 1
            price_wei = min(item.max_fee_wei, self.base_fee_wei + item.priority_fee_wei)
            balances[item.sender] = balances.get(item.sender, 0) - price_wei * mined[-1].gas_used
        for sender, nonce in [*self.pool]:
            if nonce < nonces.get(sender, 0):
                del self.pool[sender, nonce]
        name = sha256(b"block" + u64(number) + u64(self._forks) + before.hash)
        return Block(number, name, before.hash, tuple(mined), head, nonces, balances)

    def _refusal(self, data: bytes, head: InboxHead) -> str | None:
        if not data:
            return None
        if self.runs_out_of_gas:
            return OUT_OF_GAS
        chain, place = self.committee.chain, replace(head, last_commit_block=0)
        key = (chain.chain_id, data, place)
        if key not in _VERDICTS:
            _VERDICTS[key] = InboxModel(self.committee, chain.l1_chain_id, INBOX, place).refusal(_call_in(data))
        return _VERDICTS[key]

    def _after(self, data: bytes, number: int) -> InboxHead:
        chain = self.committee.chain
        index, first, last, previous, data_kind, data_hash, *roots, cursor = _call_in(data).fields
        body = u256(chain.l1_chain_id) + INBOX + u64(index) + u64(first) + u64(last) + previous
        body += u8(data_kind) + data_hash + b"".join(roots) + u64(cursor)
        return InboxHead(index + 1, last + 1, sha256(PREFIX + u8(65) + chain.chain_id + body), number)

    # what an endpoint answers

    def answer(self, method: str, parameters: list[Any]) -> Any:
        """The result of a JSON-RPC request. Raises as the client does."""
        self.asked[method] += 1
        if self.before is not None:
            self.before(method, parameters)
        if self.is_away:
            raise L1Unreachable("l1.invalid: ConnectError")
        result = getattr(self, f"_answer_{_METHODS[method]}")(*parameters)
        if self.loses_answers:
            raise L1Unreachable("l1.invalid: TooSlowError")
        return result

    def _at(self, block: str) -> Block | None:
        if block == "finalized":
            return self.blocks[max(0, self.newest.number - self.unfinalized)]
        number = self.newest.number if block == "latest" else int(block, 16)
        return self.blocks[number] if number < len(self.blocks) else None

    def _answer_chain_id(self) -> str:
        return hex(self.committee.chain.l1_chain_id)

    def _answer_block(self, block: str, _: bool) -> Any:
        found = self._at(block)
        return None if found is None else {
            "number": hex(found.number),
            "hash": to_hex(found.hash),
            "parentHash": to_hex(found.parent_hash),
            "timestamp": hex(1_700_000_000 + 12 * found.number),
            "baseFeePerGas": hex(self.base_fee_wei),
        }  # fmt: skip

    def _answer_code(self, address: str, _: str) -> str:
        return to_hex(runtime_code() if address == to_hex(INBOX) else validator_set_code(self.committee.chain))

    def _answer_syncing(self) -> bool:
        return False

    def _answer_call(self, call: dict[str, str], _: str) -> str:
        chain = self.committee.chain
        if call["data"][:10] == to_hex(keccak(text="identity()")[:4]):
            values = (chain.chain_id, GENESIS_EPOCH, self.committee.count, VALIDATORS_ACCOUNT, DEPLOYED_BLOCK)
            return to_hex(encode(("bytes32", "uint64", "uint256", "address", "uint256"), values))
        head = self.head
        fields = (head.next_index, head.next_height, head.head_hash, head.last_commit_block)
        return to_hex(encode(("uint64", "uint64", "bytes32", "uint64"), fields))

    def _answer_estimate_gas(self, call: dict[str, str], _: str) -> str:
        refusal = self._refusal(bytes.fromhex(call["data"][2:]), self.head)
        if refusal is not None:
            raise ExecutionReverted(refusal)
        return hex(GAS_DONE)

    def _answer_nonce(self, account: str, _: str) -> str:
        return hex(self.newest.nonces.get(bytes.fromhex(account[2:]), 0))

    def _answer_balance(self, account: str, _: str) -> str:
        return hex(self.newest.balances.get(bytes.fromhex(account[2:]), 0))

    def _answer_send_raw(self, raw: str) -> str:
        self.sent.append(bytes.fromhex(raw[2:]))
        item = Transaction.decode(self.sent[-1])
        self.received.setdefault((item.sender, item.nonce), set()).add(item.hash)
        there = self.pool.get((item.sender, item.nonce))
        refusal = self._pool_refusal(item, there)
        if refusal is not None:
            raise L1Refused(-32_000, refusal)
        self.pool[item.sender, item.nonce] = item
        return to_hex(item.hash)

    def _pool_refusal(self, item: Transaction, there: Transaction | None) -> str | None:
        known = there is not None and there.hash == item.hash
        bumped = there is None or all(
            8 * new > 9 * old
            for new, old in (
                (item.max_fee_wei, there.max_fee_wei),
                (item.priority_fee_wei, there.priority_fee_wei),
            )
        )
        rules = (
            (known, "already known"),
            (item.size > TRANSACTION_BYTES_MAX, "oversized data: transaction size, limit 131072"),
            (item.gas > GAS_LIMIT_MAX, "transaction gas limit too high"),
            (item.nonce < self.newest.nonces.get(item.sender, 0), "nonce too low"),
            (
                item.worst_wei > self.newest.balances.get(item.sender, 0),
                "insufficient funds for gas * price + value",
            ),
            (not bumped, "replacement transaction underpriced"),
        )
        return next((reason for broken, reason in rules if broken), None)

    def _answer_receipt(self, transaction: str) -> Any:
        for block in reversed(self.blocks):
            for mined in block.mined:
                if to_hex(mined.transaction.hash) == transaction:
                    return {
                        "status": hex(mined.refusal is None),
                        "blockNumber": hex(block.number),
                        "blockHash": to_hex(block.hash),
                        "gasUsed": hex(mined.gas_used),
                        "effectiveGasPrice": hex(self.base_fee_wei),
                        "contractAddress": None,
                        "logs": [],
                    }
        return None

    def _answer_logs(self, query: dict[str, Any]) -> list[Any]:
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        assert query["address"] == to_hex(INBOX)
        return [
            _log(block, place, mined)
            for block in self.blocks[first : last + 1]
            for place, mined in enumerate(block.mined)
            if mined.refusal is None and mined.transaction.data
        ]


def _call_in(data: bytes) -> Call:
    assert data.startswith(COMMIT_SELECTOR)
    return Call(*decode(COMMIT_TYPES, data[4:]))


def _log(block: Block, place: int, mined: Mined) -> dict[str, Any]:
    """The event of a commit: what it holds is what the call held."""
    item = mined.transaction
    index = _call_in(item.data).index
    topics = (COMMITTED_TOPIC, index.to_bytes(32, "big"), item.sender.rjust(32, b"\x00"))
    return {
        "address": to_hex(INBOX),
        "topics": [to_hex(topic) for topic in topics],
        "data": to_hex(item.data[4:]),
        "transactionHash": to_hex(item.hash),
        "blockNumber": hex(block.number),
        "blockHash": to_hex(block.hash),
        "logIndex": hex(place),
        "removed": False,
    }


class MemoryL1Client(L1Client):
    """A client whose endpoint is a `MemoryL1`."""

    def __init__(self, l1: MemoryL1) -> None:
        super().__init__("http://l1.invalid")
        self.l1 = l1

    async def _ask(self, method: str, parameters: list[Any], read: Callable[[object], T]) -> T:
        await trio.lowlevel.checkpoint()
        return read(self.l1.answer(method, parameters))
