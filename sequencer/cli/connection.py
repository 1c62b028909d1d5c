"""How a command reaches a node: which address, and one question at a time.

Responsible for: the address (from `--url`, else from the configuration in `--home`) and running one question.
Refuses to do: know methods or shapes.

Invariants:
1. A node that cannot be reached is one message with its address, exit 1.
"""

from pathlib import Path
from typing import Any

from sequencer.cli.errors import CommandError, UsageFault
from sequencer.cli.output import printable

_TIMEOUT_S = 75.0  # above the longest wait that a node grants


def node_url(url: str | None, home: Path) -> str:
    """The RPC address of the node that is meant. Raises `UsageFault` or `ConfigError`."""
    if url is not None:
        if not url.startswith(("http://", "https://")):
            raise UsageFault(f"--url {url}: an address starts with http:// or https://")
        return url.rstrip("/")
    from sequencer.node.config import config_file_path
    from sequencer.node.config_loading import load_config

    if not config_file_path(home).exists():
        raise UsageFault(f"which node? There is none in {home}; name one with --url, or its directory with --home")
    rpc = load_config(home).rpc
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(rpc.host, rpc.host)  # noqa: S104 (compared, not listened on)
    return f"http://[{host}]:{rpc.port}" if ":" in host else f"http://{host}:{rpc.port}"


def call(url: str, method: str, **params: Any) -> Any:
    """The result of one JSON-RPC call. Raises `CommandError` if the node cannot be reached or refuses."""
    import httpx

    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    try:
        answer = httpx.post(url, json=request, timeout=_TIMEOUT_S, trust_env=False).json()
    except httpx.HTTPError as error:
        raise CommandError(f"the node at {url} cannot be reached: {str(error) or type(error).__name__}") from error
    except ValueError as error:
        raise CommandError(f"{url} does not answer as a node does") from error
    if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
        raise CommandError(f"{url} does not answer as a node does")
    if "error" in answer:
        raise CommandError(f"the node refused: {printable(answer['error'])}")
    return answer["result"]
