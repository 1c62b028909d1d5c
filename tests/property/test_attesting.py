"""Attestation cores of a committee on a bad network: whatever is lost, late or restarted, every height gets certified.

Signatures are stand-ins (a share is valid if its signature says who signed what), so that many schedules can be tried;
`tests/unit/attesting` uses real ones.
"""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consensus.numbers import GENESIS_EPOCH, GENESIS_HEIGHT, BlockId, Hash, Height, ValidatorIndex
from consensus.vocabulary.attestation import Attestation, AttestationCertificate, AttestationShare
from sequencer.attesting import effects, events
from sequencer.attesting.attest import AttestationCore
from sequencer.attesting.effects import Effect
from sequencer.attesting.events import Event
from tests.committee import Committee

COUNT = 4
BYZANTINE = 3  # sends what it likes; the other three make a quorum
COMMITTEE = Committee()
GOOD, BAD = b"\x01", b"\x00"


def attestation(height: int, root: int = 1) -> Attestation:
    return Attestation(GENESIS_EPOCH, Height(height), BlockId(bytes(32)), Hash(bytes([root]) * 32))


@dataclass
class Node:
    """A validator with its disk. A restart keeps the disk and what was executed, and nothing else."""

    index: int
    core: AttestationCore
    executed: int = 0
    shares: dict[int, AttestationShare] = field(default_factory=dict)
    certificates: dict[int, AttestationCertificate] = field(default_factory=dict)
    signed: list[int] = field(default_factory=list)
    blamed: list[int] = field(default_factory=list)
    evidence: list[int] = field(default_factory=list)


class Network:
    """Delivers frames in an order that the test chooses, or loses them."""

    def __init__(self, heights: list[int]) -> None:
        self.heights = heights
        self.nodes = [
            Node(index, AttestationCore(COMMITTEE.chain, ValidatorIndex(index))) for index in range(COUNT - 1)
        ]
        self.frames: list[tuple[int, Event]] = []

    def tell(self, node: Node, event: Event) -> None:
        for effect in node.core.step(event):
            answer = self.carry_out(node, effect)
            if answer is not None:
                self.tell(node, answer)

    def carry_out(self, node: Node, effect: Effect) -> Event | None:
        """Work gives an event; everything else is sent or noted."""
        match effect:
            case effects.SignAttestation(item):
                node.signed.append(item.height)
                return events.AttestationSigned(AttestationShare(item, ValidatorIndex(node.index), GOOD))
            case effects.SaveShare(share):
                node.shares[share.attestation.height] = share
                return events.ShareSaved(share)
            case effects.AggregateShares(item, shares):
                valid = all(share.signature == GOOD for share in shares)
                signers = tuple(sorted(share.validator for share in shares))
                assert COMMITTEE.chain.validator_set.is_quorum(signers)
                certificate = AttestationCertificate(item, signers, GOOD, COUNT)
                return events.SharesAggregated(item, certificate if valid else None)
            case effects.VerifyShares(shares):
                good = tuple(share for share in shares if share.signature == GOOD)
                return events.SharesVerified(good, tuple(share for share in shares if share.signature != GOOD))
            case effects.VerifyCertificate(certificate, sender):
                return events.CertificateVerified(certificate, sender, is_valid=certificate.signature == GOOD)
            case _:
                self.note(node, effect)
                self.send(node, effect)
                return None

    def note(self, node: Node, effect: Effect) -> None:
        match effect:
            case effects.SaveCertificate(certificate):
                node.certificates[certificate.attestation.height] = certificate
            case effects.BlameValidator(validator, _):
                node.blamed.append(validator)
            case effects.RecordEvidence(first, second):
                assert first.validator == second.validator
                assert first.attestation != second.attestation
                assert first.signature == second.signature == GOOD
                node.evidence.append(first.validator)

    def send(self, node: Node, effect: Effect) -> None:
        own = ValidatorIndex(node.index)
        match effect:
            case effects.SendShare(share, to):
                assert node.shares[share.attestation.height] == share  # never before it is saved
                for receiver in range(COUNT - 1) if to is None else [to]:
                    if receiver not in (node.index, BYZANTINE):
                        self.frames.append((receiver, events.ShareReceived(share, own)))
            case effects.SendCertificate(height, to):
                if to != BYZANTINE and height in node.certificates:
                    self.frames.append((to, events.CertificateReceived(node.certificates[height], own)))
            case effects.RequestCertificate(height):
                for other in self.nodes:
                    if height in other.certificates:
                        received = events.CertificateReceived(other.certificates[height], ValidatorIndex(other.index))
                        self.frames.append((node.index, received))

    def execute(self, node: Node, place: int) -> None:
        """Executes up to the height at `place`, and syncs it."""
        for height in self.heights[node.executed : place + 1]:
            self.tell(node, events.AttestationDue(attestation(height)))
            self.tell(node, events.BytesSynced(Height(height)))
        node.executed = max(node.executed, min(place + 1, len(self.heights)))

    def restart(self, node: Node) -> None:
        certified = max(node.certificates, default=GENESIS_HEIGHT)
        restored = [share for height, share in sorted(node.shares.items()) if height not in node.certificates]
        synced = Height(self.heights[node.executed - 1] if node.executed else 0)
        node.core = AttestationCore(
            COMMITTEE.chain, ValidatorIndex(node.index), restored, Height(certified), synced_height=synced
        )
        for height in self.heights[: node.executed]:
            if height > certified:
                self.tell(node, events.AttestationDue(attestation(height)))

    def connect(self) -> None:
        for node in self.nodes:
            for other in range(COUNT - 1):
                if other != node.index:
                    self.tell(node, events.PeerConnected(ValidatorIndex(other)))

    def deliver(self, place: int, *, is_lost: bool) -> None:
        if self.frames:
            to, event = self.frames.pop(place % len(self.frames))
            if not is_lost:
                self.tell(self.nodes[to], event)

    def settle(self) -> None:
        while self.frames:
            self.deliver(0, is_lost=False)


gaps = st.lists(st.integers(1, 3), min_size=1, max_size=8)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("execute"), st.integers(0, 2), st.integers(0, 7)),
        st.tuples(st.just("deliver"), st.integers(0, 50), st.integers(0, 3)),
        st.tuples(st.just("restart"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("byzantine"), st.integers(0, 2), st.integers(0, 200)),
        st.tuples(st.just("connect"), st.just(0), st.just(0)),
        st.tuples(st.just("retry"), st.integers(0, 2), st.just(0)),
    ),
    max_size=60,
)


def byzantine_frame(network: Network, seed: int) -> Event:
    """A share or a certificate: of a height that is attested or not, of the right root or another, signed or not."""
    height = seed % (network.heights[-1] + 3) + 1
    item, signature = attestation(height, 1 + seed // 40 % 2), GOOD if seed // 80 % 2 else BAD
    if seed % 7 == 0:
        forged = AttestationCertificate(item, tuple(ValidatorIndex(i) for i in range(COUNT)), BAD, COUNT)
        return events.CertificateReceived(forged, ValidatorIndex(BYZANTINE))
    return events.ShareReceived(AttestationShare(item, ValidatorIndex(BYZANTINE), signature), ValidatorIndex(BYZANTINE))


@given(gaps, moves)
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_every_attested_height_is_certified_in_the_end(steps: list[int], planned: list[tuple[str, int, int]]) -> None:
    network = Network([sum(steps[: at + 1]) for at in range(len(steps))])
    for move, first, second in planned:
        match move:
            case "execute":
                network.execute(network.nodes[first], second)
            case "deliver":
                network.deliver(first, is_lost=second == 0)
            case "restart":
                network.restart(network.nodes[first])
            case "byzantine":
                network.tell(network.nodes[first], byzantine_frame(network, second))
            case "connect":
                network.connect()
            case _:
                network.tell(network.nodes[first], events.RetryPeriodPassed())
    for node in network.nodes:
        network.execute(node, len(network.heights))
    for _ in range(4):
        network.connect()
        network.settle()
        for node in network.nodes:
            network.tell(node, events.RetryPeriodPassed())
        network.settle()
    for node in network.nodes:
        assert sorted(node.certificates) == network.heights
        assert node.core.certified_height == network.heights[-1]
        assert node.core.open_count == 0
        assert len(node.signed) == len(set(node.signed))  # nothing is signed twice, not even after a restart
        assert set(node.blamed) <= {BYZANTINE}
        assert set(node.evidence) <= {BYZANTINE}
        for certificate in node.certificates.values():
            assert certificate.signature == GOOD
            assert certificate.attestation == attestation(certificate.attestation.height)
