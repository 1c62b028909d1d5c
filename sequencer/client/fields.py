"""Reading JSON values strictly: numbers, hex, namespaces, lists and objects, each with its bound.

Responsible for: turning the plain values of a JSON parser into integers and bytes, and back.
Refuses to do: know any shape (`wire.py`), or bound the size of a whole answer (the transport does).

Invariants:
1. Every error is `MalformedAnswer` and names the field.
2. A number is an integer from 0 to 2^53−1, never a boolean, a float or a string. Hex is `0x` and two digits per byte,
   in either case when read and in lower case when written.
3. A namespace is a number up to 2^53−1, else a `0x` hex string without leading zeros; it is written the same way.
4. Nothing nested deeper than NESTING_MAX is parsed: the parser recurses, and its own bound is a limit that any library
   in the process may have raised beyond what the stack holds.
5. Fields that nobody asks for are ignored: newer nodes may add some.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from consensus.numbers import Hash, NamespaceId
from sequencer.client.errors import MalformedAnswer

T = TypeVar("T")

NUMBER_MAX = 2**53 - 1
BRACKETS_MAX = 262_144  # a block of the most namespaces has half as many; counting them takes some 15 ms
NESTING_MAX = 128  # ours nest below ten deep
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
TEXT_LENGTH_MAX = 1_024
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*\Z")
_QUANTITY = re.compile(r"0x[1-9a-fA-F][0-9a-fA-F]{0,15}\Z")

JsonObject = dict[str, object]


def to_hex(data: bytes) -> str:
    """`0x` and two lower-case digits per byte."""
    return "0x" + data.hex()


def namespace_to_json(namespace: NamespaceId) -> int | str:
    """A number where JSON holds it exactly, else a hex string."""
    return int(namespace) if namespace <= NUMBER_MAX else hex(namespace)


def namespace_from_json(value: object, name: str = "namespace") -> NamespaceId:
    """The inverse of `namespace_to_json`; also takes small ids as hex, as a request may."""
    if isinstance(value, str) and _QUANTITY.match(value):
        return NamespaceId(int(value, 16))
    return NamespaceId(as_number(value, name))


def as_number(value: object, name: str, maximum: int = NUMBER_MAX) -> int:
    """An integer from 0 to `maximum`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= maximum:
        raise MalformedAnswer(f"{name} is a number from 0 to {maximum}")
    return value


def as_bytes(value: object, name: str, size: int | None = None) -> bytes:
    """The bytes of a hex string; exactly `size` of them if it is given."""
    if not isinstance(value, str) or not _HEX.match(value):
        raise MalformedAnswer(f"{name} is a 0x hex string")
    data = bytes.fromhex(value[2:])
    if size is not None and len(data) != size:
        raise MalformedAnswer(f"{name} has {size} bytes, not {len(data)}")
    return data


def parse_json(body: bytes, *, strings_may_hold_brackets: bool = True) -> Any:
    """The plain value of a JSON text. Raises `ValueError` for anything else, and for what is nested too deeply.

    A server says that strings hold no brackets (ours are words and hex), which saves it looking for strings.
    """
    if _is_too_deep(body) and (not strings_may_hold_brackets or _is_too_deep(_STRING.sub(b"", body))):
        raise ValueError("JSON that is nested too deeply")
    return msgspec.json.decode(body)


def _is_too_deep(text: bytes) -> bool:
    brackets = text.translate(None, _NOT_BRACKETS)
    if len(brackets) > BRACKETS_MAX:
        return True
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        if depth > NESTING_MAX:
            return True
    return False


class Fields:
    """A JSON object whose fields are read one by one; `name` is how errors call it."""

    __slots__ = ("_name", "_values")

    def __init__(self, value: object, name: str) -> None:
        if not isinstance(value, dict):
            raise MalformedAnswer(f"{name} is an object")
        self._values: JsonObject = value
        self._name = name

    def __contains__(self, key: str) -> bool:
        """Whether the field is there: for fields that need not be."""
        return key in self._values

    def __getitem__(self, key: str) -> object:
        """The value of a field that must be there."""
        if key not in self._values:
            raise MalformedAnswer(f"{self._name}.{key} is missing")
        return self._values[key]

    def number(self, key: str, maximum: int = NUMBER_MAX) -> int:
        """A number from 0 to `maximum`."""
        return as_number(self[key], f"{self._name}.{key}", maximum)

    def number_or_none(self, key: str) -> int | None:
        """A number, or null."""
        return None if self[key] is None else self.number(key)

    def constant(self, key: str, expected: object) -> None:
        """Raises unless the field has exactly this value."""
        value = self[key]
        if type(value) is not type(expected) or value != expected:
            raise MalformedAnswer(f"{self._name}.{key} is not {expected!r}")

    def namespace(self, key: str = "namespace") -> NamespaceId:
        """A namespace id."""
        return namespace_from_json(self[key], f"{self._name}.{key}")

    def data(self, key: str, size: int | None = None) -> bytes:
        """Bytes in hex, `size` of them if it is given."""
        return as_bytes(self[key], f"{self._name}.{key}", size)

    def hash(self, key: str) -> Hash:
        """32 bytes in hex."""
        return Hash(self.data(key, 32))

    def text(self, key: str, length_max: int = TEXT_LENGTH_MAX) -> str:
        """A string of at most `length_max` characters."""
        value = self[key]
        if not isinstance(value, str) or len(value) > length_max:
            raise MalformedAnswer(f"{self._name}.{key} is a string of at most {length_max} characters")
        return value

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self[key]
        if not isinstance(value, bool):
            raise MalformedAnswer(f"{self._name}.{key} is true or false")
        return value

    def items(self, key: str, read: Callable[[object, str], T]) -> list[T]:
        """A list; `read` gets each value and what to call it in errors."""
        values = self[key]
        if not isinstance(values, list):
            raise MalformedAnswer(f"{self._name}.{key} is a list")
        return [read(value, f"{self._name}.{key}[{place}]") for place, value in enumerate(values)]

    def object(self, key: str) -> "Fields":
        """A nested object."""
        return Fields(self[key], f"{self._name}.{key}")


def optional(read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """The reader of an answer that may be null."""
    return lambda value: None if value is None else read(value)


def list_of(read: Callable[[object, str], T]) -> Callable[[Any], list[T]]:
    """The reader of an answer that is a list."""
    return lambda value: Fields({"answer": value}, "answer").items("answer", read)
