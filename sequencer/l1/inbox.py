"""The Inbox contract as Python calls it: calldata of a commit, its head, and the batches in its events.

Responsible for: the contract's ABI, turning certificates into calldata and events back into certificates.
Refuses to do: verify certificates (`BatchCertificate.check` does), read payloads, send, or decide anything.

Invariants:
1. What an event says is exactly what was committed: a certificate that is encoded, committed and read back is equal,
   and so is the data.
2. Only events of this one address count; whoever emits the same event from another contract is not read.
3. A log that does not decode is `MalformedL1Answer`: the contract emits none, so the endpoint or the address is wrong.
4. A range of blocks is halved until the endpoint answers; what it refuses for a single block is raised.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import trio
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from consensus.encoding import bitmap, decode_whole
from consensus.errors import InvalidObject
from consensus.genesis import Genesis
from consensus.numbers import GENESIS_EPOCH, BlockId, Epoch, Hash, Height, ValidatorIndex
from consensus.vocabulary.l1_batch import BatchCertificate, DataKind, L1Batch
from sequencer.l1.errors import ExecutionReverted, L1AnswerTooLarge, L1Refused, MalformedL1Answer, WrongInbox
from sequencer.l1.json_rpc import L1Client
from sequencer.l1.points import aggregate_key_to_l1, key_to_l1, signature_from_l1, signature_to_l1
from sequencer.l1.shapes import ADDRESS_BYTES, BlockTag, L1Log

FIELDS_TYPE: Final = "(uint64,uint64,uint64,bytes32,uint8,bytes32,bytes32,bytes32,bytes32,bytes32,uint64)"
COMMIT_TYPES: Final = (FIELDS_TYPE, "bytes", "bytes", "bytes")  # of the call, and of the event's data
COMMIT_SELECTOR: Final = keccak(text=f"commit({FIELDS_TYPE},bytes,bytes,bytes)")[:4]
COMMITTED_TOPIC: Final = keccak(text=f"BatchCommitted(uint64,address,{FIELDS_TYPE},bytes,bytes,bytes)")
_HEAD_SELECTOR: Final = keccak(text="head()")[:4]
_IDENTITY_SELECTOR: Final = keccak(text="identity()")[:4]
_HEAD_TYPES: Final = ("uint64", "uint64", "bytes32", "uint64")
_IDENTITY_TYPES: Final = ("bytes32", "uint64", "uint256", "address", "uint256")
_DEPLOY_TYPES: Final = ("bytes32", "uint256", "(bytes32[4],uint64)[]")
VALIDATORS_MAX: Final = 128  # of a set that the contract holds


@dataclass(frozen=True, slots=True)
class InboxHead:
    """What the next commit must follow on."""

    next_index: int
    next_height: int
    head_hash: bytes  # of the last batch; the chain id before the first
    last_commit_block: int  # of the L1; before the first commit, the block of the deployment


@dataclass(frozen=True, slots=True)
class CommittedBatch:
    """One commit, as its event tells it. `certificate` is not verified here; the contract did."""

    certificate: BatchCertificate
    data: bytes  # empty unless the batch's data is calldata
    poster: bytes  # 20 bytes: who called the contract
    transaction: bytes  # 32 bytes, its hash
    block_number: int
    block_hash: bytes
    log_index: int


@dataclass(frozen=True, slots=True)
class _Constants:
    """What never changes about a deployed Inbox, and about the L1 it is on."""

    chain_id: Hash
    epoch: Epoch
    validator_count: int
    validator_set: bytes  # 20 bytes: the account whose code is the set
    deployed_block: int
    l1_chain_id: int


@cache
def artifact() -> Mapping[str, Any]:
    """The compiled contract: `abi`, `bytecode`, `runtime_bytecode`, `compiler`, `evm_version`, `source_sha256`."""
    text = resources.files("sequencer.l1.contracts").joinpath("inbox.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def runtime_code() -> bytes:
    """What the code of every Inbox begins with; its constants follow."""
    return bytes.fromhex(artifact()["runtime_bytecode"][2:])


def deploy_data(chain: Genesis) -> bytes:
    """Creation code and arguments of this chain's Inbox."""
    return bytes.fromhex(artifact()["bytecode"][2:]) + encode(
        _DEPLOY_TYPES, (chain.chain_id, chain.l1_chain_id, _validators(chain))
    )


def validator_set_code(chain: Genesis) -> bytes:
    """The code of the account that holds this chain's validators: aggregate key ‖ ABI list of (key, stake)."""
    aggregate = aggregate_key_to_l1(chain.validator_set.bls_public_keys)
    return encode(("bytes32[4]", "(bytes32[4],uint64)[]"), (_words(aggregate), _validators(chain)))


def commit_arguments(certificate: BatchCertificate, data: bytes) -> tuple[tuple[object, ...], bytes, bytes, bytes]:
    """The arguments of `commit` as COMMIT_TYPES encodes them: fields, bitmap, signature, data."""
    batch = certificate.batch
    fields = (
        batch.index,
        batch.first,
        batch.last,
        batch.previous,
        int(batch.data_kind),
        batch.data_hash,
        batch.block_id,
        batch.namespaces_root,
        batch.state_root,
        batch.aux_root,
        batch.forced_cursor,
    )
    signers = bitmap(certificate.signers, certificate.count)
    return fields, signers, signature_to_l1(certificate.signature), data


class Inbox:
    """The contract at one address of the client's L1."""

    def __init__(self, client: L1Client, address: bytes) -> None:
        if len(address) != ADDRESS_BYTES:
            raise ValueError(f"an address has {ADDRESS_BYTES} bytes")
        self.address = address
        self.client = client
        self._constants: _Constants | None = None

    @staticmethod
    def encode_commit(certificate: BatchCertificate, data: bytes) -> bytes:
        """The calldata of `commit`. `data` is the payload of a CALLDATA batch, else empty. About 2 ms."""
        return COMMIT_SELECTOR + encode(COMMIT_TYPES, commit_arguments(certificate, data))

    async def head(self, block: int | BlockTag = "latest") -> InboxHead:
        """What the next commit must follow on, as of `block`. Raises `WrongInbox` where there is no Inbox (yet)."""
        return InboxHead(*await self._view(_HEAD_SELECTOR, _HEAD_TYPES, block))

    async def identity(self) -> tuple[Hash, Epoch]:
        """The chain and the epoch whose validators the contract knows."""
        constants = await self._ask_constants()
        return constants.chain_id, constants.epoch

    async def first_block(self) -> int:
        """The L1's block in which the contract was deployed: no batch is in an older one."""
        return (await self._ask_constants()).deployed_block

    async def require_chain(self, chain: Genesis, epoch: Epoch = GENESIS_EPOCH) -> None:
        """Raises `WrongInbox` unless the contract is this chain's, on its L1, with exactly its keys and stakes."""
        constants = await self._ask_constants()
        if constants.l1_chain_id != chain.l1_chain_id:
            raise WrongInbox(f"this is L1 {constants.l1_chain_id}; the genesis names {chain.l1_chain_id}")
        if (constants.chain_id, constants.epoch) != (chain.chain_id, epoch):
            raise WrongInbox(f"it is of chain {constants.chain_id.hex()}, epoch {constants.epoch}")
        # What tells its constants may be anything; only the contract's own code checks signatures.
        if not (await self.client.code(self.address)).startswith(runtime_code()):
            raise WrongInbox("its code is not the Inbox of this release")
        if await self.client.code(constants.validator_set) != validator_set_code(chain):
            raise WrongInbox("its keys or stakes are not those of the genesis")

    async def committed(self, first_block: int, last_block: int) -> list[CommittedBatch]:
        """The batches committed in these blocks, in order. See invariants 2 to 4."""
        constants = await self._ask_constants()
        ranges, found = [(first_block, last_block)], list[CommittedBatch]()
        while ranges:
            first, last = ranges.pop()
            try:
                logs = await self.client.logs(self.address, [COMMITTED_TOPIC], first, last)
            except (L1AnswerTooLarge, L1Refused):
                if first >= last:
                    raise
                middle = (first + last) // 2
                ranges += [(middle + 1, last), (first, middle)]
                continue
            if logs:
                found += await trio.to_thread.run_sync(self._read_all, logs, constants)
        return found

    async def _ask_constants(self) -> _Constants:
        if self._constants is None:
            answered = await self._view(_IDENTITY_SELECTOR, _IDENTITY_TYPES, "latest")
            chain_id, epoch, count, validator_set, deployed_block = answered
            if not 1 <= count <= VALIDATORS_MAX:
                raise WrongInbox(f"it says that it has {count} validators")
            account = bytes.fromhex(validator_set[2:])
            l1_chain_id = await self.client.chain_id()
            self._constants = _Constants(Hash(chain_id), Epoch(epoch), count, account, deployed_block, l1_chain_id)
        return self._constants

    async def _view(self, selector: bytes, types: tuple[str, ...], block: int | BlockTag) -> tuple[Any, ...]:
        try:
            answer = await self.client.call(self.address, selector, block)
            if not answer:
                raise WrongInbox("there is no contract")
            return decode(types, answer)
        except (ExecutionReverted, DecodingError) as error:
            raise WrongInbox("something else than an Inbox answers") from error

    def _read_all(self, logs: list[L1Log], constants: _Constants) -> list[CommittedBatch]:
        return [self._read(log, constants) for log in logs]

    def _read(self, log: L1Log, constants: _Constants) -> CommittedBatch:
        try:
            fields, signers, signature, data = decode(COMMIT_TYPES, log.data)
            batch = _batch(fields, constants.l1_chain_id, self.address)
            certificate = BatchCertificate(
                batch,
                tuple(ValidatorIndex(index) for index in _read_bitmap(signers, constants.validator_count)),
                signature_from_l1(signature),
                constants.validator_count,
            )
        except (DecodingError, InvalidObject, ValueError, OverflowError) as error:
            raise MalformedL1Answer(f"log {log.log_index} of block {log.block_number}: {error}") from error
        if len(log.topics) != 3 or int.from_bytes(log.topics[1], "big") != batch.index:
            raise MalformedL1Answer(f"log {log.log_index} of block {log.block_number} contradicts its topics")
        poster = log.topics[2][-ADDRESS_BYTES:]
        return CommittedBatch(
            certificate, data, poster, log.transaction, log.block_number, log.block_hash, log.log_index
        )


def _read_bitmap(data: bytes, count: int) -> tuple[int, ...]:
    """The positions set in a whole bitmap. Raises `DecodeError`."""
    return decode_whole(data, lambda reader: reader.bitmap(count))


def _batch(fields: tuple[Any, ...], l1_chain_id: int, inbox: bytes) -> L1Batch:
    index, first, last, previous, data_kind, data_hash, block_id, *roots, forced_cursor = fields
    namespaces_root, state_root, aux_root = (Hash(root) for root in roots)
    return L1Batch(
        l1_chain_id=l1_chain_id,
        inbox=inbox,
        index=index,
        first=Height(first),
        last=Height(last),
        previous=Hash(previous),
        data_kind=DataKind(data_kind),
        data_hash=Hash(data_hash),
        block_id=BlockId(block_id),
        namespaces_root=namespaces_root,
        state_root=state_root,
        aux_root=aux_root,
        forced_cursor=forced_cursor,
    )


def _validators(chain: Genesis) -> list[tuple[tuple[bytes, ...], int]]:
    validators = chain.validator_set
    return [
        (_words(key_to_l1(key)), stake)
        for key, stake in zip(validators.bls_public_keys, validators.stakes, strict=True)
    ]


def _words(point: bytes) -> tuple[bytes, ...]:
    return tuple(point[start : start + 32] for start in range(0, len(point), 32))
