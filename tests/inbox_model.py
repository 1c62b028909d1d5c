"""The Inbox as Python would write it: what it says to a call, without a chain.

It checks in the contract's order, so that a call with several faults has the same answer, and encodes what is signed by
itself, so that the vocabulary and the contract are checked against a third reading of the format.
"""

from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode

from consensus import bls
from consensus.encoding import bitmap, decode_whole, u8, u64, u256
from consensus.errors import DecodeError, InvalidObject
from consensus.signing import PREFIX, sha256
from consensus.vocabulary.l1_batch import BatchCertificate
from sequencer.l1.inbox import COMMIT_SELECTOR, COMMIT_TYPES, InboxHead, commit_arguments
from sequencer.l1.points import signature_from_l1, signature_to_l1
from tests.committee import Committee

DATA_BYTES_MAX = 120_000
HELD, CALLDATA = 0, 1
INFINITY = bytes(256)
FIELD_NAMES = (
    "index",
    "first",
    "last",
    "previous",
    "data_kind",
    "data_hash",
    "block_id",
    "namespaces_root",
    "state_root",
    "aux_root",
    "forced_cursor",
)


@dataclass(frozen=True)
class Call:
    """The arguments of `commit`, right or wrong."""

    fields: tuple[Any, ...]
    bitmap: bytes
    signature: bytes
    data: bytes = b""

    def encode(self) -> bytes:
        return COMMIT_SELECTOR + encode(COMMIT_TYPES, (self.fields, self.bitmap, self.signature, self.data))

    def __getattr__(self, name: str) -> Any:
        """A field by its name."""
        if name not in FIELD_NAMES:
            raise AttributeError(name)
        return self.fields[FIELD_NAMES.index(name)]


def call_of(certificate: BatchCertificate, data: bytes = b"") -> Call:
    """The call that hands in this certificate."""
    return Call(*commit_arguments(certificate, data))


@dataclass(frozen=True)
class InboxModel:
    """An Inbox of this committee at an address of an L1, standing at `head`."""

    committee: Committee
    l1_chain_id: int
    address: bytes
    head: InboxHead

    def digest(self, fields: tuple[Any, ...], epoch: int = 0) -> bytes:
        """What validators sign for these fields."""
        index, first, last, previous, data_kind, data_hash, *roots, cursor = fields
        body = u256(self.l1_chain_id) + self.address + u64(index) + u64(first) + u64(last) + previous
        body += u8(data_kind) + data_hash + b"".join(roots) + u64(cursor)
        return sha256(PREFIX + u8(9) + self.committee.chain.chain_id + u64(epoch) + body)

    def signed(self, fields: tuple[Any, ...], signers: list[int], data: bytes = b"", epoch: int = 0) -> Call:
        """A call with the certificate of these validators."""
        digest = self.digest(fields, epoch)
        signature = bls.aggregate([self.committee.bls_keys[signer].sign(digest) for signer in signers])
        return Call(fields, bitmap(signers, self.committee.count), signature_to_l1(signature), data)

    def refusal(self, call: Call) -> str | None:
        """The reason for which the contract refuses the call, or none."""
        return self._order(call) or self._certificate(call) or self._data(call)

    def _order(self, call: Call) -> str | None:
        head = self.head
        rules = (
            (call.index < head.next_index, "already committed"),
            (call.index > head.next_index, "gap"),
            (call.first != head.next_height, "wrong first height"),
            (call.last < call.first or call.last == 2**64 - 1, "bad range"),
            (call.previous != head.head_hash, "wrong previous"),
        )
        return next((reason for broken, reason in rules if broken), None)

    def _certificate(self, call: Call) -> str | None:
        validators = self.committee.chain.validator_set
        if len(call.bitmap) != (validators.count + 7) // 8:
            return "wrong bitmap length"
        if len(call.signature) != 256:
            return "wrong signature length"
        try:
            signers = decode_whole(call.bitmap, lambda reader: reader.bitmap(validators.count))
        except DecodeError:
            return "bitmap padding"
        if not validators.is_quorum(signers):
            return "no quorum"
        if call.signature == INFINITY:
            return "bad signature"
        try:
            signature = signature_from_l1(call.signature)
        except InvalidObject:
            return "malformed signature"
        keys = [validators.bls_public_keys[signer] for signer in signers]
        return None if bls.is_aggregate_signature(keys, self.digest(call.fields), signature) else "bad signature"

    def _data(self, call: Call) -> str | None:
        if call.data_kind == HELD:
            return "unexpected data" if call.data else None
        rules = (
            (call.data_kind != CALLDATA, "unknown data kind"),
            (not call.data, "no data"),
            (len(call.data) > DATA_BYTES_MAX, "too much data"),
            (sha256(call.data) != call.data_hash, "wrong data"),
        )
        return next((reason for broken, reason in rules if broken), None)
