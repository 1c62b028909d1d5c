"""The errors of talking to an L1, by what the caller does about them.

1. `L1Unreachable`: no answer, or one that makes no sense. The same request may succeed later or elsewhere.
   `MalformedL1Answer` and `L1AnswerTooLarge` say more about why; asking again for less may help the latter.
2. `L1Refused`: the endpoint understood and says no. Asking again is no use unless something changes.
3. `ExecutionReverted`: the L1 executed a call and the contract refused it; `reason` is the contract's own word.
4. `WrongInbox`: the configured address is not this chain's Inbox. The operator has to mend it.
5. `DeploymentFailed`: the Inbox could not be put on the L1; the message says what the operator has to do.
"""


class L1Error(Exception):
    """Root of every error raised by this room."""


class L1Unreachable(L1Error):
    """The endpoint did not answer in time, or not in a way that can be used."""


class MalformedL1Answer(L1Unreachable):
    """The endpoint answered something that is not of the documented shape; the message names the field."""


class L1AnswerTooLarge(L1Unreachable):
    """The endpoint answered more than anybody may be asked to hold."""


class L1Refused(L1Error):
    """A JSON-RPC error. `code` and `message` are the endpoint's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"the L1 refused ({code}): {message}")
        self.code = code
        self.message = message


class ExecutionReverted(L1Error):
    """A contract refused a call. `reason` is its word, empty if it gave none."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"execution reverted: {reason or 'no reason given'}")
        self.reason = reason


class WrongInbox(L1Error):
    """At the configured address there is no Inbox, or another chain's; the message says which."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"the configured address is not this chain's Inbox: {detail}")


class DeploymentFailed(L1Error):
    """The Inbox does not stand; the message says why and what helps."""
