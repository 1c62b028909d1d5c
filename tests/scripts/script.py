"""The script language: one command per line, `#` comments, and below each command, indented, what it made happen.

    stakes 1 1 1 1 · latency 1 · timing view_timeout_ms 60    before `start`; without them, the values below
    byzantine 2                             validator 2 does not run; the script speaks for it
    start [i …] · crash i … · crash i before KIND            KIND: an effect or a message, such as Save or Vote
    run MS · run until view V               until all running nodes are in view V or later
    batch A [late at i by MS]               validator A seals a batch
    drop KIND [of view V] [from i …] [to i …] · delay KIND … by MS · deliver everything
    partition 0 1 | 2 3 · heal
    show saves · show reports               in the trace, from here on
    i proposes in view V on QC q [by TC of j … with HIGH] [to k …]       HIGH: QC q, tip T, tip T as view v on QC q
    i proposes in view V on a false QC q [to k …]                        its votes are nobody's
    i re-proposes tip T in view V by TC of j … with HIGH [to k …]        the TC of view V − 1: these signers, and i
    i votes for tip T in view V [to k …] · i times out in view V with HIGH [to k …] · i shows QC q [to k …]
    i shows TC V of j … with HIGH [to k …]
    expect final L:S … · expect height H · expect view V · expect live   live: a new batch becomes final everywhere

Every script ends with the checks of the cluster: one chain, no honest node convicted or blamed.
"""

import re
from collections.abc import Callable
from dataclasses import replace

from consensus.numbers import View
from consensus.replica.effects import Broadcast, Effect, Send
from consensus.replica.state import ReplicaTiming
from consensus.signing import SIGNATURE_BYTES
from consensus.vocabulary.certificates import QC, TC, TimeoutBody
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.tip import Tip
from tests.scripts.trace import Trace
from tests.simulation.adversary import Adversary
from tests.simulation.cluster import Cluster, Sent
from tests.simulation.node import Node

TIMING = ReplicaTiming(
    view_timeout_ms=100,
    view_timeout_max_ms=400,
    min_block_interval_loaded_ms=5,
    idle_interval_ms=12,
    fetch_delay_ms=10,
    fetch_retry_ms=50,
)
LIMIT_MS = 2_000
HIGH = r"(?P<high>QC \d+|tip \w+(?: as view \d+ on QC \d+)?)"
TO = r"(?: to (?P<to>[\d ]+))?"
OF = r"TC of (?P<of>[\d ]+) with " + HIGH


def numbers(text: str | None) -> list[int]:
    """`0 1 3` as a list."""
    return [int(word) for word in (text or "").split()]


class Script:
    """Runs commands on one cluster."""

    def __init__(self) -> None:
        self._stakes: tuple[int, ...] = (1, 1, 1, 1)
        self._timing = TIMING
        self._latency_ms = 1.0
        self._byzantine: list[int] = []
        self._cluster: Cluster | None = None
        self._commands: list[tuple[re.Pattern[str], Callable[..., None]]] = [
            (re.compile(pattern), command)
            for pattern, command in (
                (r"stakes (?P<stakes>[\d ]+)", self._set_stakes),
                (r"latency (?P<ms>[\d.]+)", self._set_latency),
                (r"timing (?P<name>\w+) (?P<ms>[\d.]+)", self._set_timing),
                (r"byzantine (?P<nodes>[\d ]+)", self._set_byzantine),
                (r"start(?P<nodes>[\d ]*)", self._start),
                (r"crash (?P<node>\d+) before (?P<kind>\w+)", self._crash_before),
                (r"crash (?P<nodes>[\d ]+)", self._crash),
                (r"run (?P<ms>[\d.]+)", self._run),
                (r"run until view (?P<view>\d+)", self._run_until),
                (r"batch (?P<author>\d+)(?: late at (?P<late>\d+) by (?P<ms>[\d.]+))?", self._batch),
                (
                    r"(?:drop|delay) (?P<kind>\w+)(?: of view (?P<view>\d+))?(?: from (?P<sources>[\d ]+))?"
                    + TO
                    + r"(?: by (?P<ms>[\d.]+))?",
                    self._disturb,
                ),
                (r"deliver everything", self._deliver),
                (r"show (?P<what>saves|reports)", self._show_kind),
                (r"partition (?P<groups>[\d |]+)", self._partition),
                (r"heal", self._heal),
                (rf"(?P<who>\d+) proposes in view (?P<view>\d+) on QC (?P<qc>\d+)(?: by {OF})?{TO}", self._propose),
                (rf"(?P<who>\d+) proposes in view (?P<view>\d+) on a false QC (?P<qc>\d+){TO}", self._propose_on_false),
                (rf"(?P<who>\d+) re-proposes (?P<tip>tip \w+) in view (?P<view>\d+) by {OF}{TO}", self._repropose),
                (rf"(?P<who>\d+) votes for (?P<tip>tip \w+) in view (?P<view>\d+){TO}", self._vote),
                (rf"(?P<who>\d+) times out in view (?P<view>\d+) with {HIGH}{TO}", self._time_out),
                (rf"(?P<who>\d+) shows TC (?P<view>\d+) of (?P<of>[\d ]+) with {HIGH}{TO}", self._show_tc),
                (rf"(?P<who>\d+) shows QC (?P<qc>\d+){TO}", self._show),
                (r"expect final (?P<batches>[\d: ]+)", self._expect_final),
                (r"expect height (?P<height>\d+)", self._expect_height),
                (r"expect view (?P<view>\d+)", self._expect_view),
                (r"expect live", self._expect_live),
            )
        ]

    def run(self, command: str) -> list[str]:
        """Runs one command; returns the trace that belongs below it. Raises `AssertionError` for a failed `expect`."""
        for pattern, action in self._commands:
            match = pattern.fullmatch(command)
            if match is not None:
                action(**match.groupdict())
                return self._trace.take() if self._cluster is not None else []
        raise ValueError(f"no such command: {command}")

    def finish(self) -> None:
        """What must hold at the end of every script."""
        self.cluster.check()

    # the cluster

    def _set_stakes(self, stakes: str) -> None:
        self._stakes = tuple(numbers(stakes))

    def _set_latency(self, ms: str) -> None:
        self._latency_ms = float(ms)

    def _set_timing(self, name: str, ms: str) -> None:
        self._timing = replace(self._timing, **{name: float(ms)})  # type: ignore[arg-type]

    def _set_byzantine(self, nodes: str) -> None:
        self._byzantine = numbers(nodes)

    @property
    def cluster(self) -> Cluster:
        """Made by the first command that needs it."""
        if self._cluster is None:
            cluster = Cluster(self._stakes, timing=self._timing)
            cluster.latency_ms = (self._latency_ms, self._latency_ms)
            self._cluster = cluster
            self._trace = Trace(cluster)
            self._adversary = Adversary(cluster, *self._byzantine) if self._byzantine else None
        return self._cluster

    @property
    def adversary(self) -> Adversary:
        """Speaks for the Byzantine validators."""
        assert self.cluster is not None
        assert self._adversary is not None, "name the Byzantine validators first"
        return self._adversary

    def _running(self) -> list[Node]:
        return [node for node in self.cluster.nodes if node.alive]

    def _start(self, nodes: str) -> None:
        self.cluster.start(*numbers(nodes))

    def _crash(self, nodes: str) -> None:
        self.cluster.crash(*numbers(nodes))

    def _crash_before(self, node: str, kind: str) -> None:
        def strikes(at: Node, effect: Effect) -> bool:
            names = {type(effect).__name__}
            if isinstance(effect, Send | Broadcast):
                names.add(type(effect.message).__name__)
            struck = at.index == int(node) and kind in names
            if struck:
                self._trace.say(at.index, f"crashes before {kind}")
                self.cluster.before_effect = None
            return struck

        self.cluster.before_effect = strikes

    def _run(self, ms: str) -> None:
        self.cluster.run(float(ms))

    def _run_until(self, view: str) -> None:
        self.cluster.run_until(
            lambda: all(node.core.state.view >= int(view) for node in self._running()), limit_ms=LIMIT_MS
        )

    def _batch(self, author: str, late: str | None, ms: str | None) -> None:
        self.cluster.batch(int(author), {int(late): float(ms or 0)} if late else None)

    # links

    def _disturb(self, kind: str, view: str | None, sources: str | None, to: str | None, ms: str | None) -> None:
        def concerns(sent: Sent) -> bool:
            return (
                kind in ("everything", type(sent.message).__name__)
                and (view is None or view_of(sent) == int(view))
                and (sources is None or sent.sender in numbers(sources))
                and (to is None or sent.receiver in numbers(to))
            )

        drops, delays = self.cluster.drops, self.cluster.extra_delay_ms
        if ms is None:
            self.cluster.drops = lambda sent: concerns(sent) or drops(sent)
        else:
            self.cluster.extra_delay_ms = lambda sent: float(ms) if concerns(sent) else delays(sent)

    def _deliver(self) -> None:
        self.cluster.drops, self.cluster.extra_delay_ms = (lambda sent: False), (lambda sent: 0.0)

    def _partition(self, groups: str) -> None:
        self.cluster.partition(*(set(numbers(group)) for group in groups.split("|")))

    def _heal(self) -> None:
        self.cluster.heal()

    def _show_kind(self, what: str) -> None:
        assert self.cluster is not None
        if what == "saves":
            self._trace.shows_saves = True
        else:
            self._trace.shows_reports = True

    # the Byzantine

    def _receivers(self, to: str | None) -> list[int]:
        return numbers(to) if to else [node.index for node in self.cluster.honest]

    def _tip(self, name: str) -> Tip:
        return self.adversary.tips[self._trace.named(name)]

    def _qc(self, view: str) -> QC:
        qc = self.adversary.qc(int(view))
        assert qc is not None, f"no QC {view} can be made of the votes seen"
        return qc

    def _high(self, text: str, view: int) -> Tip | QC | TimeoutBody:
        words = text.split()
        if words[0] == "QC":
            return self._qc(words[1])
        tip = self._tip(" ".join(words[:2]))
        if len(words) == 2:
            return tip
        body = self.adversary.forge.body(view, tip)
        return replace(body, tip_view=View(int(words[4])), qc_view=View(int(words[7])))

    def _tc(self, view: int, of: str | None, high: str | None) -> TC | None:
        if of is None or high is None:
            return None
        certificate = self.adversary.tc(view, numbers(of), self._high(high, view))
        assert certificate is not None, "these signers are no quorum"
        return certificate

    def _propose(self, who: str, view: str, qc: str, of: str | None, high: str | None, to: str | None) -> None:
        number, receivers = int(view), self._receivers(to)
        salt = len(self.adversary.tips_of(number))
        tip = self.adversary.fresh_tip(number, self._qc(qc), self._tc(number - 1, of, high), salt=salt)
        assert tip is not None, "no quorum of reports was seen"
        self._trace.say(int(who), f"shows {self._trace.name(tip)} to {' '.join(map(str, receivers))}")
        self.adversary.propose(number, tip, receivers)

    def _propose_on_false(self, who: str, view: str, qc: str, to: str | None) -> None:
        number, receivers, justify = int(view), self._receivers(to), self._qc(qc)
        false = replace(justify, signatures=(bytes(SIGNATURE_BYTES),) * len(justify.signers))
        tip = self.adversary.fresh_tip(number, false, salt=len(self.adversary.tips_of(number)))
        assert tip is not None, "no quorum of reports was seen"
        self._trace.say(int(who), f"shows {self._trace.name(tip)} to {' '.join(map(str, receivers))}")
        self.adversary.propose(number, tip, receivers)

    def _repropose(self, who: str, tip: str, view: str, of: str, high: str, to: str | None) -> None:
        entry = self._tc(int(view) - 1, of, high)
        self.adversary.propose(int(view), self._tip(tip), self._receivers(to), entry)

    def _vote(self, who: str, tip: str, view: str, to: str | None) -> None:
        self.adversary.vote(self._tip(tip), int(view), self._receivers(to), int(who))

    def _time_out(self, who: str, view: str, high: str, to: str | None) -> None:
        number = int(view)
        entry = self.adversary.qcs.get(number - 1) or self.adversary.tcs[number - 1]
        named = self._high(high, number)
        if isinstance(named, TimeoutBody):
            honest = self.adversary.forge.timeout(number, int(who), self._tip(" ".join(high.split()[:2])), entry)
            signature = self.adversary.forge.sign_timeout(named, int(who))
            self.adversary.send(replace(honest, body=named, signature=signature), self._receivers(to), int(who))
        else:
            self.adversary.time_out(number, named, entry, self._receivers(to), int(who))

    def _show(self, who: str, qc: str, to: str | None) -> None:
        self.adversary.send(self._qc(qc), self._receivers(to), int(who))

    def _show_tc(self, who: str, view: str, of: str, high: str, to: str | None) -> None:
        certificate = self._tc(int(view), of, high)
        assert certificate is not None
        self.adversary.send(certificate, self._receivers(to), int(who))

    # expectations

    def _expect_final(self, batches: str) -> None:
        wanted = set()
        for word in batches.split():
            lane, seq = map(int, word.split(":"))
            wanted.add(self.cluster.lanes[lane][seq - 1])
        for node in self._running():
            blocks = self.cluster.blocks[: node.final_count]
            final = {batch.digest for block in blocks for batch in block.batches}
            assert wanted <= final, f"at node {node.index} not all of {batches} are final"

    def _expect_height(self, height: str) -> None:
        heights = {node.index: node.final_count for node in self._running()}
        assert set(heights.values()) == {int(height)}, f"heights are {heights}"

    def _expect_view(self, view: str) -> None:
        views = {node.index: node.core.state.view for node in self._running()}
        assert set(views.values()) == {int(view)}, f"views are {views}"

    def _expect_live(self) -> None:
        cluster = self.cluster
        digest = cluster.batch(self._running()[0].index)
        cluster.run_until(lambda: digest in cluster.ordered, limit_ms=LIMIT_MS)
        height = len(cluster.blocks)
        cluster.run_until(lambda: all(len(node.committed) >= height for node in self._running()), limit_ms=LIMIT_MS)
        self._trace.take()


def view_of(sent: Sent) -> int | None:
    """The view that a message belongs to."""
    message = sent.message
    match message:
        case Vote():
            return message.body.view
        case Timeout() | Proposal() | QC() | TC() | Tip():
            return message.view
        case _:
            return message.view
