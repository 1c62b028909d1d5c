"""What a JSON-RPC method is: its name, its parameters with their bounds, and what it calls.

Responsible for: binding by-name and by-position parameters to values, strictly.
Refuses to do: know any method (`methods/`) or any transport.

Invariants:
1. A parameter is read by its own bounded reader before anything else happens; no unknown and no surplus parameter.
2. Every failure to bind is a `RequestRefused` that names the parameter.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sequencer.client.errors import MalformedAnswer
from sequencer.rpc.errors import RequestRefused

JsonSchema = Mapping[str, Any]


class _Required:
    """The type of REQUIRED, so that None can be a default."""


REQUIRED: Final = _Required()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `read` raises `RequestRefused`, or `MalformedAnswer` with a text that names the parameter."""

    name: str
    summary: str
    schema: JsonSchema
    read: Callable[[object], Any]
    default: Any = REQUIRED

    @property
    def default_json(self) -> object:
        """The default as a caller would write it."""
        return f"0x{self.default.hex()}" if isinstance(self.default, bytes) else self.default

    @property
    def required(self) -> bool:
        """Whether a call must give it."""
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class Method:
    """One method. `call` takes the context and the parameters' values in order, and returns a JSON value."""

    name: str
    summary: str
    call: Callable[..., Awaitable[object]]
    parameters: tuple[Parameter, ...] = ()
    result: str = ""  # the name of a shape in `schemas.py`
    many: bool = False  # the result is a list of that shape
    nullable: bool = False  # the result may be null
    reasons: tuple[str, ...] = ()  # beyond malformed and internal, which every method may answer
    waits: bool = field(default=False, kw_only=True)  # answers after something has happened, not at once
    over_web_socket: bool = field(default=False, kw_only=True)  # `call` takes the caller behind the context

    def bind(self, params: object) -> list[Any]:
        """The values for `call`, in order. Raises `RequestRefused`."""
        match params:
            case None:
                given: Mapping[str, object] = {}
            case list():
                given = self._by_position(params)
            case dict():
                given = params
            case _:
                raise RequestRefused("invalid_request", "params is an array or an object")
        unknown = [name for name in given if name not in {parameter.name for parameter in self.parameters}]
        if unknown:
            raise RequestRefused("malformed", f"{self.name} has no parameter {unknown[0][:64]!r}")
        return [_value(parameter, given) for parameter in self.parameters]

    def _by_position(self, params: Sequence[object]) -> dict[str, object]:
        if len(params) > len(self.parameters):
            raise RequestRefused("malformed", f"{self.name} has {len(self.parameters)} parameters, not {len(params)}")
        return {parameter.name: value for parameter, value in zip(self.parameters, params, strict=False)}


def _value(parameter: Parameter, given: Mapping[str, object]) -> Any:
    if parameter.name not in given:
        if parameter.required:
            raise RequestRefused("malformed", f"{parameter.name} is missing")
        return parameter.default
    try:
        return parameter.read(given[parameter.name])
    except MalformedAnswer as error:
        raise RequestRefused("malformed", str(error)) from error
