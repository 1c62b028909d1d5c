"""A chain that execution ran, committed to an L1 in memory by its committee's signatures, as a deriver meets it.

`CommittedChain` makes certified batches and answers as the Inbox would; `answer` does so for a JSON-RPC endpoint.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from consensus.encoding import bitmap
from consensus.genesis import Genesis
from consensus.numbers import GENESIS_EPOCH, Hash, Height, ValidatorIndex
from consensus.signing import sha256
from consensus.vocabulary.l1_batch import BatchCertificate, DataKind, L1Batch, make_batch_certificate
from consensus.vocabulary.payload import Compression
from sequencer.derive.errors import PayloadUnavailable
from sequencer.l1.inbox import COMMITTED_TOPIC, FIELDS_TYPE, CommittedBatch, InboxHead, runtime_code, validator_set_code
from sequencer.l1.points import signature_to_l1
from sequencer.l1.shapes import L1Block, read_block, to_hex
from tests.chain_run import ChainRun
from tests.committee import Committee
from tests.payload_tables import content_of

L1_CHAIN_ID = 31_337
INBOX = bytes(range(20))
POSTER = b"\x07" * 20
VALIDATORS_ACCOUNT = b"\x08" * 20
BLOCKS_PER_COMMIT = 3
DEPLOYED_BLOCK = 2


def on_l1(committee: Committee) -> Committee:
    """The committee with a genesis that names an L1."""
    committee.chain = replace(committee.chain, l1_chain_id=L1_CHAIN_ID)
    return committee


def certify(committee: Committee, batch: L1Batch, signers: Iterable[int] = (0, 1, 2)) -> BatchCertificate:
    """The batch, signed by these."""
    digest = batch.signing_digest(committee.chain.domain)
    shares = {ValidatorIndex(signer): committee.bls_keys[signer].sign(digest) for signer in signers}
    return make_batch_certificate(batch, shares, committee.count)


@dataclass
class CommittedChain:
    """The batches of one run, in order, and the payloads that are held."""

    run: ChainRun
    batches: list[CommittedBatch] = field(default_factory=list)
    held: dict[int, bytes] = field(default_factory=dict)
    asked: list[tuple[int, int]] = field(default_factory=list)
    unfinalized: int = 0  # so many of the newest blocks
    inbox: bytes = INBOX

    @property
    def committee(self) -> Committee:
        return self.run.committee

    @property
    def last_block(self) -> int:
        """The newest block of the L1."""
        return BLOCKS_PER_COMMIT * (len(self.batches) + 1)

    def payload(self, first: int, last: int, compression: Compression = Compression.NONE) -> bytes:
        """The payload of a range."""
        blocks = [result.block for result in self.run.results[first - 1 : last]]
        return content_of(self.run, blocks).encode(compression)

    def next_batch(self, last: int, data_kind: DataKind, data: bytes) -> L1Batch:
        """The batch that goes on to this height, as an honest committee signs it."""
        head, block = self._head(), self.run.results[last - 1].block
        return L1Batch(
            l1_chain_id=self.committee.chain.l1_chain_id,
            inbox=self.inbox,
            index=head.next_index,
            first=Height(head.next_height),
            last=Height(last),
            previous=Hash(head.head_hash),
            data_kind=data_kind,
            data_hash=sha256(data),
            block_id=block.block_id,
            namespaces_root=block.namespaces_root,
        )

    def commit(self, last: int, data_kind: DataKind, data: bytes | None = None, **changed: Any) -> CommittedBatch:
        """Commits the next range, up to this height. `data` is a payload that is wrong, `changed` fields that are."""
        if data is None:
            compression = Compression.NONE if data_kind is DataKind.HELD else Compression.ZLIB
            data = self.payload(self._head().next_height, last, compression)
        batch = replace(self.next_batch(last, data_kind, data), **changed)
        if data_kind is DataKind.HELD:
            self.held[batch.index] = data
        return self.add(certify(self.committee, batch), b"" if data_kind is DataKind.HELD else data)

    def add(self, certificate: BatchCertificate, data: bytes) -> CommittedBatch:
        """What the contract would log for these arguments; it refuses nothing."""
        number = BLOCKS_PER_COMMIT * (len(self.batches) + 1)
        transaction, block_hash = sha256(b"transaction %d" % number), sha256(b"block %d" % number)
        committed = CommittedBatch(certificate, data, POSTER, transaction, number, block_hash, 0)
        self.batches.append(committed)
        return committed

    def _head(self) -> InboxHead:
        if not self.batches:
            return InboxHead(1, 1, self.committee.chain.chain_id, 0)
        newest = self.batches[-1]
        batch = newest.certificate.batch
        return InboxHead(batch.index + 1, batch.last + 1, batch.hash(self.committee.chain.domain), newest.block_number)

    async def require_chain(self, chain: Genesis) -> None:
        assert chain.chain_id == self.committee.chain.chain_id

    async def head(self) -> InboxHead:
        return self._head()

    async def block(self, block: Literal["latest"]) -> L1Block:
        return read_block(self.answer("eth_getBlockByNumber", [block, False]))

    async def committed(self, first_block: int, last_block: int) -> list[CommittedBatch]:
        self.asked.append((first_block, last_block))
        return [item for item in self.batches if first_block <= item.block_number <= last_block]

    async def fetch(self, index: int, data_hash: Hash) -> bytes:
        data = self.held.get(index, b"")
        if sha256(data) != data_hash:
            raise PayloadUnavailable(index, "this node does not have it")
        return data

    def answer(self, method: str, parameters: list[Any]) -> Any:
        """The result of a JSON-RPC request to the L1."""
        chain, head = self.committee.chain, self._head()
        if method == "eth_chainId":
            return hex(chain.l1_chain_id)
        if method == "eth_getBlockByNumber":
            tags = {"latest": self.last_block, "finalized": self.last_block - self.unfinalized}
            return self._block(tags[parameters[0]])
        if method == "eth_getCode":
            return to_hex(runtime_code() if parameters[0] == to_hex(self.inbox) else validator_set_code(chain))
        if method == "eth_call":
            selector = parameters[0]["data" if "data" in parameters[0] else "input"][:10]
            if selector == to_hex(keccak(text="identity()")[:4]):
                values = (chain.chain_id, GENESIS_EPOCH, self.committee.count, VALIDATORS_ACCOUNT, DEPLOYED_BLOCK)
                return to_hex(encode(("bytes32", "uint64", "uint256", "address", "uint256"), values))
            fields = (head.next_index, head.next_height, head.head_hash, head.last_commit_block)
            return to_hex(encode(("uint64", "uint64", "bytes32", "uint64"), fields))
        assert method == "eth_getLogs"
        first, last = int(parameters[0]["fromBlock"], 16), int(parameters[0]["toBlock"], 16)
        return [_log(item) for item in self.batches if first <= item.block_number <= last]

    def _block(self, number: int) -> dict[str, str]:
        block_hash, parent_hash = sha256(b"block %d" % number), sha256(b"block %d" % (number - 1))
        return {
            "number": hex(number),
            "hash": to_hex(block_hash),
            "parentHash": to_hex(parent_hash),
            "timestamp": hex(1_700_000_000 + 12 * number),
            "baseFeePerGas": "0x7",
        }


def _log(committed: CommittedBatch) -> dict[str, Any]:
    certificate = committed.certificate
    batch = certificate.batch
    fields = (
        batch.index,
        batch.first,
        batch.last,
        batch.previous,
        batch.data_kind,
        batch.data_hash,
        batch.block_id,
        batch.namespaces_root,
        batch.state_root,
        batch.aux_root,
        batch.forced_cursor,
    )
    signers = bitmap(certificate.signers, certificate.count)
    values = (fields, signers, signature_to_l1(certificate.signature), committed.data)
    index, poster = batch.index.to_bytes(32, "big"), committed.poster.rjust(32, b"\x00")
    return {
        "address": to_hex(batch.inbox),
        "topics": [to_hex(COMMITTED_TOPIC), to_hex(index), to_hex(poster)],
        "data": to_hex(encode((FIELDS_TYPE, "bytes", "bytes", "bytes"), values)),
        "transactionHash": to_hex(committed.transaction),
        "blockNumber": hex(committed.block_number),
        "blockHash": to_hex(committed.block_hash),
        "logIndex": "0x0",
        "removed": False,
    }
