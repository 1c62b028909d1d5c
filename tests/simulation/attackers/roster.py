"""All attackers, and the draw of who does what."""

import random
from collections.abc import Sequence

from tests.simulation.adversary import Adversary
from tests.simulation.attackers.accuser import Accuser
from tests.simulation.attackers.attacker import Attacker
from tests.simulation.attackers.disks import RestartAmnesiac, Twins
from tests.simulation.attackers.lanes import BatchWithholder, LaneEquivocator, LaneFlooder
from tests.simulation.attackers.leaders import (
    CertificateSwapper,
    EquivocatingLeader,
    LateLeader,
    ReportChooser,
    ReportForger,
    SelectiveSender,
    SilentLeader,
    TailForker,
)
from tests.simulation.attackers.reports import AnchorForger, BackdatingAuthor, ClockLiar, ReportMiser
from tests.simulation.attackers.timeouts import (
    CertificateSpammer,
    EarlyTimer,
    StaleTipLiar,
    TimeoutLiar,
    TipWithholder,
    ViewJumper,
)
from tests.simulation.attackers.voters import DoubleVoter, QcHoarder, VoteSplitter

ROSTER: tuple[type[Attacker], ...] = (
    Accuser,
    AnchorForger,
    BackdatingAuthor,
    BatchWithholder,
    CertificateSpammer,
    CertificateSwapper,
    ClockLiar,
    DoubleVoter,
    EarlyTimer,
    EquivocatingLeader,
    LaneEquivocator,
    LaneFlooder,
    LateLeader,
    QcHoarder,
    ReportChooser,
    ReportForger,
    ReportMiser,
    RestartAmnesiac,
    SelectiveSender,
    SilentLeader,
    StaleTipLiar,
    TailForker,
    TimeoutLiar,
    TipWithholder,
    Twins,
    ViewJumper,
    VoteSplitter,
)


def available(*, whole: bool) -> tuple[type[Attacker], ...]:
    """Those that work on whole nodes, or on replicas."""
    return tuple(kind for kind in ROSTER if not (kind.needs_replicas if whole else kind.needs_whole_nodes))


def draw_habits(
    adversary: Adversary, members: Sequence[int], rng: random.Random, *, whole: bool
) -> dict[int, list[Attacker]]:
    """One to three habits for each member; now and then all members share one."""
    kinds = available(whole=whole)
    shared = rng.sample(kinds, 2) if rng.random() < 0.3 else None
    habits: dict[int, list[Attacker]] = {}
    for member in members:
        chosen = shared or rng.sample(kinds, rng.choice((1, 1, 2, 3)))
        habits[member] = [kind(adversary, member, rng) for kind in chosen]
    return habits
