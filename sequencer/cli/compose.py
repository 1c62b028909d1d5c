"""The compose file that `testnet` writes beside the homes: one container per validator, from the image."""

IMAGE = "shared-sequencer"
RPC_PORT = 8645
_HOME = "/var/lib/sequencer/home"

_SERVICE = """\
  validator-{index}:
    image: {image}
    pull_policy: never
    command: ["start", "--home", "{home}"]
    user: "{user}"
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    volumes:
      - ./validator-{index}:{home}
    ports:
      - "127.0.0.1:{published}:{rpc_port}"
    healthcheck:
      test:
        - CMD
        - python
        - -c
        - "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{rpc_port}/readyz', timeout=4)"
      interval: 5s
      timeout: 5s
      retries: 12
      start_period: 30s
    stop_grace_period: 20s
    restart: unless-stopped
"""


def render_compose(validators: int, user: str) -> str:
    """A compose file for validators with their homes beside it; RPC of validator i is published at 8645 + i.

    `user` is `uid:gid` of the homes' owner.
    """
    services = "\n".join(
        _SERVICE.format(index=index, image=IMAGE, home=_HOME, user=user, published=RPC_PORT + index, rpc_port=RPC_PORT)
        for index in range(validators)
    )
    return (
        f"# {validators} validators on this machine, from the image `{IMAGE}`; their homes stand beside this file.\n"
        f"services:\n{services}"
    )
