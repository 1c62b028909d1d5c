"""`sequencer bench`: puts a load on a running network and prints what a client sees of it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sequencer.cli.errors import UsageFault
from sequencer.cli.options import HomeOption, JsonOption, read_namespace_id
from sequencer.cli.output import print_json, print_text, say

if TYPE_CHECKING:
    from sequencer.load.plan import LoadPlan
    from sequencer.load.record import LoadRecord


def bench(  # noqa: PLR0913, PLR0917 (options of a command line)
    home: HomeOption,
    rpc: Annotated[
        list[str] | None,
        typer.Option("--rpc", metavar="URL", help="Address of a node; may be repeated. That of the node in --home."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="N", help="Transactions per second, each sent when it is due.")
    ] = None,
    clients: Annotated[
        int, typer.Option("--clients", metavar="N", help="Without --rate: so many, each sends when it is answered.")
    ] = 16,
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", help="How long, warm-up included.")] = 30.0,
    warm_up: Annotated[float, typer.Option("--warm-up", metavar="S", help="What is sent so early counts not.")] = 5.0,
    items: Annotated[int, typer.Option("--items", metavar="N", help="Transactions per request.")] = 256,
    size: Annotated[int, typer.Option("--size", metavar="BYTES", help="Bytes per transaction.")] = 512,
    namespace: Annotated[
        list[str] | None,
        typer.Option("--namespace", metavar="ID", help="Where to; may be repeated. All that are registered."),
    ] = None,
    follow_every: Annotated[
        int, typer.Option("--follow-every", metavar="N", help="Every Nth request is followed up to final.")
    ] = 1,
    raw: Annotated[Path | None, typer.Option("--raw", metavar="FILE", help="Write all counts here, as JSON.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Put a load on a running network. Times count from when a request was due."""
    import random

    import trio

    from sequencer.load.errors import PlanFault
    from sequencer.load.generator import Generator
    from sequencer.load.plan import LoadPlan
    from sequencer.load.summary import lines, summarize

    urls = rpc or [_own_url(home)]
    ids = [int(read_namespace_id(text)) for text in namespace or ()] or _registered(urls)
    plan = LoadPlan(urls, ids, seconds, rate, clients, items, size, warm_up, follow_every)
    try:
        generator = Generator(plan, random.Random())
    except PlanFault as error:
        raise UsageFault(str(error)) from error
    say(_describe(plan))
    record = trio.run(generator.run)
    summary = summarize(plan, record)
    if raw is not None:
        _write(raw, record)
    if as_json:
        print_json(summary)
    else:
        print_text("\n".join(lines(summary)))


def _own_url(home: Path) -> str:
    from sequencer.cli.connection import find_node

    return find_node(None, home).url


def _registered(urls: list[str]) -> list[int]:
    from sequencer.cli.connection import ask, find_node

    return [int(found.id) for found in ask(find_node(urls[0], Path()), lambda client: client.namespaces())]


def _describe(plan: "LoadPlan") -> str:
    how = f"{plan.clients} clients" if plan.rate is None else f"{plan.rate:,.0f} tx/s"
    return (
        f"{how} for {plan.seconds:g} s, the first {plan.warm_up_s:g} s not counted: {plan.items} transactions of "
        f"{plan.size} bytes per request, {len(plan.namespaces)} namespaces, {len(plan.urls)} nodes"
    )


def _write(path: Path, record: "LoadRecord") -> None:
    path.write_text(json.dumps(record.to_json()) + "\n", encoding="utf-8")
