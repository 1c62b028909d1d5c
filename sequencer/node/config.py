"""Every option of a node: its name, unit, bounds and default, and what the presets change.

Responsible for: the configuration model, the presets and the paths inside a home.
Refuses to do: read or write files (`config_loading.py`, `config_file.py`), or hold a parameter that validators must
agree on (those are in the genesis).

Invariants:
1. A configuration never changes once it is built, and no option is accepted that is not declared here.
2. The annotated file and the reference are generated from this model: an option is described here and nowhere else.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from consensus import limits
from sequencer.node.addresses import Peer
from sequencer.node.config_section import HOUR_MS, MIB, Section
from sequencer.node.config_servers import MetricsSection, RpcSection

ENVIRONMENT_PREFIX = "SEQUENCER_"
ENVIRONMENT_DELIMITER = "__"

Preset = Literal["default", "lan", "devnet"]


class NodeSection(Section):
    """The node as a whole. Which validator it is follows from its node key and the genesis."""

    tx_index: Literal["own", "all", "none"] = Field(
        default="own", description="which transactions can be found by hash: own, all (once they are final) or none"
    )
    development_network: bool = Field(
        default=False, description="this network carries nothing of value; allows what would be dangerous elsewhere"
    )
    failpoints: tuple[str, ...] = Field(
        default=(), description="named points at which the process kills itself, for tests; needs development_network"
    )

    @model_validator(mode="after")
    def _check_failpoints(self) -> Self:
        if self.failpoints and not self.development_network:
            raise ValueError("failpoints are refused unless development_network is true")
        return self


class P2pSection(Section):
    """Links between validators."""

    host: str = Field(default="0.0.0.0", min_length=1, description="address to listen on")  # noqa: S104 (peers must reach it)
    port: int = Field(default=9000, ge=0, le=65_535, description="TCP port to listen on; 0 picks a free one")
    peers: tuple[Peer, ...] = Field(
        default=(), description="the other validators; an entry for the node itself is ignored"
    )
    heartbeat_s: float = Field(
        default=1.0, ge=0.05, le=60, description="a silent link sends a heartbeat after this long"
    )
    silence_s: float = Field(
        default=3.0, ge=0.2, le=300, description="a link that hears nothing for this long is closed"
    )

    @field_validator("peers")
    @classmethod
    def _check_peers(cls, value: tuple[Peer, ...]) -> tuple[Peer, ...]:
        for name in ("index", "address"):
            seen = [getattr(peer, name) for peer in value]
            twice = sorted({str(entry) for entry in seen if seen.count(entry) > 1})
            if twice:
                raise ValueError(f"two peers have the {name} {', '.join(twice)}")
        return value

    @model_validator(mode="after")
    def _check_silence(self) -> Self:
        if self.silence_s < 2 * self.heartbeat_s:
            raise ValueError("silence_s is at least twice heartbeat_s")
        return self


class ConsensusSection(Section):
    """Timing of views. Each node may choose its own; safety never depends on it."""

    view_timeout_ms: int = Field(
        default=1000, ge=20, le=60_000, description="how long a view may take before the validator gives it up"
    )
    view_timeout_max_ms: int = Field(
        default=8000, ge=20, le=HOUR_MS, description="up to which the time grows while views go on failing"
    )
    min_block_interval_ms: int = Field(
        default=5, ge=0, le=10_000, description="shortest time between two blocks when unloaded"
    )
    min_block_interval_loaded_ms: int = Field(
        default=40,
        ge=0,
        le=10_000,
        description="shortest time between two blocks under load; below view_timeout_ms / 4",
    )
    idle_interval_ms: int = Field(
        default=200,
        ge=1,
        le=60_000,
        description="time between two blocks with nothing to order; below view_timeout_ms / 4",
    )
    report_delay_ms: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="how soon a report to a waiting leader is repeated; doubles while it waits",
    )

    @model_validator(mode="after")
    def _check_intervals(self) -> Self:
        for name, views in (("idle_interval_ms", "quiet"), ("min_block_interval_loaded_ms", "busy")):
            if (interval := getattr(self, name)) * 4 >= self.view_timeout_ms:
                raise ValueError(
                    f"{name} ({interval}) must be below a quarter of view_timeout_ms ({self.view_timeout_ms}), "
                    f"or {views} views time out"
                )
        if self.view_timeout_max_ms < self.view_timeout_ms:
            raise ValueError("view_timeout_max_ms is at least view_timeout_ms")
        if self.min_block_interval_loaded_ms < self.min_block_interval_ms:
            raise ValueError("min_block_interval_loaded_ms is at least min_block_interval_ms")
        if self.min_block_interval_ms > self.idle_interval_ms:
            raise ValueError("min_block_interval_ms is at most idle_interval_ms")
        return self


class MempoolSection(Section):
    """Transactions between their arrival and their batch."""

    queue_bytes: int = Field(
        default=16 * MIB, ge=64 * 1024, le=4096 * MIB, description="longest queue of one namespace"
    )
    queue_tx: int = Field(default=65_536, ge=1, le=16 * MIB, description="most transactions in it")
    client_bytes_per_s: int = Field(
        default=16 * MIB,
        ge=0,
        le=2**40,
        description="most that one client may hand in, over all namespaces; 0: no bound",
    )
    client_tx_per_s: int = Field(
        default=50_000,
        ge=0,
        le=2**32 - 1,
        description="the same in transactions; a client is an IPv4 address or IPv6 /64",
    )
    ttl_s: float = Field(default=30.0, ge=0.1, le=3600, description="a transaction not sealed by then expires")
    seen_window_s: float = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="a transaction sent again within this time is refused as known, with a receipt of its first place",
    )
    batch_delay_min_ms: int = Field(
        default=2, ge=0, le=1000, description="shortest time a batch is kept open under load"
    )
    batch_delay_max_ms: int = Field(
        default=40, ge=1, le=10_000, description="longest time a batch is kept open under load"
    )
    lane_window_bytes: int = Field(
        default=8 * MIB,
        ge=256 * 1024,
        le=1024 * MIB,
        description="most bytes of own batches on their way to a commit",
    )
    batch_bytes_target: int = Field(
        default=512 * 1024, ge=1024, le=limits.BATCH_BYTES_CEILING, description="a batch of this size is sealed at once"
    )

    @model_validator(mode="after")
    def _check_delays(self) -> Self:
        if self.batch_delay_min_ms > self.batch_delay_max_ms:
            raise ValueError("batch_delay_min_ms is at most batch_delay_max_ms")
        return self


class LanesSection(Section):
    """Batches of all validators on their way into blocks."""

    lane_bytes_max: int = Field(
        default=64 * MIB, ge=MIB, le=16_384 * MIB, description="most uncommitted bytes held for one author"
    )


class StorageSection(Section):
    """Files under HOME/data."""

    segment_bytes: int = Field(
        default=64 * MIB,
        ge=MIB,
        le=4096 * MIB,
        description="size at which a segment file of batches is closed",
    )
    keep_s: float = Field(
        default=0,
        ge=0,
        le=10 * 365 * 86_400,
        description="what is attested, posted and older than this loses its tips and batch bytes; 0: nothing does",
    )
    checkpoint: str = Field(
        default="",
        max_length=4096,
        description="file of `sequencer checkpoint fetch`, in HOME: a node that has executed less starts from it",
    )


class L1Section(Section):
    """The L1 that blocks are anchored in and committed to. Its chain id stands in the genesis."""

    url: str = Field(default="", max_length=2048, description="JSON-RPC endpoint, http:// or https://; empty: none")
    inbox: str = Field(default="", description="address of the chain's Inbox contract, 0x and 40 hex digits")
    finality: str = Field(
        default="finalized",
        pattern=r"^(finalized|[0-9]{1,4})$",
        description="which L1 block counts as final: finalized, or so many blocks behind the newest",
    )
    post: bool = Field(
        default=True, description="take a turn at committing batches; needs keys/poster.key with a balance"
    )
    poll_s: float = Field(default=1.0, ge=0.05, le=600, description="how often the L1 is asked for its newest block")
    seal_age_s: float = Field(
        default=2.0, ge=0, le=86_400, description="a batch is sealed when its oldest block with data is this old"
    )
    backlog_s: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="where l1_data is prefer (genesis), data older than this is committed as held, not in calldata",
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("an L1 endpoint begins with http:// or https://")
        return value

    @field_validator("inbox")
    @classmethod
    def _check_inbox(cls, value: str) -> str:
        if value and not re.fullmatch(r"0x[0-9a-fA-F]{40}", value):
            raise ValueError("an address is 0x and 40 hex digits")
        return value

    @model_validator(mode="after")
    def _check_both(self) -> Self:
        if self.url and not self.inbox:
            raise ValueError("with an l1.url, l1.inbox says which contract takes the commits")
        return self


class LoggingSection(Section):
    """Log lines on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level that is written"
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="json, console, or auto: console on a terminal, json elsewhere"
    )


class NodeConfig(BaseSettings):
    """A loaded configuration. Get one from `load_config`."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter=ENVIRONMENT_DELIMITER,
        extra="forbid",
        frozen=True,
        validate_default=True,
    )

    home: Path = Field(description="directory of this node's configuration, keys and data; given by --home")
    preset: Preset = Field(default="default", description="set of defaults to start from: default, lan or devnet")
    node: NodeSection = NodeSection()
    p2p: P2pSection = P2pSection()
    rpc: RpcSection = RpcSection()
    metrics: MetricsSection = MetricsSection()
    consensus: ConsensusSection = ConsensusSection()
    mempool: MempoolSection = MempoolSection()
    lanes: LanesSection = LanesSection()
    storage: StorageSection = StorageSection()
    l1: L1Section = L1Section()
    logging: LoggingSection = LoggingSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (the signature is the library's)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """`load_config` merges the layers itself, since it must know which one each value came from."""
        return (init_settings,)

    @property
    def config_file(self) -> Path:
        """This configuration's TOML file."""
        return config_file_path(self.home)

    @property
    def genesis_file(self) -> Path:
        """The chain's genesis in its TOML form."""
        return self.home / "config" / "genesis.toml"

    @property
    def keys_dir(self) -> Path:
        """Directory of the node key, the BLS key and `USED`."""
        return self.home / "keys"

    @property
    def data_dir(self) -> Path:
        """Directory of the database and the segment files."""
        return self.home / "data"

    @property
    def lock_file(self) -> Path:
        """Locked by the one process that uses this home."""
        return self.home / "LOCK"


# What a preset changes. Options it does not name keep the default of the model.
PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "default": {},
    "lan": {
        "consensus": {
            "view_timeout_ms": 250,
            "view_timeout_max_ms": 4000,
            "idle_interval_ms": 50,
            "min_block_interval_loaded_ms": 20,
        }
    },
    "devnet": {"node": {"tx_index": "all", "development_network": True}, "p2p": {"host": "127.0.0.1"}},
}


def config_file_path(home: Path) -> Path:
    """Where the configuration file of `home` stands."""
    return home / "config" / "config.toml"


def sections() -> Mapping[str, type[BaseModel]]:
    """The sections of the file in their order, by name."""
    return {
        name: field.annotation
        for name, field in NodeConfig.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def options() -> Iterator[tuple[str, FieldInfo]]:
    """Every option as (`section.option`, pydantic field), in the order of the file; `preset` first."""
    yield "preset", NodeConfig.model_fields["preset"]
    for section, model in sections().items():
        for option, field in model.model_fields.items():
            yield f"{section}.{option}", field
