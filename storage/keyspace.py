"""The one table of keys: every key of the database is made here and nowhere else.

Integers in keys are big-endian, so that keys sort as their numbers do; `id` and `digest` are 32 bytes. "sealed" means
crc32 u32 ‖ bytes; everything else called a record is exactly the bytes handed in.

    key                            value                                                                  store
    mi                             format u32, chain id                                                   database
    so                             node public key whose record this is                                   safety
    sr                             safety record, sealed                                                  safety
    sn                             number of the safety record, u64: see `record_number.py`               safety
    st id                          tip kept for a vote, sealed                                            safety
    sh                             head of the own lane: seq u64, digest, header record; sealed           safety
    bd digest                      file u32, offset u32, length u32, author u16, seq u64, arrival_ms u64  batches
    bl author u16, seq u64, digest empty                                                                  batches
    be                             file u32, offset u32: all before it has been synced                    batches
    bc                             file u32: the index of all earlier files is durable                    batches
    bf                             file u32: all earlier files are pruned                                 batches
    ct id                          tip record                                                             chain
    ch height u64                  id of the block committed at this height                               chain
    ci id                          height u64 at which the block was committed                            chain
    cq id                          record of a QC that certifies the block                                chain
    cp height u64                  length u32, first QC record, second QC record                          chain
    pa height u64                  at and below it tips and batches may be pruned                         chain
    pd height u64                  at and below it tips are pruned                                        chain
    eb height u64                  executed block record                                                  blocks
    en namespace u64, index u64    namespace block record                                                 blocks
    eh namespace u64, height u64   index u64 of the namespace block made at this height                   blocks
    es                             height u64, record of the execution state after it                     blocks
    ek                             length u32, attestation certificate record, execution state record     blocks
    ac height u64                  attestation certificate record                                         blocks
    ao height u64                  own attestation record                                                 blocks
    al height u64                  record of the namespace leaves at an attested height                   blocks
    tf hash, place in the chain    origin in a lane: namespace u64, lane u16, seq u64, kind u8, index u32 transactions
    ts hash, place in a lane       empty                                                                  transactions
    ti                             height u64: every final transaction up to it is indexed                transactions
    lb index u64                   record of an L1 batch in a finalized L1 block                          settlement
    lh last height u64             index u64 of the L1 batch that ends at this height                     settlement
    lc                             number u64, hash: the finalized L1 block up to which batches are kept  settlement
    ls index u64, share's place    own signed share of an L1 batch                                        settlement
    la nonce u64                   record of an attempt to commit: the signed transaction and its fate    settlement
    ev offence                     proof of a validator's fault                                           evidence

    place in the chain = namespace_index u64, position u32
    offence = rule u8, validator u16, place u64
    share's place = last height u64, data kind u8
    place in a lane = lane u16, seq u64, namespace u64, kind u8, index u32

Invariant:
1. The first two bytes of a key tell its kind, and nothing else begins with them: a scan of a prefix sees one kind.
"""

import struct
from typing import TypeAlias

Put: TypeAlias = tuple[bytes, bytes]
Puts: TypeAlias = list[Put]

ID_BYTES = 32

IDENTITY = b"mi"
SAFETY_OWNER = b"so"
SAFETY_RECORD = b"sr"
RECORD_NUMBER = b"sn"
SAFETY_TIP = b"st"
OWN_HEAD = b"sh"
BATCH_DIGEST = b"bd"
BATCH_LANE = b"bl"
BATCH_SYNCED_END = b"be"
BATCH_INDEX_COMPLETE = b"bc"
BATCH_FIRST_FILE = b"bf"
CHAIN_TIP = b"ct"
CHAIN_HEIGHT = b"ch"
CHAIN_ID_HEIGHT = b"ci"
CHAIN_QC = b"cq"
CHAIN_PROOF = b"cp"
PRUNABLE = b"pa"
PRUNED = b"pd"
EXECUTED_BLOCK = b"eb"
NAMESPACE_BLOCK = b"en"
NAMESPACE_HEIGHT = b"eh"
EXECUTION_STATE = b"es"
CHECKPOINT = b"ek"
CERTIFICATE = b"ac"
OWN_ATTESTATION = b"ao"
LEAVES_RECORD = b"al"
TRANSACTION_FINAL = b"tf"
TRANSACTION_SEALED = b"ts"
TRANSACTIONS_INDEXED = b"ti"
L1_BATCH = b"lb"
L1_BATCH_HEIGHT = b"lh"
L1_CURSOR = b"lc"
BATCH_SHARE = b"ls"
L1_ATTEMPT = b"la"
EVIDENCE = b"ev"

U32 = struct.Struct(">I")
U64 = struct.Struct(">Q")
U64_MAX = 2**64 - 1
_LANE_SEQ = struct.Struct(">HQ")
_PAIR = struct.Struct(">QQ")
_FINAL_SUFFIX = struct.Struct(">QI")
_SEALED_SUFFIX = struct.Struct(">HQQBI")


def checked_id(value: bytes) -> bytes:
    """The same 32 bytes; a wrong length is our own mistake and raises ValueError before it reaches the disk."""
    if len(value) != ID_BYTES:
        raise ValueError(f"an id has {ID_BYTES} bytes, not {len(value)}")
    return value


def encode_u64(value: int) -> bytes:
    """8 bytes, big-endian; ValueError if the integer does not fit."""
    if not 0 <= value <= U64_MAX:
        raise ValueError(f"{value} is not a u64")
    return U64.pack(value)


def decode_u64(value: bytes) -> int:
    """The inverse of `encode_u64`; ValueError on any other length."""
    if len(value) != U64.size:
        raise ValueError(f"a u64 has 8 bytes, not {len(value)}")
    return int.from_bytes(value, "big")


def id_key(prefix: bytes, block_id: bytes) -> bytes:
    """prefix ‖ id: safety tips, chain tips, heights and QCs by id, batches by digest."""
    return prefix + checked_id(block_id)


def height_key(prefix: bytes, height: int) -> bytes:
    """prefix ‖ height: commits, proofs, executed blocks, attestations."""
    return prefix + encode_u64(height)


def decode_height_key(key: bytes) -> int:
    """The height of a key made by `height_key`."""
    return decode_u64(key[2:])


def lane_key(author: int, seq: int, digest: bytes) -> bytes:
    """One key for each batch of (author, seq): an author that forks has several."""
    return BATCH_LANE + lane_position(author, seq) + checked_id(digest)


def lane_position(author: int, seq: int) -> bytes:
    """author u16 ‖ seq u64, the part of a lane key that a scan starts or stops at."""
    if not (0 <= author <= 0xFFFF and 0 <= seq <= U64_MAX):
        raise ValueError(f"no lane position: author {author}, seq {seq}")
    return _LANE_SEQ.pack(author, seq)


def decode_lane_key(key: bytes) -> tuple[int, int, bytes]:
    """(author, seq, digest) of a key made by `lane_key`; ValueError on another length."""
    if len(key) != 2 + _LANE_SEQ.size + ID_BYTES:
        raise ValueError(f"a lane key has {2 + _LANE_SEQ.size + ID_BYTES} bytes, not {len(key)}")
    author, seq = _LANE_SEQ.unpack_from(key, 2)
    return author, seq, key[2 + _LANE_SEQ.size :]


def namespace_key(prefix: bytes, namespace: int, number: int) -> bytes:
    """prefix ‖ namespace ‖ index or height."""
    return prefix + encode_u64(namespace) + encode_u64(number)


def decode_namespace_key(key: bytes) -> tuple[int, int]:
    """(namespace, index or height) of a key made by `namespace_key`; ValueError on another length."""
    if len(key) != 2 + _PAIR.size:
        raise ValueError(f"a namespace key has {2 + _PAIR.size} bytes, not {len(key)}")
    namespace, number = _PAIR.unpack_from(key, 2)
    return namespace, number


def transaction_prefix(prefix: bytes, transaction_hash: bytes) -> bytes:
    """What all positions of one transaction hash have in common."""
    return prefix + checked_id(transaction_hash)


def final_suffix(namespace_index: int, position: int) -> bytes:
    """Chain order: a hash belongs to one namespace, so the first key of a hash is its first place in the chain."""
    return _FINAL_SUFFIX.pack(namespace_index, position)


def decode_final_key(key: bytes) -> tuple[int, int]:
    """(namespace_index, position) of a final transaction's key."""
    namespace_index, position = _FINAL_SUFFIX.unpack(key[2 + ID_BYTES :])
    return namespace_index, position


def sealed_suffix(lane: int, seq: int, namespace: int, kind: int, index: int) -> bytes:
    """Lane order: the first key of a hash is its first place in the author's lane."""
    return _SEALED_SUFFIX.pack(lane, seq, namespace, kind, index)


def decode_sealed_key(key: bytes) -> tuple[int, int, int, int, int]:
    """(lane, seq, namespace, kind, index) of a sealed transaction's key."""
    lane, seq, namespace, kind, index = _SEALED_SUFFIX.unpack(key[2 + ID_BYTES :])
    return lane, seq, namespace, kind, index
