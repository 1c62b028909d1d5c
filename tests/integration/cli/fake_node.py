"""A stand-in for `sequencer start` that listens where its configuration says and answers health and metrics pages.

Its behaviour is steered by files in its home: `refuse` (end at once with code 2), `unready` (503), `deaf` (ignores
SIGTERM). It is a real process, started and tied to its parent as a real node is.
"""

import argparse
import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from sequencer.cli.start import die_with_parent
from sequencer.node.config_loading import load_config

METRICS = (
    b'sequencer_consensus_height_number{status="final"} 42.0\nsequencer_execution_transactions_total 7.0\n'
    b"sequencer_attesting_height_number 41.0\nsequencer_p2p_peers_count 3.0\n"
)


def start(home: Path, parent_pid: int) -> None:
    die_with_parent(parent_pid)
    config = load_config(home)
    sys.stderr.write("fake node: a line of its log\n")
    if (home / "refuse").exists():
        sys.stderr.write("fake node: \x1b[31mnot today\n")
        sys.exit(2)
    (home / "data").mkdir(exist_ok=True)

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ready = not (home / "unready").exists()
            status, body = 200, METRICS
            if self.path == "/readyz":
                status, body = (200, b"{}") if ready else (503, json.dumps({"reasons": ["no_quorum"]}).encode())
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    servers = [
        ThreadingHTTPServer((section.host, section.port), Answer)
        for section in (config.p2p, config.rpc, config.metrics)
    ]
    for server in servers:
        Thread(target=server.serve_forever, daemon=True).start()
    stop = {signal.SIGTERM, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    while signal.sigwait(stop) == signal.SIGTERM and (home / "deaf").exists():
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["start"])
    parser.add_argument("--home", type=Path)
    parser.add_argument("--parent-pid", type=int)
    arguments = parser.parse_args()
    start(arguments.home, arguments.parent_pid)
