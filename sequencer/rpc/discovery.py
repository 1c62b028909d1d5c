"""`rpc.discover`: the OpenRPC document (https://spec.open-rpc.org), generated from the method table.

Invariant: it describes exactly the methods that this node answers, itself included.
"""

from importlib.metadata import version

from sequencer.client.fields import JsonObject
from sequencer.client.reasons import reason_of
from sequencer.rpc.method import Method
from sequencer.rpc.methods import METHODS
from sequencer.rpc.schemas import SCHEMAS

DISCOVER = "rpc.discover"
OPENRPC_VERSION = "1.3.2"
_COMMON_REASONS = ("malformed", "internal")


def openrpc_document() -> JsonObject:
    """The document as a JSON value."""
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {"title": "shared-sequencer", "version": version("shared-sequencer")},
        "methods": [*(_method(method) for method in METHODS.values()), _discover()],
        "components": {"schemas": SCHEMAS},
    }


def _method(method: Method) -> JsonObject:
    reasons = [reason_of(word) for word in (*method.reasons, *_COMMON_REASONS)]
    return {
        "name": method.name,
        "summary": method.summary,
        "params": [
            {
                "name": parameter.name,
                "summary": parameter.summary,
                "required": parameter.required,
                "schema": {
                    **parameter.schema,
                    **({} if parameter.required else {"default": parameter.default_json}),
                },
            }
            for parameter in method.parameters
        ],
        "result": {"name": method.result, "schema": _result(method)},
        "errors": [
            {"code": reason.code, "message": reason.meaning, "data": {"reason": reason.word}} for reason in reasons
        ],
    }


def _result(method: Method) -> JsonObject:
    schema: JsonObject = {"$ref": f"#/components/schemas/{method.result}"}
    if method.many:
        schema = {"type": "array", "items": schema}
    return {"oneOf": [schema, {"type": "null"}]} if method.nullable else schema


def _discover() -> JsonObject:
    return {
        "name": DISCOVER,
        "summary": "This document.",
        "params": [],
        "result": {"name": "OpenRPC", "schema": {"type": "object"}},
        "errors": [],
    }
