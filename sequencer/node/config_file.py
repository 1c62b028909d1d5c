"""Writes a configuration as TOML: every option with description, unit, bounds and default, generated from the model.

Responsible for: the text of `config.toml` and of `sequencer config show`.
Refuses to do: write to disk, load or check values.

Invariants:
1. An option that is not set stands as a comment, so that a file never freezes a default it did not choose.
2. What is written parses as TOML and loads as the same values.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sequencer.node.config import (
    ENVIRONMENT_DELIMITER,
    ENVIRONMENT_PREFIX,
    PRESETS,
    NodeConfig,
    options,
    sections,
)

_UNITS = {"ms": "milliseconds", "s": "seconds", "bytes": "bytes"}


def toml_value(value: Any) -> str:
    """One TOML value on one line (a list of tables on several). Raises `TypeError` for a type TOML does not have."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            # JSON's string escapes are TOML's, apart from the one control character that JSON leaves as it is.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case BaseModel():
            return toml_value(value.model_dump())
        case Mapping():
            return "{ " + ", ".join(f"{key} = {toml_value(entry)}" for key, entry in value.items()) + " }"
        case list() | tuple():
            if any(isinstance(entry, Mapping | BaseModel) for entry in value):
                return "[\n" + "".join(f"  {toml_value(entry)},\n" for entry in value) + "]"
            return "[" + ", ".join(toml_value(entry) for entry in value) + "]"
        case _:
            raise TypeError(f"TOML has no {type(value).__name__}")


def render_annotated(values: Mapping[str, Any] | None = None) -> str:
    """The annotated `config.toml`; `values` maps `section.option` (or `preset`) to what is set in it."""
    values = values or {}
    unknown = set(values) - {name for name, _ in options()}
    if unknown:
        raise KeyError(f"no such option: {', '.join(sorted(unknown))}")
    lines = [
        "# Configuration of a sequencer node. An option that is commented out has the default shown.",
        f"# Each can be set in the environment too: {ENVIRONMENT_PREFIX}RPC{ENVIRONMENT_DELIMITER}PORT=8645 sets port"
        " in [rpc].",
        "",
        *_render_option("preset", NodeConfig.model_fields["preset"], values),
    ]
    for section, model in sections().items():
        lines += ["", f"# {(model.__doc__ or '').strip()}", f"[{section}]"]
        for option, field in model.model_fields.items():
            lines += ["", *_render_option(f"{section}.{option}", field, values)]
    return "\n".join(lines) + "\n"


def render_effective(config: NodeConfig, origins: Mapping[str, str] | None = None) -> str:
    """Every option with the value in force; with `origins`, each with the layer it came from as a comment."""
    tagged = {} if origins is None else {name: f"  # {origin}" for name, origin in origins.items()}
    lines = [f"preset = {toml_value(config.preset)}{tagged.get('preset', '')}"]
    for section, model in sections().items():
        lines += ["", f"[{section}]"]
        for option in model.model_fields:
            value = getattr(getattr(config, section), option)
            lines.append(f"{option} = {toml_value(value)}{tagged.get(f'{section}.{option}', '')}")
    return "\n".join(lines) + "\n"


def effective_values(config: NodeConfig) -> dict[str, Any]:
    """Every option as JSON values, by section."""
    dumped: dict[str, Any] = config.model_dump(mode="json", exclude={"home"})
    return dumped


def _render_option(name: str, field: FieldInfo, values: Mapping[str, Any]) -> list[str]:
    option = name.rpartition(".")[2]
    description = (field.description or "").strip()
    lines = [f"# {description[0].upper()}{description[1:]}.", f"# {_facts(name, option, field)}"]
    value = values.get(name, field.default)
    text = f"{option} = {toml_value(value)}"
    return [*lines, text if name in values else f"# {text}"]


def _facts(name: str, option: str, field: FieldInfo) -> str:
    facts = []
    unit = unit_of(option)
    if unit:
        facts.append(f"Unit: {unit}.")
    low, high = bounds_of(field)
    if low is not None and high is not None:
        facts.append(f"From {low} to {high}.")
    facts.append(f"Default: {toml_value(field.default)}{_preset_note(name)}.")
    return " ".join(facts)


def unit_of(option: str) -> str | None:
    """The unit that the last words of an option's name say, if any."""
    words = option.removesuffix("_max").removesuffix("_min").removesuffix("_target").split("_")
    return _UNITS.get(words[-1])


def bounds_of(field: FieldInfo) -> tuple[float | None, float | None]:
    """Least and greatest value of a numeric option."""
    low = next((entry.ge for entry in field.metadata if hasattr(entry, "ge")), None)
    high = next((entry.le for entry in field.metadata if hasattr(entry, "le")), None)
    return low, high


def _preset_note(name: str) -> str:
    section, _, option = name.partition(".")
    changed = [
        f"{preset} {toml_value(layer[section][option])}"
        for preset, layer in PRESETS.items()
        if option in layer.get(section, {})
    ]
    return f" (preset {', '.join(changed)})" if changed else ""
