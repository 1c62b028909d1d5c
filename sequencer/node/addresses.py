"""Where something listens, as `host:port`.

Responsible for: taking such a text apart.
Refuses to do: resolve names.
"""


def split_address(text: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as host and port (1 … 65,535). Raises `ValueError`; resolves no name."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("write an IPv6 address in brackets: [::1]:9000")
    if not colon or not host or any(c.isspace() or c == "/" for c in host):
        raise ValueError("an address is host:port")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65_535):
        raise ValueError("a port is 1 to 65535")
    return host, int(port)
