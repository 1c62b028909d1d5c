"""The human form of a genesis: TOML, with keys in hex and parameters by name.

Responsible for: reading `genesis.toml` into a checked `Genesis`, and writing one.
Refuses to do: decide what a chain may be (`consensus/genesis.py`), or hash the file: the chain id is of the canonical
bytes, so comments and layout do not matter.

Invariants:
1. Writing and reading again gives the same chain id.
2. A key that the form does not have is refused. All faults of the form are reported together; if there are none, all
   contradictions of the content are.
"""

import dataclasses
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from consensus import limits
from consensus.bls import PUBLIC_KEY_BYTES as BLS_PUBLIC_KEY_BYTES
from consensus.bls import SIGNATURE_BYTES as POSSESSION_BYTES
from consensus.errors import GenesisError
from consensus.genesis import ChainParameters, Genesis, Namespace, lane_report_batches_default
from consensus.namespace_terms import DEFAULT_TERMS, NamespaceTerms
from consensus.numbers import Milliseconds, NamespaceId, Stake
from consensus.signing import PUBLIC_KEY_BYTES
from consensus.validators import Validator
from sequencer.keys.errors import GenesisFileError

T = TypeVar("T")

L1_DATA_NAMES = ("prefer", "require", "held")
_FILE_BYTES_MAX = 16 * 1024 * 1024  # 65,536 namespaces and 128 validators fit several times
_INTEGER_MAX = {"lane_report_batches": 2**16 - 1}
_U32_MAX = 2**32 - 1
_U64_MAX = 2**64 - 1
_PARAMETER_COMMENTS = {
    "batch_bytes_max": "longest batch, bytes",
    "tx_bytes_max": "longest transaction, bytes",
    "lane_report_batches": "batches of one lane in one report; at most min(64, 1024 / validators)",
    "attest_ms": "least time between two attested blocks, milliseconds",
    "anchor_step": "L1 blocks between two anchors",
    "l1_data": "prefer calldata, require it, or held: only a hash goes to the L1",
    "commit_bytes_max": "longest payload of one L1 commitment, bytes",
}

TERM_COMMENTS = {
    "bytes_per_s": "admitted by each validator, length prefixes included",
    "tx_per_s": "admitted by each validator",
    "queue_bytes": "waiting at each validator at once",
    "queue_tx": "waiting at each validator at once",
    "share_permille": "least part of the bytes in batches while something waits",
}


def load_genesis(path: Path) -> Genesis:
    """Reads and checks a genesis file. Raises `GenesisFileError` with every fault found."""
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise GenesisFileError(
            "there is no genesis", [f"{path} is missing; get it from whoever made the chain"]
        ) from error
    except OSError as error:
        raise GenesisFileError("the genesis cannot be read", [f"{path}: {error.strerror}"]) from error
    if len(data) > _FILE_BYTES_MAX:
        raise GenesisFileError("the genesis cannot be read", [f"{path} is longer than {_FILE_BYTES_MAX} bytes"])
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise GenesisFileError("the genesis cannot be read", [f"{path} is not UTF-8"]) from error
    return parse_genesis(text, str(path))


def parse_genesis(text: str, subject: str = "genesis") -> Genesis:
    """The checked genesis that `text` describes. Raises `GenesisFileError` with every fault found."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise GenesisFileError(f"{subject} cannot be read", [f"not TOML: {error}"]) from error
    form = _Form()
    genesis = form.genesis(document)
    if form.problems:
        raise GenesisFileError(f"{subject} cannot be used", form.problems)
    try:
        return genesis.check()
    except GenesisError as error:
        raise GenesisFileError(f"{subject} cannot be used", _lines(error)) from error


def render_genesis(genesis: Genesis) -> str:
    """The TOML form of `genesis`; `parse_genesis` gives the same value back."""
    lines = [
        f"# Genesis of {json.dumps(genesis.name)}: the same for every validator.",
        f"# Chain id: 0x{genesis.chain_id.hex()}",
        f"name = {_quote(genesis.name)}",
        f"time_ms = {genesis.time_ms}  # milliseconds since 1970",
        f"l1_chain_id = {genesis.l1_chain_id}  # 0: no L1",
        "",
        "[parameters]",
    ]
    for field in dataclasses.fields(ChainParameters):
        value = getattr(genesis.parameters, field.name)
        text = _quote(L1_DATA_NAMES[value]) if field.name == "l1_data" else str(value)
        lines.append(f"{field.name} = {text}  # {_PARAMETER_COMMENTS[field.name]}")
    for index, validator in enumerate(genesis.validators):
        lines += [
            "",
            f"[[validators]]  # {index}",
            f"stake = {validator.stake}",
            f'node_public_key = "0x{validator.node_public_key.hex()}"',
            f'bls_public_key = "0x{validator.bls_public_key.hex()}"',
            f'possession = "0x{validator.possession.hex()}"',
        ]
    for namespace in genesis.namespaces:
        lines += ["", "[[namespaces]]", f"id = {namespace.id}", f"name = {_quote(namespace.name)}"]
        lines += _render_terms(namespace.terms)
    return "\n".join(lines) + "\n"


def _render_terms(terms: NamespaceTerms) -> list[str]:
    """Those that are not the default."""
    values = ((name, getattr(terms, name)) for name in TERM_COMMENTS)
    return [
        f"{name} = {value}  # {TERM_COMMENTS[name]}" for name, value in values if value != getattr(DEFAULT_TERMS, name)
    ]


def parse_public_keys(entry: Mapping[str, Any], stake: int, subject: str) -> Validator:
    """A validator's genesis entry from what `keys show --json` prints. Raises `GenesisFileError`."""
    form = _Form()
    wanted = ("node_public_key", "bls_public_key", "possession")
    validator = form.validator({"stake": stake, **{name: entry[name] for name in wanted if name in entry}}, "")
    if form.problems:
        raise GenesisFileError(f"{subject} cannot be used", form.problems)
    return validator


class _Form:
    """Collects the faults of a document while it reads it; a faulty value is read as a harmless one."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def genesis(self, document: Mapping[str, Any]) -> Genesis:
        self._known(document, "", ("name", "time_ms", "l1_chain_id", "parameters", "validators", "namespaces"))
        validators = self._tables(document, "validators", limits.VALIDATORS_MAX, self.validator)
        return Genesis(
            name=self._text(document, "name", ""),
            time_ms=Milliseconds(self._integer(document, "time_ms", "", limits.TIMESTAMP_MS_MAX)),
            l1_chain_id=self._integer(document, "l1_chain_id", "", _U64_MAX, default=0),
            parameters=self._parameters(document.get("parameters", {}), len(validators)),
            validators=tuple(validators),
            namespaces=tuple(self._tables(document, "namespaces", limits.NAMESPACES_MAX, self._namespace)),
        )

    def validator(self, table: Mapping[str, Any], place: str) -> Validator:
        self._known(table, place, ("stake", "node_public_key", "bls_public_key", "possession"))
        return Validator(
            Stake(self._integer(table, "stake", place, limits.STAKE_TOTAL_MAX)),
            self._hex(table, "node_public_key", place, PUBLIC_KEY_BYTES),
            self._hex(table, "bls_public_key", place, BLS_PUBLIC_KEY_BYTES),
            self._hex(table, "possession", place, POSSESSION_BYTES),
        )

    def _namespace(self, table: Mapping[str, Any], place: str) -> Namespace:
        self._known(table, place, ("id", "name", *TERM_COMMENTS))
        maxima = {"bytes_per_s": _U64_MAX, "queue_bytes": _U64_MAX, "share_permille": 2**16 - 1}
        terms = {
            name: self._integer(table, name, place, maxima.get(name, _U32_MAX))
            for name in TERM_COMMENTS
            if name in table
        }
        namespace_id = NamespaceId(self._integer(table, "id", place, _U64_MAX))
        return Namespace(namespace_id, self._text(table, "name", place), NamespaceTerms(**terms))

    def _parameters(self, table: Any, validators: int) -> ChainParameters:
        if not isinstance(table, Mapping):
            self.problems.append("parameters: a table is wanted")
            return ChainParameters()
        names = [field.name for field in dataclasses.fields(ChainParameters)]
        self._known(table, "parameters.", names)
        values = {"lane_report_batches": lane_report_batches_default(max(1, validators))}
        for name in names:
            if name not in table:
                continue
            if name == "l1_data":
                values[name] = self._l1_data(table[name])
            else:
                values[name] = self._integer(table, name, "parameters.", _INTEGER_MAX.get(name, _U32_MAX))
        return ChainParameters(**values)

    def _l1_data(self, value: Any) -> int:
        if isinstance(value, str) and value in L1_DATA_NAMES:
            return L1_DATA_NAMES.index(value)
        self.problems.append(f"parameters.l1_data: one of {', '.join(L1_DATA_NAMES)}")
        return 0

    def _tables(
        self, document: Mapping[str, Any], name: str, count_max: int, read: Callable[[Mapping[str, Any], str], T]
    ) -> list[T]:
        tables = document.get(name, [])
        if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
            self.problems.append(f"{name}: a list of tables is wanted, each under [[{name}]]")
            return []
        if len(tables) > count_max:
            self.problems.append(f"{name}: at most {count_max} entries")
            return []
        return [read(table, f"{name}[{index}].") for index, table in enumerate(tables)]

    def _known(self, table: Mapping[str, Any], place: str, names: Sequence[str]) -> None:
        self.problems += [f"{place}{name}: no such key" for name in table if name not in names]

    def _integer(
        self, table: Mapping[str, Any], name: str, place: str, value_max: int, default: int | None = None
    ) -> int:
        value = table.get(name, default)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= value_max:
            return value
        fault = f"an integer from 0 to {value_max} is wanted" if name in table else "missing"
        self.problems.append(f"{place}{name}: {fault}")
        return 0

    def _text(self, table: Mapping[str, Any], name: str, place: str) -> str:
        value = table.get(name)
        if isinstance(value, str):
            return value
        self.problems.append(f"{place}{name}: {'a string is wanted' if name in table else 'missing'}")
        return ""

    def _hex(self, table: Mapping[str, Any], name: str, place: str, size: int) -> bytes:
        value = table.get(name)
        fault = f"{size} bytes in hex are wanted, as 0x and {2 * size} digits"
        if isinstance(value, str) and value.startswith("0x") and len(value) == 2 + 2 * size:
            try:
                return bytes.fromhex(value[2:])
            except ValueError:
                pass
        self.problems.append(f"{place}{name}: {fault if name in table else 'missing'}")
        return bytes(size)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _lines(error: GenesisError) -> list[str]:
    return [line.removeprefix("- ") for line in str(error).splitlines() if line.startswith("- ")] or [str(error)]
