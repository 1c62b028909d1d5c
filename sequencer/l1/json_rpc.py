"""An L1 endpoint's JSON-RPC over HTTP: one request, one bounded answer, one typed value or one typed error.

Responsible for: the methods of an Ethereum node that following and posting need.
Refuses to do: try again, choose between endpoints, hold keys, or remember anything.

Invariants:
1. A request ends within its time. An answer is at most ANSWER_BYTES_MAX, is never decompressed, and is nested no deeper
   than NESTING_MAX; a long one is parsed in a thread.
2. What is no answer of the documented shape is `L1Unreachable`, whatever came instead: an endpoint behind a broken
   proxy is as good as away.
3. The address may hold a provider's key: errors name only the host.
4. Logs are those that were asked for: another contract's, another block's or another event's are malformed.
"""

import re
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any, Final, TypeVar

import httpx
import msgspec
import trio

from sequencer.l1.errors import ExecutionReverted, L1AnswerTooLarge, L1Refused, L1Unreachable, MalformedL1Answer
from sequencer.l1.reverts import reason_of
from sequencer.l1.shapes import (
    HASH_BYTES,
    BlockTag,
    L1Block,
    L1Log,
    L1Receipt,
    as_bytes,
    as_fixed,
    as_list,
    as_number,
    read_block,
    read_log,
    read_receipt,
    to_hex,
)
from sequencer.l1.transactions import transaction_hash

T = TypeVar("T")

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
INLINE_BYTES_MAX: Final = 32 * 1024  # parsed in well under a millisecond
CONNECT_SECONDS_MAX: Final = 5.0
LOGS_MAX: Final = 10_000  # of one answer; the usual bound of endpoints, too
CODE_BYTES_MAX: Final = 64 * 1024  # an L1 allows 24 KiB, and talks of more
CALL_BYTES_MAX: Final = 256 * 1024
NESTING_MAX: Final = 32  # what we ask for nests five deep
BRACKETS_MAX: Final = 262_144  # counting them takes some 15 ms
MESSAGE_LENGTH_MAX: Final = 512

_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_REVERTED = 3  # the error code of a call that the contract refused
_ALREADY_THERE = re.compile(r"already known|alreadyknown|already imported|^known transaction", re.IGNORECASE)
_NO_BLOCK = ("not found", "unknown block")


class _Body(httpx.AsyncByteStream):
    """A request's bytes, in one piece. The library's own is a generator, left unfinished by a broken connection."""

    def __init__(self, data: bytes) -> None:
        self._left = [data]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class L1Client:
    """Asks one endpoint. `async with L1Client(url, timeout_s=…) as client`; tests hand in a transport."""

    def __init__(self, url: str, *, timeout_s: float = 10.0, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`url` is an `http(s)://…`; raises `ValueError` for what is none. Each request ends within `timeout_s`."""
        self._timeout_s = timeout_s
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError(f"not an address: {error}") from error
        # Loading the system's certificates takes 50 ms; a context without any serves plain HTTP and refuses all else.
        tls = ssl.create_default_context() if self._url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=min(CONNECT_SECONDS_MAX, timeout_s)),
            headers={"accept-encoding": "identity", "content-type": "application/json"},
            trust_env=False,
            verify=tls,
            transport=transport,
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),  # none
        )
        self._requests = 0

    async def __aenter__(self) -> "L1Client":
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, traceback)

    async def chain_id(self) -> int:
        """The L1's own chain id."""
        return await self._ask("eth_chainId", [], lambda value: as_number(value, "chain id"))

    async def block(self, block: int | BlockTag) -> L1Block | None:
        """A block's header; None where there is none yet."""
        try:
            found = await self._ask("eth_getBlockByNumber", [_block(block), False], _optional(read_block))
        except L1Refused as refused:
            if any(word in refused.message.lower() for word in _NO_BLOCK):
                return None
            raise
        if found is not None and isinstance(block, int) and found.number != block:
            raise MalformedL1Answer(f"block {found.number} in answer to {block}")
        return found

    async def logs(
        self, address: bytes, topics: Sequence[bytes | None], first_block: int, last_block: int
    ) -> list[L1Log]:
        """The contract's events in these blocks, in their order. A topic that is None is any.

        Raises `L1AnswerTooLarge` for more than LOGS_MAX or ANSWER_BYTES_MAX; ask for fewer blocks then.
        """
        query = {
            "address": to_hex(address),
            "topics": [None if topic is None else to_hex(topic) for topic in topics],
            "fromBlock": hex(first_block),
            "toBlock": hex(last_block),
        }

        def read(value: object) -> list[L1Log]:
            if isinstance(value, list) and len(value) > LOGS_MAX:
                raise L1AnswerTooLarge(f"more than {LOGS_MAX} logs")
            found = list(as_list(value, "logs", LOGS_MAX, read_log))
            for log in found:
                fits = len(log.topics) >= len(topics) and all(
                    wanted in {None, topic} for wanted, topic in zip(topics, log.topics, strict=False)
                )
                if log.address != address or not first_block <= log.block_number <= last_block or not fits:
                    raise MalformedL1Answer("a log that was not asked for")
            places = [(log.block_number, log.log_index) for log in found]
            if places != sorted(set(places)):
                raise MalformedL1Answer("logs are in the order of their places, each once")
            return found

        return await self._ask("eth_getLogs", [query], read)

    async def call(
        self,
        to: bytes,
        data: bytes,
        block: int | BlockTag = "latest",
        *,
        sender: bytes | None = None,
        gas: int | None = None,
    ) -> bytes:
        """What the contract answers, without a transaction. Raises `ExecutionReverted` with its reason."""
        call = _call(to, data, sender, gas)
        return await self._ask(
            "eth_call", [call, _block(block)], lambda value: as_bytes(value, "call result", CALL_BYTES_MAX)
        )

    async def estimate_gas(self, to: bytes, data: bytes, *, sender: bytes | None = None) -> int:
        """How much gas the call would take after the newest block, whatever is in the pool.

        Raises `ExecutionReverted` with the contract's reason.
        """
        call = _call(to, data, sender, None)
        return await self._ask("eth_estimateGas", [call, "latest"], lambda value: as_number(value, "gas"))

    async def is_syncing(self) -> bool:
        """Whether the node says that it is still catching up: what it lacks then says nothing."""
        return await self._ask("eth_syncing", [], lambda value: value is not False)

    async def send_raw(self, raw: bytes) -> bytes:
        """Hands a signed transaction in and returns its hash; one that is there already is a success."""
        expected = transaction_hash(raw)
        try:
            answered = await self._ask(
                "eth_sendRawTransaction", [to_hex(raw)], lambda value: as_fixed(value, "transaction hash", HASH_BYTES)
            )
        except L1Refused as refused:
            if _ALREADY_THERE.search(refused.message):
                return expected
            raise
        if answered != expected:
            raise MalformedL1Answer("the hash of another transaction")
        return expected

    async def receipt(self, transaction: bytes) -> L1Receipt | None:
        """What became of a transaction, by its hash; None while it is not mined."""
        return await self._ask("eth_getTransactionReceipt", [to_hex(transaction)], _optional(read_receipt))

    async def nonce(self, address: bytes, block: int | BlockTag = "latest") -> int:
        """How many transactions of this account are mined."""
        parameters = [to_hex(address), _block(block)]
        return await self._ask("eth_getTransactionCount", parameters, lambda value: as_number(value, "nonce"))

    async def balance(self, address: bytes, block: int | BlockTag = "latest") -> int:
        """In wei."""
        parameters = [to_hex(address), _block(block)]
        return await self._ask("eth_getBalance", parameters, lambda value: as_number(value, "balance"))

    async def code(self, address: bytes, block: int | BlockTag = "latest") -> bytes:
        """A contract's code; empty for an account without."""
        parameters = [to_hex(address), _block(block)]
        return await self._ask("eth_getCode", parameters, lambda value: as_bytes(value, "code", CODE_BYTES_MAX))

    async def raw(self, method: str, parameters: Sequence[object]) -> Any:
        """Any other method, its result as plain JSON values: for development networks."""
        return await self._ask(method, list(parameters), lambda value: value)

    async def _ask(self, method: str, parameters: list[Any], read: Callable[[object], T]) -> T:
        self._requests += 1
        request_id = self._requests
        question = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": parameters}
        status, body = await self._exchange(msgspec.json.encode(question))

        def parse() -> T:
            return read(_result(status, body, request_id))

        try:
            if len(body) <= INLINE_BYTES_MAX:
                return parse()
            return await trio.to_thread.run_sync(parse)
        except MalformedL1Answer as error:
            raise MalformedL1Answer(f"{self._url.host}: {method}: {error}") from error

    async def _exchange(self, question: bytes) -> tuple[int, bytes]:
        try:
            with trio.fail_after(self._timeout_s):
                return await self._receive(question)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, trio.TooSlowError) as error:
            # Where an endpoint redirects to is parsed, though never followed; what cannot be parsed is a ValueError.
            raise L1Unreachable(f"{self._url.host}: {type(error).__name__}") from error

    async def _receive(self, question: bytes) -> tuple[int, bytes]:
        request = self._http.build_request("POST", self._url, content=question)
        request.stream = _Body(question)
        async with aclosing(await self._http.send(request, stream=True)) as response:
            parts: list[bytes] = []
            size = 0
            # Not a break: the library's generators are only unwound properly by an exception from inside.
            with trio.CancelScope() as reading:
                async for part in response.aiter_raw():
                    size += len(part)
                    if size > ANSWER_BYTES_MAX:
                        reading.cancel()
                    else:
                        parts.append(part)
            if size > ANSWER_BYTES_MAX:
                raise L1AnswerTooLarge(f"{self._url.host}: an answer of more than {ANSWER_BYTES_MAX} bytes")
            return response.status_code, b"".join(parts)


def _block(block: int | BlockTag) -> str:
    return hex(block) if isinstance(block, int) else block


def _call(to: bytes, data: bytes, sender: bytes | None, gas: int | None) -> dict[str, str]:
    call = {"to": to_hex(to), "data": to_hex(data)}
    if sender is not None:
        call["from"] = to_hex(sender)
    if gas is not None:
        call["gas"] = hex(gas)
    return call


def _optional(read: Callable[[object], T]) -> Callable[[object], T | None]:
    return lambda value: None if value is None else read(value)


def _result(status: int, body: bytes, request_id: int) -> object:
    """The result of an answer. Some endpoints say an error with an HTTP status of its own, too."""
    try:
        answer = _parse(body)
    except (ValueError, RecursionError) as error:
        raise MalformedL1Answer(f"HTTP {status} and no JSON" if status != 200 else str(error)) from error
    if not isinstance(answer, dict) or not ("result" in answer or isinstance(answer.get("error"), dict)):
        raise MalformedL1Answer(f"HTTP {status} and no JSON-RPC answer")
    refusal = answer.get("error")
    if isinstance(refusal, dict):
        _raise(refusal)
    if answer.get("id") != request_id:
        raise MalformedL1Answer("the answer to another request")
    return answer["result"]


def _raise(error: dict[str, object]) -> None:
    code, message = error.get("code"), error.get("message")
    if isinstance(code, bool) or not isinstance(code, int) or not isinstance(message, str):
        raise MalformedL1Answer("an error without its code or message")
    message = message[:MESSAGE_LENGTH_MAX]
    if code == _REVERTED or message.lower().startswith(("execution reverted", "vm execution error")):
        raise ExecutionReverted(reason_of(error.get("data")))
    raise L1Refused(code, message)


def _parse(body: bytes) -> object:
    """Plain JSON values. The parser recurses, so the depth is bounded first; strings of ours hold no brackets."""
    brackets = body.translate(None, _NOT_BRACKETS)
    if len(brackets) > BRACKETS_MAX:
        raise ValueError("too many values")
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        if not 0 <= depth <= NESTING_MAX:
            raise ValueError("nested too deeply, or brackets where we expect none")
    value: object = msgspec.json.decode(body)
    return value
