"""Every way to falsify one served block and its proof by one change, to show that the client's verifier takes none.

Responsible for: single changes of the JSON as it came over the wire: each byte flipped in turn, each number moved, each
entry dropped or doubled, each field missing.
Refuses to do: change what no root covers: a run's `lane`, `seq` and `batch`, which the verifier does not pass on. Where
runs change places, those may be all that changes: then the verifier must hand out the same as without the change.
"""

import copy
from collections.abc import Iterator
from typing import Any

from consensus.genesis import Genesis
from consensus.numbers import Hash, NamespaceId, NamespaceIndex
from sequencer.client.errors import MalformedAnswer, UnprovedAnswer
from sequencer.client.verify import NamespaceVerifier, VerifiedBlock
from sequencer.client.wire import namespace_block_from_json, proof_from_json
from tests.e2e.network import Node

_UNCOVERED = ("lane", "seq", "batch")
Path = tuple[str | int, ...]


async def check_tampering(node: Node, namespace: NamespaceId, last: NamespaceIndex, prev_hash: Hash) -> int:
    """Falsifies block `last`, the newest, and its proof; returns in how many ways."""
    async with node.client() as client:
        params = {"namespace": namespace, "from_index": last, "count": 1}
        (block,) = await client.call("seq_getNamespaceBlocks", params)
        proof = await client.call("seq_getNamespaceProof", {"namespace": namespace, "height": "attested"})
    served = {"block": block, "proof": proof}

    def verified(content: Any) -> VerifiedBlock | None:
        try:
            return _verify(node.chain, content, namespace, last, prev_hash)
        except (MalformedAnswer, UnprovedAnswer):
            return None

    honest = verified(served)
    assert honest is not None
    count = 0
    for path, falsified in falsifications(served):
        found = verified(falsified)
        assert found is None or ("runs" in path and found == honest), f"the verifier takes a change of {path}"
        count += 1
    return count


def _verify(
    chain: Genesis, content: Any, namespace: NamespaceId, index: NamespaceIndex, prev_hash: Hash
) -> VerifiedBlock:
    delivered = namespace_block_from_json(content["block"])
    proof = proof_from_json(content["proof"], chain)
    (block,) = NamespaceVerifier(chain, namespace, index, prev_hash).verify([delivered], proof)
    return block


def falsifications(content: Any) -> Iterator[tuple[Path, Any]]:
    """Each is the whole content with one change at one path."""
    for path, value in _nodes(content, ()):
        if path and (path[-1] in ("first_run", "run_count") or (path[-1] in _UNCOVERED and "runs" in path)):
            continue  # the first two only say how a block is cut into pages
        for other in _others(value):
            if _covered(other) != _covered(value):
                yield path, _replaced(content, path, other)
        if path and isinstance(path[-1], str) and path not in (("block",), ("proof",)):
            yield path, _without(content, path)


def _nodes(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    yield path, value
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from _nodes(entry, (*path, key))


def _covered(value: Any) -> Any:
    """A list of runs without their origins: two runs of equal counts that change places change nothing else."""
    if isinstance(value, list) and all(isinstance(entry, dict) and "batch" in entry for entry in value):
        return [{key: entry[key] for key in entry if key not in _UNCOVERED} for entry in value]
    return value


def _others(value: Any) -> Iterator[Any]:
    match value:
        case str() if value.startswith("0x"):
            data = bytes.fromhex(value[2:])
            for place in range(len(data)):
                for mask in (0x01, 0x80):
                    yield f"0x{data[:place].hex()}{data[place] ^ mask:02x}{data[place + 1 :].hex()}"
            yield from (f"{value}00", value[:-2], value[:-1], value[2:], None, 0)
        case str():
            yield from ("left" if value != "left" else "right", "sealed", "", None)
        case int():
            yield from (number for number in (value + 1, value - 1, 0, 2**53, -1) if number != value)
            yield from (str(value), None, float(value) + 0.5)
        case None:
            yield from ("0x", "0x00", 0)
        case list():
            for place, entry in enumerate(value):
                yield value[:place] + value[place + 1 :]
                yield [*value[:place], entry, *value[place:]]
            if value != value[::-1]:
                yield value[::-1]
            yield from ([*value, None], {}, None)


def _replaced(content: Any, path: Path, value: Any) -> Any:
    changed = copy.deepcopy(content)
    _parent(changed, path)[path[-1]] = value
    return changed


def _without(content: Any, path: Path) -> Any:
    changed = copy.deepcopy(content)
    del _parent(changed, path)[path[-1]]
    return changed


def _parent(content: Any, path: Path) -> Any:
    for key in path[:-1]:
        content = content[key]
    return content
