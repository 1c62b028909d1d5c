"""What can go wrong between peers, sorted by who is to blame.

This file is responsible for the exception types of the room. It refuses to decide what follows from them: that is
done where they are caught.

1. `PeerFault` is something an honest peer never does: the link is closed, the fault counted, the peer muted.
2. `RequestRefused` is an honest "no" to a request: the requester is told the reason, nobody is blamed.
3. `RequestFailed` is what the asking side sees, whatever went wrong.
4. `ConnectionLost` is nobody's fault: the other side went away.
5. A reason is a word of our own, fit for a metric's label; nothing a peer chose ever becomes one.
"""

REFUSAL_BYTES_MAX = 256


class PeerFault(Exception):
    """A peer sent what an honest peer never sends.

    `reason` is the word it is counted under; `detail` is for a reader. `mutes` is false where an innocent peer could
    be the one that suffers, such as a link of another network: closed and counted, and free to come back at once.
    """

    def __init__(self, reason: str, detail: str = "", *, mutes: bool = True) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.mutes = mutes


class RequestRefused(Exception):
    """The answering side says no. The reason travels to the requester, cut at `REFUSAL_BYTES_MAX` bytes."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RequestFailed(Exception):
    """A request got no answer.

    `reason` is one of `not_connected`, `link_closed`, `timeout`, `refused`, `reset`, `bad_answer`; for `refused`,
    `detail` is the text the peer gave, to be shown and never parsed.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class ConnectionLost(Exception):
    """The connection or the stream is gone: closed by the other side, by us, or by the network."""


class HandshakeFailed(Exception):
    """A connection did not become a secure one. `reason` is the word it is counted under."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class PortInUse(Exception):
    """Another process listens on our port."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"cannot listen on {host}:{port}: the address is in use by another process")
        self.host = host
        self.port = port
