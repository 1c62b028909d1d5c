"""What a poster asks validators to sign, and how a validator answers.

Responsible for: the request and the answer, and judging a request against the own chain.
Refuses to do: read blocks or sign (the shell hands in the own payload and takes the batches to sign), or trust a
poster: the payload is decoded and compared with the own blocks.

Invariants:
1. A validator signs only what follows the newest batch it sees on the L1, up to a height that it has executed, so whose
   bytes it has synced: a quorum of shares says that more than 2/3 of the stake hold the data.
2. Two digests of one range differ only in where the data is; roots and block id are the validator's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, unique

from consensus import bls
from consensus.encoding import Reader, decode_whole, sequence, u8, u64, variable
from consensus.errors import DecodeError
from consensus.genesis import ChainParameters
from consensus.numbers import Hash, Height
from consensus.signing import sha256
from consensus.vocabulary.l1_batch import DataKind, L1Batch
from consensus.vocabulary.payload import decode_payload
from sequencer.settlement.packing import PackedRange, compress

CALLDATA_EXPANSION_MAX = 16  # uncompressed bytes per byte allowed in calldata: bounds the work of whoever compares
REQUEST_OVERHEAD_BYTES = 8 + 8 + 8 + 32 + 4


@unique
class L1DataPolicy(IntEnum):
    """The genesis parameter `l1_data`."""

    PREFER = 0  # calldata while it fits and the backlog is short, else held
    REQUIRE = 1  # calldata, unless a single block cannot fit
    HELD = 2


@unique
class Word(IntEnum):
    """How a validator answers. Numbers are part of the format."""

    SHARES = 0
    BEHIND = 1  # this validator has not executed the range, or has not seen the batch before it on the L1
    MISMATCH = 2  # the range or the payload is not what this validator has
    COMMITTED = 3  # a batch with this index is on the L1
    BUSY = 4  # ask again later


@dataclass(frozen=True, slots=True)
class ShareRequest:
    """A poster's wish. `payload` is what it would put into calldata; empty if the data is to be held."""

    index: int
    first: Height
    last: Height
    previous: Hash
    payload: bytes

    def encode(self) -> bytes:
        """The fields in order."""
        return u64(self.index) + u64(self.first) + u64(self.last) + self.previous + variable(self.payload)

    @staticmethod
    def decode(body: bytes, payload_bytes_max: int) -> "ShareRequest":
        """The inverse. Raises `DecodeError`."""

        def read(reader: Reader) -> ShareRequest:
            return ShareRequest(
                reader.u64(),
                Height(reader.u64()),
                Height(reader.u64()),
                Hash(reader.fixed(32)),
                reader.variable(payload_bytes_max),
            )

        request = decode_whole(body, read)
        if not 1 <= request.first <= request.last:
            raise DecodeError("a range begins at height 1 or later and ends after its beginning")
        return request


@dataclass(frozen=True, slots=True)
class ShareAnswer:
    """A validator's answer; signatures by data kind if the word is SHARES."""

    word: Word
    signatures: tuple[tuple[DataKind, bytes], ...] = ()

    def encode(self) -> bytes:
        """word ‖ (data kind ‖ signature) …"""
        return u8(self.word) + sequence([u8(kind) + signature for kind, signature in self.signatures])

    @staticmethod
    def decode(body: bytes) -> "ShareAnswer":
        """The inverse. Raises `DecodeError`."""

        def read_signature(reader: Reader) -> tuple[DataKind, bytes]:
            number = reader.u8()
            if number not in set(DataKind):
                raise DecodeError(f"unknown data kind {number}")
            return DataKind(number), reader.fixed(bls.SIGNATURE_BYTES)

        def read(reader: Reader) -> ShareAnswer:
            number = reader.u8()
            if number not in set(Word):
                raise DecodeError(f"unknown word {number}")
            return ShareAnswer(Word(number), reader.sequence(len(DataKind), read_signature))

        return decode_whole(body, read)


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """Where the L1's chain of batches ends as this node sees it: what the next batch must follow."""

    next_index: int
    next_height: Height
    previous: Hash


def judge_place(request: ShareRequest, end: ChainEnd, executed_height: Height) -> Word | None:
    """Why a request cannot be signed, as far as its place tells; None if the payload decides."""
    if request.index < end.next_index:
        return Word.COMMITTED
    if request.index > end.next_index or request.last > executed_height:
        return Word.BEHIND
    if request.first != end.next_height or request.previous != end.previous:
        return Word.MISMATCH
    return None


def batches_to_sign(
    request: ShareRequest, own: PackedRange, parameters: ChainParameters, l1_chain_id: int, inbox: bytes
) -> Sequence[L1Batch] | None:
    """The batches of a request whose place is right; None if it is not what this node has (mismatch).

    `own` is this node's packing of the same range. Decodes and compares the payload: run it in a thread.
    """
    if not own.ends_with_data or not _is_same(request.payload, own, parameters.commit_bytes_max):
        return None
    batch = L1Batch(
        l1_chain_id,
        inbox,
        request.index,
        request.first,
        request.last,
        request.previous,
        DataKind.HELD,
        own.held_hash,
        own.block_id,
        own.namespaces_root,
    )
    kinds = allowed_kinds(parameters, own, has_payload=bool(request.payload))
    batches = {
        DataKind.HELD: batch,
        DataKind.CALLDATA: batch.with_data(DataKind.CALLDATA, sha256(request.payload)),
    }
    return [batches[kind] for kind in kinds] or None


def allowed_kinds(parameters: ChainParameters, own: PackedRange, *, has_payload: bool) -> tuple[DataKind, ...]:
    """Where the data of a range may be by the genesis. `require` lets a single block be held that cannot fit."""
    policy = L1DataPolicy(parameters.l1_data)
    kinds = []
    if policy is not L1DataPolicy.REQUIRE or _cannot_fit(own, parameters.commit_bytes_max):
        kinds.append(DataKind.HELD)
    if policy is not L1DataPolicy.HELD and has_payload:
        kinds.append(DataKind.CALLDATA)
    return tuple(kinds)


def _cannot_fit(own: PackedRange, bytes_max: int) -> bool:
    """Whether a range is a single block whose payload is too long for the L1, compressed or not."""
    if own.block_count > 1 or own.byte_count <= bytes_max:
        return False
    return own.byte_count > CALLDATA_EXPANSION_MAX * bytes_max or len(compress(own)) > bytes_max


def _is_same(payload: bytes, own: PackedRange, payload_bytes_max: int) -> bool:
    if not payload:
        return True
    if len(payload) > payload_bytes_max or own.byte_count > CALLDATA_EXPANSION_MAX * payload_bytes_max:
        return False
    try:
        return decode_payload(payload).holds_same(decode_payload(own.held_payload()))
    except DecodeError:
        return False
