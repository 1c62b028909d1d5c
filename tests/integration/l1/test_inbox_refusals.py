"""What the Inbox takes and what it refuses, against a model of it, on a real L1."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consensus.bls import aggregate
from consensus.numbers import ZERO_HASH, Epoch
from consensus.signing import Domain, sha256
from consensus.vocabulary.l1_batch import DataKind
from sequencer.l1.inbox import deploy_data
from sequencer.l1dev.running import L1_CHAIN_ID
from tests.anvil import start_anvil
from tests.inbox_desk import Desk, on_l1
from tests.inbox_model import CALLDATA, DATA_BYTES_MAX, FIELD_NAMES, INFINITY, Call, InboxModel, call_of
from tests.l1_points import negated, off_curve, outside_subgroup, raised

U64_MAX = 2**64 - 1
OUTSIDE = outside_subgroup(96)
a_few = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def model_of(desk: Desk) -> InboxModel:
    return InboxModel(desk.committee, L1_CHAIN_ID, desk.address, desk.head)


def valid_fields(desk: Desk, data: bytes = b"") -> tuple[Any, ...]:
    """The fields of the batch that follows, its data in the call if there is any."""
    return call_of(desk.certify(desk.batch(data, DataKind.CALLDATA if data else DataKind.HELD), [0])).fields


def with_field(fields: tuple[Any, ...], name: str, value: Any) -> tuple[Any, ...]:
    place = FIELD_NAMES.index(name)
    return (*fields[:place], value, *fields[place + 1 :])


def flip(data: bytes, bit: int) -> bytes:
    """The same bytes with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8 % len(changed)] ^= 1 << bit % 8
    return bytes(changed)


def change_fields(draw: Callable, fields: tuple[Any, ...]) -> tuple[Any, ...]:
    """Another value for one field."""
    name = draw(st.sampled_from(FIELD_NAMES))
    value = fields[FIELD_NAMES.index(name)]
    if name == "data_kind":
        return with_field(fields, name, draw(st.integers(0, 3)))
    if isinstance(value, int):
        near = st.sampled_from([value - 1, value + 1, 0, U64_MAX, U64_MAX - 1]).map(lambda number: max(0, number))
        return with_field(fields, name, draw(near))
    return with_field(fields, name, draw(st.sampled_from([flip(value, 0), flip(value, 255), ZERO_HASH])))


CHANGES: dict[str, Callable[[Callable, Call], Call]] = {
    "a bit of the bitmap": lambda draw, call: replace(call, bitmap=flip(call.bitmap, draw(st.integers(0, 15)))),
    "a longer bitmap": lambda draw, call: replace(call, bitmap=call.bitmap + b"\0"),
    "a shorter bitmap": lambda draw, call: replace(call, bitmap=call.bitmap[:-1]),
    "no bitmap": lambda draw, call: replace(call, bitmap=b""),
    "a bit of the signature": lambda draw, call: replace(
        call, signature=flip(call.signature, draw(st.integers(0, 8 * 256 - 1)))
    ),
    "infinity": lambda draw, call: replace(call, signature=INFINITY),
    "a second encoding": lambda draw, call: replace(call, signature=raised(call.signature, draw(st.integers(0, 3)))),
    "off the curve": lambda draw, call: replace(call, signature=off_curve(call.signature)),
    "out of the subgroup": lambda draw, call: replace(call, signature=OUTSIDE),
    "the negated signature": lambda draw, call: replace(call, signature=negated(call.signature)),
    "a shorter signature": lambda draw, call: replace(call, signature=call.signature[:-1]),
    "other data": lambda draw, call: replace(call, data=draw(st.binary(max_size=40))),
    "more data": lambda draw, call: replace(call, data=call.data + b"\0"),
    "other fields under the same signature": lambda draw, call: replace(call, fields=change_fields(draw, call.fields)),
}


@a_few
@given(source=st.data())
def test_it_answers_as_the_model_does(advanced, source):
    model, draw = model_of(advanced), source.draw
    data = draw(st.binary(min_size=1, max_size=100)) if draw(st.booleans()) else b""
    fields = valid_fields(advanced, data)
    for _ in range(draw(st.integers(0, 1))):
        fields = change_fields(draw, fields)
    signers = draw(st.sets(st.integers(0, advanced.committee.count - 1), min_size=1))
    if draw(st.integers(0, 3)):
        signers = set(range(advanced.committee.count)) - {draw(st.integers(0, advanced.committee.count - 1))}
    call = model.signed(fields, sorted(signers), data)
    for name in draw(st.lists(st.sampled_from(sorted(CHANGES)), max_size=2)):
        if len(call.signature) == 256 and call.bitmap:
            call = CHANGES[name](draw, call)
    assert advanced.refusal(call.encode()) == model.refusal(call)


def signed_by_all(desk: Desk, data: bytes = b"", **fields: Any) -> Call:
    """A call that everybody signed as it is, whatever its fields say."""
    listed = valid_fields(desk, data)
    for name, value in fields.items():
        listed = with_field(listed, name, value)
    return model_of(desk).signed(listed, list(range(desk.committee.count)), data)


REASONS: list[tuple[str, Callable[[Desk], Call]]] = [
    ("already committed", lambda desk: signed_by_all(desk, index=1)),
    ("already committed", lambda desk: signed_by_all(desk, index=0)),
    ("gap", lambda desk: signed_by_all(desk, index=3)),
    ("gap", lambda desk: signed_by_all(desk, index=U64_MAX)),
    ("wrong first height", lambda desk: signed_by_all(desk, first=desk.head.next_height - 1)),
    ("wrong first height", lambda desk: signed_by_all(desk, first=desk.head.next_height + 1, last=U64_MAX - 1)),
    ("bad range", lambda desk: signed_by_all(desk, last=desk.head.next_height - 1)),
    ("bad range", lambda desk: signed_by_all(desk, last=U64_MAX)),
    ("wrong previous", lambda desk: signed_by_all(desk, previous=desk.chain.chain_id)),
    ("wrong bitmap length", lambda desk: replace(signed_by_all(desk), bitmap=b"\xff")),
    ("wrong bitmap length", lambda desk: replace(signed_by_all(desk), bitmap=b"\xff\x80\x00")),
    ("bitmap padding", lambda desk: replace(signed_by_all(desk), bitmap=b"\xff\xc0")),
    ("bitmap padding", lambda desk: replace(signed_by_all(desk), bitmap=b"\xff\x81")),
    ("no quorum", lambda desk: replace(signed_by_all(desk), bitmap=bytes(2))),
    ("bad signature", lambda desk: replace(signed_by_all(desk), bitmap=b"\xff\x00")),
    ("bad signature", lambda desk: replace(signed_by_all(desk, data_kind=CALLDATA), fields=signed_by_all(desk).fields)),
    ("bad signature", lambda desk: replace(signed_by_all(desk), signature=INFINITY)),
    ("bad signature", lambda desk: replace(signed_by_all(desk), signature=negated(signed_by_all(desk).signature))),
    ("malformed signature", lambda desk: replace(signed_by_all(desk), signature=OUTSIDE)),
    ("malformed signature", lambda desk: replace(signed_by_all(desk), signature=off_curve(OUTSIDE))),
    *(
        (
            "malformed signature",
            lambda desk, place=place: replace(
                signed_by_all(desk), signature=raised(signed_by_all(desk).signature, place)
            ),
        )
        for place in range(4)
    ),
    ("malformed signature", lambda desk: replace(signed_by_all(desk), signature=b"\x01" + bytes(255))),
    ("wrong signature length", lambda desk: replace(signed_by_all(desk), signature=b"")),
    ("wrong signature length", lambda desk: replace(signed_by_all(desk), signature=bytes(255))),
    ("unknown data kind", lambda desk: signed_by_all(desk, b"payload", data_kind=2)),
    ("unknown data kind", lambda desk: signed_by_all(desk, data_kind=255)),
    ("unexpected data", lambda desk: replace(signed_by_all(desk), data=b"\0")),
    ("no data", lambda desk: replace(signed_by_all(desk, b"payload"), data=b"")),
    ("wrong data", lambda desk: replace(signed_by_all(desk, b"payload"), data=b"payloae")),
    ("wrong data", lambda desk: replace(signed_by_all(desk, b"payload"), data=b"payload\0")),
    ("too much data", lambda desk: signed_by_all(desk, b"x" * (DATA_BYTES_MAX + 1))),
    ("", lambda desk: replace(signed_by_all(desk, b"payload"), data=b"x" * (131_072 + 1))),
    ("", lambda desk: replace(signed_by_all(desk), bitmap=bytes(33))),
    ("", lambda desk: replace(signed_by_all(desk), signature=bytes(257))),
]


@pytest.mark.parametrize(
    ("reason", "make"), REASONS, ids=[f"{place} {reason}" for place, (reason, _) in enumerate(REASONS)]
)
def test_each_refusal_has_its_name(advanced, reason, make):
    call = make(advanced)
    assert advanced.refusal(call.encode()) == reason
    if reason:
        assert model_of(advanced).refusal(call) == reason


def test_the_most_data_there_may_be_is_taken(advanced):
    assert advanced.refusal(signed_by_all(advanced, b"x" * DATA_BYTES_MAX).encode()) is None


def test_a_certificate_is_of_no_use_anywhere_else(advanced):
    everybody = list(range(advanced.committee.count))
    batch = advanced.batch()
    elsewhere = [
        advanced.certify(replace(batch, l1_chain_id=L1_CHAIN_ID + 1)),
        advanced.certify(replace(batch, inbox=bytes(20))),
        advanced.certify(batch, epoch=Epoch(1)),
    ]
    for certificate in elsewhere:
        assert advanced.refusal(call_of(certificate).encode()) == "bad signature"
    of_another_chain = batch.signing_digest(Domain(sha256(b"another chain")))
    signature = aggregate([advanced.committee.bls_keys[signer].sign(of_another_chain) for signer in everybody])
    assert advanced.refusal(call_of(replace(advanced.certify(batch), signature=signature)).encode()) == "bad signature"
    assert advanced.refusal(call_of(advanced.certify(batch)).encode()) is None


def test_the_twin_contract_takes_no_certificate_of_this_one(l1, desk):
    twin = Desk(l1, desk.committee)
    certificate = desk.certify(desk.batch())
    assert desk.refusal(call_of(certificate).encode()) is None
    assert twin.refusal(call_of(certificate).encode()) == "bad signature"
    swapped = replace(certificate, batch=replace(certificate.batch, data_kind=DataKind.CALLDATA))
    assert desk.refusal(call_of(swapped, b"payload").encode()) == "bad signature"


def test_a_certificate_of_the_same_contract_on_another_l1_is_of_no_use(tmp_path):
    anvils = [start_anvil(tmp_path, f"l1-{chain_id}", chain_id=chain_id) for chain_id in (77, 78)]
    try:
        here, there = (Desk(anvil, on_l1([1, 1], anvil.options.chain_id)) for anvil in anvils)
        # The second contract of the same account has the same address on both, and is told the same chain id.
        code = deploy_data(there.chain).replace(there.chain.chain_id, here.chain.chain_id)
        here.address = here.send(None, deploy_data(here.chain)).receipt.created or b""
        there.address = there.send(None, code).receipt.created or b""
        assert here.address == there.address
        there.chain, there.head = here.chain, here.head
        certificate = here.certify(here.batch())
        assert there.refusal(call_of(certificate).encode()) == "bad signature"
        assert there.commit(there.certify(there.batch())).receipt.status == 1
        assert here.commit(certificate).receipt.status == 1
    finally:
        for anvil in anvils:
            anvil.kill()


@a_few
@given(signers=st.sets(st.integers(0, 8), min_size=1))
def test_a_quorum_is_counted_in_stake(advanced, signers):
    expected = None if advanced.chain.validator_set.is_quorum(signers) else "no quorum"
    assert advanced.refusal(call_of(advanced.certify(advanced.batch(), signers)).encode()) == expected


@pytest.mark.parametrize("stakes", [[1], [1, 1], [2**61, 2**61, 2**61], [1] * 8, [1] * 9, [1] * 128, [3, *[1] * 16]])
def test_committees_of_every_size(l1, stakes):
    desk = Desk(l1, on_l1(stakes))
    validators = desk.chain.validator_set
    least = [signer for signer in range(validators.count) if not validators.is_quorum(range(signer))]
    assert desk.refusal(call_of(desk.certify(desk.batch(), least[:-1] or [0])).encode()) == (
        "no quorum" if len(least) > 1 else None
    )
    assert desk.commit(desk.certify(desk.batch(), least)).receipt.status == 1
    last_ones = [signer for signer in range(validators.count) if validators.count - signer <= len(least)]
    assert desk.commit(desk.certify(desk.batch(), last_ones)).receipt.status == int(validators.is_quorum(last_ones))
    assert desk.commit(desk.certify(desk.batch())).receipt.status == 1
