"""The genesis: everything that the validators of a chain must agree on before its first view.

Responsible for: its encoding, its checks, the chain id (SHA-256 of the encoding) and the genesis block and QC.
Refuses to do: read the TOML form (`sequencer/keys/genesis_file.py`), know addresses of peers or contracts.

Invariants:
1. Peer addresses and contract addresses are configuration, never genesis.
2. Every proof of possession is verified before a chain starts; keys are distinct; at least one stake, all positive.
3. TIP_BYTES_MAX ≥ quorum × REPORT_BYTES_MAX + certificates: a valid set of reports always fits in a tip ▲. It holds
   because the tip bound is derived from the report bound, and is asserted all the same.
4. One genesis has one encoding: version 2 has the terms of every namespace and is used only if one of them is not the
   default. So a chain that sets no terms has the id it always had.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from consensus import limits
from consensus.bls import BlsPublicKey, is_possession_proved
from consensus.encoding import Reader, decode_whole, sequence, u8, u16, u32, u64, variable
from consensus.errors import DecodeError, GenesisError, InvalidObject
from consensus.namespace_terms import DEFAULT_TERMS, NamespaceTerms, check_shares, check_terms
from consensus.numbers import Hash, Milliseconds, NamespaceId, Stake
from consensus.signing import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Domain, require_public_key, sha256
from consensus.validators import Validator, ValidatorSet

GENESIS_VERSION = 1
GENESIS_VERSION_WITH_TERMS = 2
L1_DATA_MAX = 2
_NAMESPACE_RESERVED = 2**63
_CERTIFICATE_BODY_BYTES_MAX = 128  # a vote body or a timeout body


@dataclass(frozen=True, slots=True)
class Namespace:
    """A registered rollup."""

    id: NamespaceId
    name: str
    terms: NamespaceTerms = DEFAULT_TERMS

    def encode(self, *, with_terms: bool) -> bytes:
        """Id, name and, in a genesis that has terms, its terms."""
        return u64(self.id) + variable(self.name.encode()) + (self.terms.encode() if with_terms else b"")


@dataclass(frozen=True, slots=True)
class ChainParameters:
    """The parameters that a chain fixes for all its validators (`docs/reference/parameters.md`)."""

    batch_bytes_max: int = 1024 * 1024
    tx_bytes_max: int = 64 * 1024
    lane_report_batches: int = 64
    attest_ms: int = 50
    anchor_step: int = 32
    l1_data: int = 0  # 0 prefer calldata, 1 require it, 2 held only
    commit_bytes_max: int = 120_000

    def encode(self) -> bytes:
        """Fixed width, in the order of the fields."""
        return (
            u32(self.batch_bytes_max)
            + u32(self.tx_bytes_max)
            + u16(self.lane_report_batches)
            + u32(self.attest_ms)
            + u32(self.anchor_step)
            + u8(self.l1_data)
            + u32(self.commit_bytes_max)
        )

    @staticmethod
    def decode(reader: Reader) -> "ChainParameters":
        """The inverse of `encode`; bounds are checked by `Genesis.check`."""
        return ChainParameters(
            reader.u32(), reader.u32(), reader.u16(), reader.u32(), reader.u32(), reader.u8(), reader.u32()
        )


def lane_report_batches_default(count: int) -> int:
    """LANE_REPORT_BATCHES for `count` validators: min(64, ⌊1,024 / n⌋)."""
    return min(limits.LANE_REPORT_BATCHES_CEILING, limits.LANE_REPORT_TOTAL // count)


@dataclass(frozen=True)
class Genesis:
    """A checked chain description. Build it with any values, then call `check()` once before use."""

    name: str
    time_ms: Milliseconds
    l1_chain_id: int  # u64; 0 while a chain has no L1
    parameters: ChainParameters
    validators: tuple[Validator, ...]
    namespaces: tuple[Namespace, ...]

    def encode(self) -> bytes:
        """The canonical bytes whose SHA-256 is the chain id."""
        with_terms = any(namespace.terms != DEFAULT_TERMS for namespace in self.namespaces)
        return b"".join(
            (
                u8(GENESIS_VERSION_WITH_TERMS if with_terms else GENESIS_VERSION),
                variable(self.name.encode()),
                u64(self.time_ms),
                u64(self.l1_chain_id),
                self.parameters.encode(),
                sequence([u64(v.stake) + v.node_public_key + v.bls_public_key + v.possession for v in self.validators]),
                sequence([namespace.encode(with_terms=with_terms) for namespace in self.namespaces]),
            )
        )

    @staticmethod
    def decode(data: bytes) -> "Genesis":
        """The inverse of `encode`. Raises `DecodeError`; call `check()` on the result."""
        return decode_whole(data, _read_genesis)

    @cached_property
    def chain_id(self) -> Hash:
        """SHA-256 of the canonical genesis."""
        return sha256(self.encode())

    @cached_property
    def domain(self) -> Domain:
        """The signing domain of this chain."""
        return Domain(self.chain_id)

    @cached_property
    def validator_set(self) -> ValidatorSet:
        """The set of epoch 0; its leader table is seeded by the chain id."""
        return ValidatorSet(self.validators, self.chain_id)

    @cached_property
    def report_bytes_max(self) -> int:
        """REPORT_BYTES_MAX: the longest signed lane report of this chain."""
        lane = 8 + 4 + self.parameters.lane_report_batches * (32 + 4)
        return 8 + 8 + 2 + 8 + 40 + 4 + len(self.validators) * lane + SIGNATURE_BYTES

    @cached_property
    def tip_bytes_max(self) -> int:
        """TIP_BYTES_MAX: the longest tip, with a report and a certificate entry of every validator."""
        certificate = 64 + len(self.validators) * (_CERTIFICATE_BODY_BYTES_MAX + SIGNATURE_BYTES)
        return 1024 + len(self.validators) * (2 * self.report_bytes_max) + 2 * certificate

    def check(self) -> "Genesis":
        """Returns self, or raises `GenesisError` with every contradiction found, one per line."""
        problems = [*_check_shape(self), *_check_validators(self), *_check_namespaces(self)]
        if problems:
            raise GenesisError("the genesis is not usable:\n" + "\n".join(f"- {problem}" for problem in problems))
        certificates = 2 * len(self.validators) * (_CERTIFICATE_BODY_BYTES_MAX + SIGNATURE_BYTES)
        if self.tip_bytes_max < len(self.validators) * self.report_bytes_max + certificates:
            raise GenesisError("a quorum of the longest reports does not fit in a tip")
        return self

    def namespace_ids(self) -> frozenset[NamespaceId]:
        """The registered namespaces."""
        return frozenset(namespace.id for namespace in self.namespaces)


def _read_genesis(reader: Reader) -> Genesis:
    version = reader.u8()
    if version not in (GENESIS_VERSION, GENESIS_VERSION_WITH_TERMS):
        raise DecodeError("unknown genesis version")
    with_terms = version == GENESIS_VERSION_WITH_TERMS
    genesis = Genesis(
        name=_read_name(reader),
        time_ms=Milliseconds(reader.u64()),
        l1_chain_id=reader.u64(),
        parameters=ChainParameters.decode(reader),
        validators=reader.sequence(limits.VALIDATORS_MAX, _read_validator),
        namespaces=reader.sequence(limits.NAMESPACES_MAX, _namespace_reader(with_terms=with_terms)),
    )
    if with_terms and all(namespace.terms == DEFAULT_TERMS for namespace in genesis.namespaces):
        raise DecodeError("a genesis of version 2 has terms that are not the default")
    return genesis


def _read_name(reader: Reader) -> str:
    try:
        return reader.variable(limits.NAME_BYTES_MAX).decode()
    except UnicodeDecodeError as error:
        raise DecodeError("a name is not UTF-8") from error


def _read_validator(reader: Reader) -> Validator:
    return Validator(Stake(reader.u64()), reader.fixed(PUBLIC_KEY_BYTES), reader.fixed(48), reader.fixed(96))


def _namespace_reader(*, with_terms: bool) -> Callable[[Reader], Namespace]:
    def read(reader: Reader) -> Namespace:
        namespace_id, name = NamespaceId(reader.u64()), _read_name(reader)
        return Namespace(namespace_id, name, NamespaceTerms.decode(reader) if with_terms else DEFAULT_TERMS)

    return read


def _check_shape(genesis: Genesis) -> list[str]:
    p, problems = genesis.parameters, []
    if not 1 <= len(genesis.name.encode()) <= limits.NAME_BYTES_MAX:
        problems.append(f"name has 1 to {limits.NAME_BYTES_MAX} bytes")
    if not 0 < genesis.time_ms <= limits.TIMESTAMP_MS_MAX:
        problems.append("time_ms is a time in milliseconds since 1970")
    if not 1 <= p.tx_bytes_max <= limits.TX_BYTES_CEILING:
        problems.append(f"tx_bytes_max is 1 to {limits.TX_BYTES_CEILING}")
    if not limits.BATCH_BYTES_FLOOR <= p.batch_bytes_max <= limits.BATCH_BYTES_CEILING:
        problems.append(f"batch_bytes_max is {limits.BATCH_BYTES_FLOOR} to {limits.BATCH_BYTES_CEILING}")
    if p.tx_bytes_max * 2 > p.batch_bytes_max:
        problems.append("batch_bytes_max is at least twice tx_bytes_max")
    batches_max = lane_report_batches_default(max(1, len(genesis.validators)))
    if not 1 <= p.lane_report_batches <= batches_max:
        problems.append(f"lane_report_batches is 1 to min(64, 1024/n) = {batches_max}")
    if p.attest_ms < 1 or p.anchor_step < 1:
        problems.append("attest_ms and anchor_step are at least 1")
    if not limits.COMMIT_BYTES_FLOOR <= p.commit_bytes_max <= limits.COMMIT_BYTES_CEILING:
        problems.append(f"commit_bytes_max is {limits.COMMIT_BYTES_FLOOR} to {limits.COMMIT_BYTES_CEILING}")
    if p.l1_data > L1_DATA_MAX:
        problems.append(f"l1_data is 0 to {L1_DATA_MAX}")
    return problems


def _check_validators(genesis: Genesis) -> list[str]:
    problems = []
    if not 1 <= len(genesis.validators) <= limits.VALIDATORS_MAX:
        problems.append(f"validators: 1 to {limits.VALIDATORS_MAX} entries")
    if sum(v.stake for v in genesis.validators) > limits.STAKE_TOTAL_MAX:
        problems.append("the stakes together stay below 2^63")
    for field in ("node_public_key", "bls_public_key"):
        if len({getattr(v, field) for v in genesis.validators}) != len(genesis.validators):
            problems.append(f"validators: two share one {field}")
    for index, validator in enumerate(genesis.validators):
        if validator.stake < 1:
            problems.append(f"validator {index}: stake is at least 1")
        try:
            require_public_key(validator.node_public_key)
        except ValueError:
            problems.append(f"validator {index}: node_public_key is not a compressed secp256k1 point")
        try:
            if not is_possession_proved(BlsPublicKey(validator.bls_public_key), validator.possession):
                problems.append(f"validator {index}: possession does not prove bls_public_key")
        except InvalidObject as error:
            problems.append(f"validator {index}: bls_public_key: {error}")
    return problems


def _check_namespaces(genesis: Genesis) -> list[str]:
    problems = []
    ids = [namespace.id for namespace in genesis.namespaces]
    if ids != sorted(set(ids)):
        problems.append("namespaces are sorted by id, each once")
    if len(ids) > limits.NAMESPACES_MAX:
        problems.append(f"at most {limits.NAMESPACES_MAX} namespaces")
    for namespace in genesis.namespaces:
        if not 0 < namespace.id < _NAMESPACE_RESERVED:
            problems.append(f"namespace {namespace.id}: 0 and ids from 2^63 on are reserved")
        if not 1 <= len(namespace.name.encode()) <= limits.NAME_BYTES_MAX:
            problems.append(f"namespace {namespace.id}: name has 1 to {limits.NAME_BYTES_MAX} bytes")
        faults = check_terms(namespace.terms, genesis.parameters.tx_bytes_max)
        problems += [f"namespace {namespace.id}: {fault}" for fault in faults]
    return problems + check_shares(namespace.terms for namespace in genesis.namespaces)
