"""A hostile endpoint's answers end as an L1 error, never as anything that would end the node."""

import httpx
import pytest

from sequencer.l1.errors import L1Error
from sequencer.l1.json_rpc import L1Client


async def _ask(response: httpx.Response) -> None:
    async with L1Client("http://l1.test/", transport=httpx.MockTransport(lambda _: response)) as client:
        with pytest.raises(L1Error):
            await client.chain_id()


async def test_brackets_in_a_string_do_not_hide_nesting() -> None:
    body = b'{"id":1,"x":"' + b"]" * 60_000 + b'","result":' + b"[" * 60_000 + b"]" * 60_000 + b"}"
    await _ask(httpx.Response(200, stream=httpx.ByteStream(body)))


@pytest.mark.parametrize("location", ["http:foo", "javascript:1", "http://xn--/"])
async def test_a_redirect_to_nowhere_is_no_crash(location: str) -> None:
    await _ask(httpx.Response(302, headers={"location": location}, stream=httpx.ByteStream(b"{}")))


async def test_cookies_are_not_kept() -> None:
    headers = [(b"set-cookie", b"a%d=b; Max-Age=99999999" % number) for number in range(500)]
    answer = httpx.Response(200, headers=headers, stream=httpx.ByteStream(b'{"jsonrpc":"2.0","id":1,"result":"0x1"}'))
    async with L1Client("http://l1.test/", transport=httpx.MockTransport(lambda _: answer)) as client:
        await client.chain_id()
        assert len(client._http.cookies.jar) == 0
