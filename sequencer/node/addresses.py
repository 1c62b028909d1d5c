"""Where something listens, as `host:port`.

Responsible for: taking such a text apart, and where the other validators listen.
Refuses to do: resolve names.
"""

from pydantic import BaseModel, ConfigDict, Field, field_validator

from consensus import limits


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


class Peer(BaseModel):
    """Where another validator listens."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    index: int = Field(ge=0, lt=limits.VALIDATORS_MAX, description="the validator's place in the genesis")
    address: str = Field(description="host:port; the host is an IP address or a DNS name")

    @field_validator("address")
    @classmethod
    def _check_address(cls, value: str) -> str:
        split_address(value)
        return value

    @property
    def host(self) -> str:
        """IP address or DNS name, without brackets."""
        return split_address(self.address)[0]

    @property
    def port(self) -> int:
        """TCP port."""
        return split_address(self.address)[1]
