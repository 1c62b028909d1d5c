"""Vectors of the codec, Merkle trees and signatures."""

import hashlib
from typing import Any

from consensus.bls import POSSESSION_DST, SIGNATURE_DST, BlsKey, aggregate
from consensus.encoding import bitmap, optional, sequence, u8, u16, u32, u64, u256, variable, varint
from consensus.merkle import MerkleTree
from consensus.numbers import Epoch
from consensus.signing import PREFIX, Domain, Kind, NodeKey
from sequencer.client.fields import to_hex
from tests.committee import secret

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
CHAIN_ID = hashlib.sha256(b"a chain").digest()


def encoding() -> Any:
    """Primitives of the codec."""
    widths = {"u8": (u8, 8), "u16": (u16, 16), "u32": (u32, 32), "u64": (u64, 64), "u256": (u256, 256)}
    return {
        "integers": [
            {"type": name, "value": str(value), "encoded": to_hex(write(value))}
            for name, (write, bits) in widths.items()
            for value in (0, 1, 2**bits - 1)
        ],
        "variable": [{"bytes": to_hex(data), "encoded": to_hex(variable(data))} for data in (b"", b"abc")],
        "list_of_u16": [
            {"values": list(values), "encoded": to_hex(sequence([u16(value) for value in values]))}
            for values in ((), (1,), (1, 2, 3))
        ],
        "optional_u16": [
            {"value": value, "encoded": to_hex(optional(None if value is None else u16(value)))} for value in (None, 7)
        ],
        "bitmap": [
            {"size": size, "set": list(indices), "encoded": to_hex(bitmap(indices, size))}
            for size, indices in ((4, ()), (4, (0, 3)), (8, (7,)), (9, (0, 8)), (100, (0, 50, 99)))
        ],
        "bitmap_refused": [
            {"size": size, "encoded": form} for size, form in ((4, "0x08"), (4, "0x8000"), (9, "0x8040"))
        ],
        "varint": [
            {"value": value, "encoded": to_hex(varint(value))} for value in (0, 1, 127, 128, 300, 16384, 2**32 - 1)
        ],
        "varint_refused": ["0x80", "0x8000", "0xff00", "0x8080808010", "0x808080808001"],
    }  # fmt: skip


def merkle() -> Any:
    """Roots and paths of trees of one to seven leaves."""
    cases: list[Any] = [{"leaves": [], "root": to_hex(bytes(32)), "paths": []}]
    for size in range(1, 8):
        leaves = [b"leaf %d" % number for number in range(size)]
        tree = MerkleTree.of(leaves)
        paths = [
            [
                {"sibling": to_hex(step.sibling), "side": "left" if step.is_left else "right"}
                for step in tree.path(place)
            ]
            for place in range(size)
        ]
        cases.append({"leaves": [to_hex(leaf) for leaf in leaves], "root": to_hex(tree.root), "paths": paths})
    return cases


def secp256k1() -> Any:
    """Digests of every kind, signatures, and forms of a signature that are refused."""
    key, domain, body = NodeKey(secret("node", 0)), Domain(CHAIN_ID), b"body"
    signed = []
    for kind in Kind:
        if kind < Kind.NAMESPACE_BLOCK:
            digest = domain.digest(kind, Epoch(3), body)
            signed.append(
                {
                    "kind": kind.name,
                    "number": int(kind),
                    "digest": to_hex(digest),
                    "signature": to_hex(key.sign(digest)),
                }
            )
    digest = domain.digest(Kind.RECEIPT, Epoch(3), body)
    signature = key.sign(digest)
    high = (ORDER - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    refused = {
        "s above half the order": signature[:32] + high + bytes([signature[64] ^ 1]),
        "the other v": signature[:64] + bytes([signature[64] ^ 1]),
        "v as in Ethereum": signature[:64] + bytes([signature[64] + 27]),
        "r = 0": bytes(32) + signature[32:],
        "s = 0": signature[:32] + bytes(33),
        "r = n": ORDER.to_bytes(32, "big") + signature[32:],
        "64 bytes": signature[:64],
    }
    return {
        "prefix": to_hex(PREFIX),
        "chain_id": to_hex(CHAIN_ID),
        "epoch": 3,
        "body": to_hex(body),
        "secret": to_hex(secret("node", 0)),
        "public_key": to_hex(key.public_key),
        "signed": signed,
        "unsigned": [
            {"kind": kind.name, "number": int(kind), "hash": to_hex(domain.hash_unsigned(kind, body))}
            for kind in (Kind.NAMESPACE_BLOCK, Kind.L1_BATCH)
        ],
        "refused": [
            {"why": why, "digest": to_hex(digest), "signature": to_hex(form)} for why, form in refused.items()
        ],
    }  # fmt: skip


def bls() -> Any:
    """Keys, possession, signatures, an aggregate, and encodings that are refused."""
    digest = hashlib.sha256(b"a digest").digest()
    keys = [BlsKey(secret("bls", index)) for index in range(3)]
    signatures = [key.sign(digest) for key in keys]
    point, signature = keys[0].public_key, signatures[0]
    flagged = signature[:48] + bytes([signature[48] | 0x80]) + signature[49:]
    return {
        "signature_dst": SIGNATURE_DST.decode(),
        "possession_dst": POSSESSION_DST.decode(),
        "digest": to_hex(digest),
        "keys": [
            {
                "secret": to_hex(secret("bls", index)),
                "public_key": to_hex(key.public_key),
                "possession": to_hex(key.prove_possession()),
                "signature": to_hex(signatures[index]),
            }
            for index, key in enumerate(keys)
        ],
        "aggregate": to_hex(aggregate(signatures)),
        "public_keys_refused": [
            {"why": "infinity", "encoded": to_hex(b"\xc0" + bytes(47))},
            {"why": "infinity with a bit in x", "encoded": to_hex(b"\xc0" + bytes(46) + b"\x01")},
            {"why": "no compression flag", "encoded": to_hex(bytes([point[0] & 0x7F]) + point[1:])},
            {"why": "infinity flag on a point", "encoded": to_hex(bytes([point[0] | 0x40]) + point[1:])},
            {"why": "on the curve, outside the subgroup", "encoded": to_hex(b"\x80" + bytes(46) + b"\x04")},
        ],
        "signatures_refused": [
            {"why": "infinity", "encoded": to_hex(b"\xc0" + bytes(95))},
            {"why": "flags in the second coordinate", "encoded": to_hex(flagged)},
            {"why": "no compression flag", "encoded": to_hex(bytes([signature[0] & 0x7F]) + signature[1:])},
        ],
    }  # fmt: skip
