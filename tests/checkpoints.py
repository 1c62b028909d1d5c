"""A checkpoint of a chain of empty blocks, with every signature real."""

from dataclasses import replace

from consensus.genesis import Genesis
from consensus.numbers import GENESIS_EPOCH, ValidatorIndex
from consensus.vocabulary.attestation import Attestation, AttestationCertificate, make_certificate
from sequencer.execution.checkpoint import Checkpoint
from sequencer.execution.execute import Executor
from sequencer.execution.state import ExecutionState
from tests.simulation.forge import Forge
from tests.simulation.keys import bls_key


def attest(chain: Genesis, state: ExecutionState, signers: tuple[int, ...]) -> AttestationCertificate:
    """A certificate of a state, by these validators."""
    attestation = Attestation(
        GENESIS_EPOCH, state.height, state.block_id, state.namespaces.root, aux_root=state.order_root(chain.domain)
    )
    digest = attestation.signing_digest(chain.domain)
    shares = {ValidatorIndex(index): bls_key(index).sign(digest) for index in signers}
    return make_certificate(attestation, shares, len(chain.validators))


def make_checkpoint(forge: Forge, height: int) -> Checkpoint:
    """The checkpoint of a height of `forge.chain_of(height + 2)`."""
    tips = forge.chain_of(height + 2)
    executor = Executor(forge.chain)
    state = executor.start()
    for tip in tips[:height]:
        state = executor.execute(state, executor.order(state, tip), {}).state
    certificate = attest(forge.chain, state, forge.quorum())
    return Checkpoint(certificate, tips[height - 1], tips[height].justify, tips[height + 1].justify, state)


def changed(checkpoint: Checkpoint, **changes: object) -> Checkpoint:
    """The checkpoint with fields of its state replaced."""
    return replace(checkpoint, state=replace(checkpoint.state, **changes))  # type: ignore[arg-type]
