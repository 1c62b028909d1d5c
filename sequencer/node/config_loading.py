"""Loads a node's configuration from its layers and says where every value came from.

Responsible for: merging flags, environment, file and preset, and one report of all faults.
Refuses to do: know single options (`config.py`), write files (`config_file.py`), read keys or the genesis.

Invariants:
1. Precedence: flags > `SEQUENCER_*` environment > `HOME/config/config.toml` > preset > default.
2. A key that no option has is refused, wherever it stands; all faults are reported in one `ConfigError`.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from sequencer.node.config import (
    ENVIRONMENT_DELIMITER,
    ENVIRONMENT_PREFIX,
    PRESETS,
    NodeConfig,
    config_file_path,
    options,
)
from sequencer.node.errors import ConfigError

_ENVIRONMENT_OF_COMMANDS = frozenset({"SEQUENCER_URL"})  # read by the client commands, not an option of the node


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration and, for every `section.option`, the layer its value came from."""

    config: NodeConfig
    origins: Mapping[str, str]


def load_config(home: Path, flags: Mapping[str, Any] | None = None) -> NodeConfig:
    """The configuration of `home`; `flags` maps `section.option` (or `preset`) to a value.

    Raises `ConfigError` with every fault found. A missing file is a fault.
    """
    return load_with_origins(home, flags).config


def load_with_origins(home: Path, flags: Mapping[str, Any] | None = None) -> LoadedConfig:
    """As `load_config`, and says where each value came from."""
    path = config_file_path(home)
    problems = _unknown_environment()
    from_file = _read_file(path)
    if from_file.pop("home", None) is not None:
        problems.append(f"home ({path.name}): stands on the command line, not in the file")
    from_environment = _Environment(NodeConfig)()
    layers: list[tuple[str, Mapping[str, Any]]] = [
        ("flag", _nest(flags or {})),
        ("environment", {name: value for name, value in from_environment.items() if name != "home"}),
        (path.name, from_file),
    ]
    preset = next((layer["preset"] for _, layer in layers if "preset" in layer), "default")
    layers.append((f"preset {preset}", PRESETS.get(preset, {}) if isinstance(preset, str) else {}))
    merged, origins = _merge(layers)
    try:
        config = NodeConfig(home=home, **merged)
    except ValidationError as error:
        problems.extend(_describe(error, origins))
        config = None
    if config is None or problems:
        raise ConfigError(f"the configuration of {home} cannot be used", problems)
    return LoadedConfig(config, origins)


def values_in_file(home: Path) -> dict[str, Any]:
    """What the file of `home` sets, as a map from `section.option` to value. Raises `ConfigError`."""
    values: dict[str, Any] = {}
    for section, entry in _read_file(config_file_path(home)).items():
        if isinstance(entry, dict):
            values |= {f"{section}.{option}": value for option, value in entry.items()}
        else:
            values[section] = entry
    return values


class _Environment(EnvSettingsSource):
    """Lists are given as JSON. One that does not parse is left as it is, for the model to refuse with its name."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """The value of a list or section."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError("there is no configuration", [f"{path} is missing; `sequencer init` makes one"]) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError("the configuration cannot be read", [f"{path}: {error}"]) from error


def _unknown_environment() -> list[str]:
    problems = []
    for name in sorted(os.environ):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in _ENVIRONMENT_OF_COMMANDS:
            continue
        first = name.removeprefix(ENVIRONMENT_PREFIX).split(ENVIRONMENT_DELIMITER)[0].lower()
        if first not in NodeConfig.model_fields:
            problems.append(f"{name} (environment): no such option; one looks like SEQUENCER_RPC__PORT")
    return problems


def _nest(flags: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flags.items():
        section, dot, option = name.partition(".")
        if dot:
            nested.setdefault(section, {})[option] = value
        else:
            nested[section] = value
    return nested


def _merge(layers: list[tuple[str, Mapping[str, Any]]]) -> tuple[dict[str, Any], dict[str, str]]:
    merged: dict[str, Any] = {}
    origins = {name: "default" for name, _ in options()}
    for origin, layer in reversed(layers):
        for section, values in layer.items():
            if not isinstance(values, Mapping) or not isinstance(merged.get(section, {}), dict):
                merged[section] = values
                origins[section] = origin
                continue
            for option, value in values.items():
                merged.setdefault(section, {})[option] = value
                origins[f"{section}.{option}"] = origin
    return merged, origins


def _describe(error: ValidationError, origins: Mapping[str, str]) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_context=False):
        place = ".".join(str(part) for part in fault["loc"][:2])
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"][2:])
        source = next((origin for name, origin in origins.items() if f"{name}.".startswith(f"{place}.")), None)
        # A fault of a whole section, such as two options that contradict each other, has no one source.
        known = place in origins or fault["type"] == "extra_forbidden"
        origin = f" ({source})" if source is not None and known else ""
        if fault["type"] == "extra_forbidden":
            yield f"{place}{where}{origin}: no such option"
        else:
            yield f"{place}{where}{origin}: {fault['msg'].removeprefix('Value error, ')}"
