"""A second deriver, written from `docs/build/derive.md` alone: it shares no code with the first one."""

import zlib
from typing import Any

from tests.vectors.independent import PREFIX, Bls, Chain, big, load, merkle, raw, sha


class Bytes:
    """Reads a payload from its beginning."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        self.at += size
        assert self.at <= len(self.data)
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")


def check_batch(chain: Chain, l1_chain_id: int, inbox: bytes, fields: Any, shown: Any) -> bytes:
    """Step 2; returns the batch's hash."""
    kinds = {"HELD": 0, "CALLDATA": 1}
    batch = (
        big(l1_chain_id, 32) + inbox + big(fields["index"], 8) + big(fields["first"], 8) + big(fields["last"], 8)
        + raw(fields["previous"]) + big(kinds[fields["data_kind"]], 1) + raw(fields["data_hash"])
        + raw(fields["block_id"]) + raw(fields["namespaces_root"]) + raw(fields["state_root"])
        + raw(fields["aux_root"]) + big(fields["forced_cursor"], 8)
    )  # fmt: skip
    digest = sha(PREFIX, big(9, 1), chain.id, big(0, 8), batch)
    bits = raw(shown["bitmap"])
    signers = [v for index, v in enumerate(chain.validators) if bits[index // 8] >> (7 - index % 8) & 1]
    total = sum(stake for stake, *_ in chain.validators)
    assert sum(stake for stake, *_ in signers) >= 2 * total // 3 + 1
    assert Bls.FastAggregateVerify([key for _, _, key, _ in signers], digest, raw(shown["signature"]))
    assert sha(raw(shown["payload"])) == raw(fields["data_hash"])
    return sha(PREFIX, big(65, 1), chain.id, batch)


def read_table(data: Bytes) -> list[Any]:
    """Blocks as (head, [(namespace, index, [(byte_count, is_inert)])]); the head is what their hash covers."""
    blocks = []
    for _ in range(data.number(4)):
        head, parts = data.take(8 + 32 + 8 + 40), []
        for _ in range(data.number(4)):
            namespace, index = data.number(8), data.number(8)
            assert (data.number(4), data.number(1)) == (1, 4)
            parts.append((namespace, index, [(data.number(4), data.number(1)) for _ in range(data.number(4))]))
        blocks.append((head, parts))
    return blocks


def read_payload(payload: bytes, first: int, last: int) -> tuple[list[Any], dict[int, Bytes]]:
    """Step 4; returns the table and each namespace's bytes."""
    data = Bytes(payload)
    assert data.number(1) == 1
    compression = data.number(1)
    assert (data.number(8), data.number(8)) == (first, last)
    blocks = read_table(data)
    index = [(data.number(8), data.number(4), data.number(4)) for _ in range(data.number(4))]
    start, bodies, end = data.at, {}, 0
    for namespace, offset, length in index:
        assert offset == end
        end += length
        segment = payload[start + offset : start + end]
        bodies[namespace] = Bytes(zlib.decompress(segment) if compression else segment)
    assert start + end == len(payload)
    return blocks, bodies


def build(chain: Chain, prev: tuple[int, bytes], head: bytes, namespace: int, runs: Any, data: Bytes) -> Any:
    """Step 5: a namespace block behind (index, hash) of the one before."""
    leaves, items, byte_count = [], [], 0
    for size, is_inert in runs:
        run = data.take(size)
        leaves.append((b"\x02" if is_inert else b"\x00") + sha(run))
        byte_count += size
        segment = Bytes(run)
        while not is_inert and segment.at < size:
            items.append(segment.take(segment.number(4)))
            assert 1 <= len(items[-1]) <= chain.tx_bytes_max
    section = big(4, 1) + big(len(items), 4) + big(byte_count, 8) + merkle(leaves)
    index, prev_hash = prev[0] + 1, prev[1]
    encoded = (
        big(1, 1) + big(namespace, 8) + big(index, 8) + prev_hash + head + big(1, 4) + section + merkle([section])
    )  # fmt: skip
    return index, sha(PREFIX, big(64, 1), chain.id, encoded), encoded, items


def test_the_chains_are_rebuilt() -> None:
    vectors = load("l1.json")
    chain = Chain(raw(vectors["genesis"]))
    expected, previous, heads, found = (1, 1), chain.id, dict[int, tuple[int, bytes]](), dict[str, list[Any]]()
    for shown in vectors["batches"]:
        fields = shown["fields"]
        assert (fields["index"], fields["first"]) == expected
        assert raw(fields["previous"]) == previous
        previous = check_batch(chain, 31_337, raw(vectors["inbox"]), fields, shown)
        assert previous == raw(shown["hash"])
        expected = (fields["index"] + 1, fields["last"] + 1)
        blocks, bodies = read_payload(raw(shown["payload"]), fields["first"], fields["last"])
        for head, parts in blocks:
            for namespace, index, runs in parts:
                before = heads.get(namespace, (-1, bytes(32)))
                number, block_hash, encoded, items = build(chain, before, head, namespace, runs, bodies[namespace])
                assert number == index
                heads[namespace] = (number, block_hash)
                found.setdefault(str(namespace), []).append((encoded, block_hash, items))
        leaves = [big(namespace, 8) + big(index, 8) + newest for namespace, (index, newest) in sorted(heads.items())]
        assert merkle(leaves) == raw(fields["namespaces_root"])
    assert found == {
        namespace: [
            (raw(one["encoded"]), raw(one["hash"]), [raw(item) for item in one["transactions"]]) for one in made
        ]
        for namespace, made in vectors["namespaces"].items()
    }
