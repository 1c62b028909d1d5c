"""Vectors of a chain on an L1: batches, certificates and payloads, and the blocks that are rebuilt from them."""

import zlib
from typing import Any

from consensus.encoding import bitmap, sequence, u8, u32, u64
from consensus.vocabulary.l1_batch import DataKind
from consensus.vocabulary.payload import PAYLOAD_VERSION, Compression
from sequencer.client.fields import to_hex
from sequencer.derive.batches import BatchDeriver
from sequencer.derive.namespace_blocks import DerivedBlock
from sequencer.l1.inbox import CommittedBatch
from tests.committed_chain import INBOX, CommittedChain, on_l1
from tests.committee import Committee
from tests.payload_tables import Content, content_of
from tests.vectors.chain_vectors import chain_run
from tests.vectors.object_vectors import described


def stored(data: bytes) -> bytes:
    """A zlib stream without compression: compressors differ from release to release, and vectors must not."""
    length = len(data).to_bytes(2, "little")
    opposite = (0xFFFF - len(data)).to_bytes(2, "little")
    return b"\x78\x01\x01" + length + opposite + data + zlib.adler32(data).to_bytes(4, "big")


def compressed(content: Content, spoilt: bytes | None = None) -> bytes:
    """The payload with every segment a zlib stream; `spoilt` stands in for the last one."""
    segments = {namespace: stored(b"".join(runs)) for namespace, runs in sorted(content.runs.items())}
    if spoilt is not None:
        segments[max(segments)] = spoilt
    entries, offset = [], 0
    for namespace, segment in segments.items():
        entries.append(u64(namespace) + u32(offset) + u32(len(segment)))
        offset += len(segment)
    head = u8(PAYLOAD_VERSION) + u8(Compression.ZLIB) + content.table.encode()
    return head + sequence(entries) + b"".join(segments.values())


def _batch(chain: CommittedChain, committed: CommittedBatch, payload: bytes, table: Any) -> Any:
    certificate, domain = committed.certificate, chain.committee.chain.domain
    return {
        "fields": described(certificate.batch),
        "encoded": to_hex(certificate.batch.encode()),
        "hash": to_hex(certificate.batch.hash(domain)),
        "signing_digest": to_hex(certificate.batch.signing_digest(domain)),
        "bitmap": to_hex(bitmap(certificate.signers, certificate.count)),
        "signature": to_hex(certificate.signature),
        "payload": to_hex(payload),
        "table": described(table),
    }


def _blocks(found: list[DerivedBlock], namespace: int) -> Any:
    return [
        {
            "encoded": to_hex(one.block.encode()),
            "hash": to_hex(one.hash),
            "transactions": [to_hex(item) for item in one.transactions],
        }
        for one in found
        if one.block.namespace == namespace
    ]


def _refused(content: Content) -> dict[str, bytes]:
    """Payloads that are made from a good one and are none."""
    good = content.encode()
    table_end = 2 + content.table.encoded_bytes()
    segment = b"".join(content.runs[max(content.runs)])
    swapped = good[: table_end + 4] + good[table_end + 20 : table_end + 36] + good[table_end + 4 : table_end + 20]
    return {
        "another version": b"\x02" + good[1:],
        "another compression": good[:1] + b"\x02" + good[2:],
        "a byte too many": good + b"\x00",
        "a byte too few": good[:-1],
        "a last height below the blocks": good[:10] + u64(1) + good[18:],
        "a flag that is neither 0 nor 1": good[: table_end - 1] + b"\x02" + good[table_end:],
        "an index in the wrong order": swapped + good[table_end + 36 :],
        "a segment that begins too late": good[: table_end + 12] + u32(1) + good[table_end + 16 :],
        "a stream of fewer bytes than its runs": compressed(content, stored(segment[:-1])),
        "a stream of more bytes than its runs": compressed(content, stored(segment + b"\x00")),
        "something behind a stream": compressed(content, stored(segment) + b"\x00"),
        "a stream without its checksum": compressed(content, stored(segment)[:-4]),
    }


def l1() -> Any:
    """Two batches over five heights: one held, one in calldata; what is rebuilt from them; payloads to refuse."""
    chain = CommittedChain(chain_run(on_l1(Committee())))
    results = [result.block for result in chain.run.results]
    first, second = content_of(chain.run, results[:3]), content_of(chain.run, results[3:4])
    held, calldata = first.encode(), compressed(second)
    chain.commit(3, DataKind.HELD, held)
    chain.commit(4, DataKind.CALLDATA, calldata)
    genesis = chain.committee.chain
    deriver, found = BatchDeriver(genesis, INBOX), list[DerivedBlock]()
    for committed, payload in zip(chain.batches, (held, calldata), strict=True):
        assert not deriver.derive(committed.certificate, payload, found.append).faults
    contents = ((chain.batches[0], held, first.table), (chain.batches[1], calldata, second.table))
    return {
        "genesis": to_hex(genesis.encode()),
        "chain_id": to_hex(genesis.chain_id),
        "inbox": to_hex(INBOX),
        "batches": [_batch(chain, *content) for content in contents],
        "namespaces": {str(namespace.id): _blocks(found, namespace.id) for namespace in genesis.namespaces},
        "compressed_of_the_first": to_hex(compressed(first)),
        "payloads_refused": [{"why": why, "payload": to_hex(data)} for why, data in _refused(first).items()],
    }
