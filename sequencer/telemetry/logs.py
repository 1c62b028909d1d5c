"""Logging: structlog for our own events, and the standard library's loggers routed into the same lines.

Responsible for: one configuration for the process: level, JSON or console, and what may never be written.
Refuses to do: name events or decide what is worth a line; each room does that for itself.

Invariants:
1. One line per event on one stream (standard error): `event` is a stable name in snake_case, all else is fields.
2. A field whose name says that it is secret is never written, whatever its value.
3. A line that cannot be written (full disk, a reader that has gone) is lost; no log call raises because of it, for it
   would leave its caller's work half done.
4. Libraries that log through the standard library are heard from `warning` on, whatever level they set for themselves.
"""

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, Literal, TextIO, cast

import msgspec
import structlog

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]

REDACTED = "[redacted]"
_SECRET_WORDS = ("secret", "private_key", "password", "passphrase", "token", "mnemonic", "keystore")
_FIELD_BYTES_MAX = 64  # longer byte strings are cut: a log line is no place for payloads
_FIELD_TEXT_MAX = 4096

EventFields = MutableMapping[str, Any]


class _Lines:
    """The stream that lines go to, as far as it takes them (invariant 3)."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes, or loses `text`."""
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hands on what is buffered."""
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        """Whether somebody reads along."""
        return self._stream.isatty()


def redact_secrets(_logger: Any, _method: str, fields: EventFields) -> EventFields:
    """Replaces the value of every field whose name holds a secret's word, also inside nested mappings."""
    return {name: _redacted(name, value) for name, value in fields.items()}


def _redacted(name: str, value: Any) -> Any:
    if any(word in name.lower() for word in _SECRET_WORDS):
        return REDACTED
    if isinstance(value, dict):
        return {inner: _redacted(str(inner), entry) for inner, entry in value.items()}
    return value


def render_values(_logger: Any, _method: str, fields: EventFields) -> EventFields:
    """Byte strings as `0x` hex and long texts cut, so that a peer cannot fill the disk with one field."""
    return {name: _rendered(value) for name, value in fields.items()}


def _rendered(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        return f"0x{data[:_FIELD_BYTES_MAX].hex()}" + ("…" if len(data) > _FIELD_BYTES_MAX else "")
    if isinstance(value, str) and len(value) > _FIELD_TEXT_MAX:
        return value[:_FIELD_TEXT_MAX] + "…"
    return value


def _to_json(fields: Any, **_options: Any) -> str:
    return msgspec.json.encode(fields, enc_hook=str).decode()


def configure_logs(level: Level = "info", form: Format = "auto", stream: TextIO | None = None) -> None:
    """Sets up logging for the whole process; a second call replaces the first.

    `stream` defaults to standard error. `auto` is console where the stream is a terminal, else JSON.
    """
    target = _Lines(sys.stderr if stream is None else stream)
    console = form == "console" or (form == "auto" and target.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact_secrets,
        render_values,
    ]
    finish: list[structlog.typing.Processor]
    if console:
        finish = [structlog.dev.ConsoleRenderer(colors=target.isatty())]
    else:
        finish = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_to_json)]
    structlog.configure(
        processors=[*shared, *finish],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", target)),
        cache_logger_on_first_use=False,
    )
    _route_libraries(shared, finish, target)


def _route_libraries(
    shared: list[structlog.typing.Processor], finish: list[structlog.typing.Processor], target: "_Lines"
) -> None:
    """Makes the root logger of the standard library write the same lines, from `warning` on."""
    lines = logging.StreamHandler(target)
    lines.setLevel(logging.WARNING)
    lines.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_name_library, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [lines]
    root.setLevel(logging.WARNING)


def _name_library(_logger: Any, _method: str, fields: EventFields) -> EventFields:
    """A library's message is no event name of ours: it becomes `library_message` with the logger's name."""
    record = fields.get("_record")
    fields["library"] = record.name if record is not None else "unknown"
    fields["message"] = fields["event"]
    fields["event"] = "library_message"
    return fields
