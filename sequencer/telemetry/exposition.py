"""The metrics page: `GET /metrics` in the Prometheus text format, as an ASGI application.

Responsible for: answering scrapes.
Refuses to do: listen (the node gives it a port of its own with `sequencer.rpc.listening`).
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sequencer.telemetry.metrics import Metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition_application(metrics: Metrics) -> Starlette:
    """The application that serves `metrics`."""

    async def answer_scrape(_request: Request) -> Response:
        return Response(metrics.exposition(), headers={"content-type": CONTENT_TYPE})

    return Starlette(routes=[Route("/metrics", answer_scrape, methods=["GET"])])
