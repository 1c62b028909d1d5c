"""What stands on the L1 after commits, and what the binding reads back from it."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from consensus.bls import BlsKey
from consensus.numbers import Epoch, Hash, Stake
from consensus.validators import Validator
from consensus.vocabulary.l1_batch import DataKind
from sequencer.l1 import json_rpc
from sequencer.l1.errors import ExecutionReverted, L1AnswerTooLarge, MalformedL1Answer, WrongInbox
from sequencer.l1.inbox import COMMIT_TYPES, COMMITTED_TOPIC, CommittedBatch, Inbox, InboxHead, deploy_data
from sequencer.l1.points import key_to_l1
from sequencer.l1.shapes import to_hex
from tests.anvil import RICH_ADDRESS
from tests.committee import secret
from tests.inbox_desk import Desk, digest_of, on_l1
from tests.inbox_model import call_of
from tests.l1_points import off_curve, outside_subgroup, raised

BLS_ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
LARGE = bytes(range(256)) * 468


def read_all(desk: Desk) -> list[CommittedBatch]:
    """Every batch in the Inbox's events."""
    last = int(desk.anvil.ask("eth_blockNumber"), 16)
    return desk.with_inbox(lambda inbox: inbox.committed(0, last))


def head_of(desk: Desk) -> InboxHead:
    return desk.with_inbox(lambda inbox: inbox.head())


def test_a_new_inbox_stands_before_the_first_batch(desk):
    deployed_in = desk.deployed.receipt.block_number
    assert head_of(desk) == desk.head == InboxHead(1, 1, desk.chain.chain_id, deployed_in)
    assert desk.with_inbox(lambda inbox: inbox.identity()) == (desk.chain.chain_id, 0)
    assert desk.with_inbox(lambda inbox: inbox.first_block()) == deployed_in
    assert read_all(desk) == []


def test_every_view_answers(desk):
    desk.commit(desk.certify(desk.batch()))

    def ask(name: str, types: str, *arguments: int) -> Any:
        signature = f"{name}({','.join(['uint256'] * len(arguments))})"
        call = keccak(text=signature)[:4] + encode(["uint256"] * len(arguments), arguments)
        return decode([types], desk.with_inbox(lambda inbox: inbox.client.call(desk.address, call)))[0]

    assert ask("next_index", "uint64") == 2
    assert ask("next_height", "uint64") == desk.head.next_height
    assert ask("last_commit_block", "uint64") == desk.head.last_commit_block
    assert ask("head_hash", "bytes32") == desk.head.head_hash
    assert ask("chain_id", "bytes32") == desk.chain.chain_id
    assert ask("epoch", "uint64") == 0
    assert ask("validator_count", "uint256") == 4
    assert ask("total_stake", "uint256") == 4
    assert ask("deployed_block", "uint256") == desk.deployed.receipt.block_number
    words, stake = ask("validator", "(bytes32[4],uint64)", 2)
    assert (b"".join(words), stake) == (key_to_l1(desk.chain.validator_set.bls_public_keys[2]), 1)
    with pytest.raises(ExecutionReverted, match="no such validator"):
        ask("validator", "(bytes32[4],uint64)", 4)


def test_batches_come_back_as_they_were_committed(desk):
    payloads = [b"", b"small", b"", b"x" * 4_096, b"y" * 4_097, LARGE]
    sent = []
    for number, data in enumerate(payloads):
        batch = desk.batch(data, DataKind.CALLDATA if data else DataKind.HELD, heights=number + 1)
        batch = replace(batch, state_root=Hash(digest_of("s")), aux_root=Hash(digest_of("a")), forced_cursor=number)
        certificate = desk.certify(batch, [0, 1, 3] if number % 2 else None)
        receipt = desk.commit(certificate, data).receipt
        assert receipt.status == 1
        assert head_of(desk) == desk.head
        sent.append((certificate, data, receipt))

    found = read_all(desk)
    assert [batch.certificate for batch in found] == [certificate for certificate, _, _ in sent]
    assert [batch.data for batch in found] == payloads
    for batch, (_, _, receipt) in zip(found, sent, strict=True):
        batch.certificate.check(desk.chain)
        assert batch.poster == RICH_ADDRESS
        assert (batch.block_number, batch.block_hash) == (receipt.block_number, receipt.block_hash)
        assert batch.log_index == receipt.logs[0].log_index
        assert batch.transaction == receipt.logs[0].transaction
    for before, after in itertools.pairwise(found):
        assert after.certificate.batch.previous == before.certificate.batch.hash(desk.chain.domain)


def test_of_two_posters_with_certificates_of_one_index_one_wins(desk):
    short, long = desk.certify(desk.batch(heights=2)), desk.certify(desk.batch(heights=5), [0, 1, 2])
    before = desk.head
    assert desk.commit(short).receipt.status == 1
    lost = desk.send(desk.address, Inbox.encode_commit(long, b""))
    assert lost.receipt.status == 0
    assert lost.receipt.gas_used < 45_000
    assert desk.refusal(Inbox.encode_commit(long, b"")) == "already committed"
    assert [batch.certificate for batch in read_all(desk)] == [short]
    assert head_of(desk).next_height == before.next_height + 2


def test_a_refused_commit_changes_nothing(desk):
    before = head_of(desk)
    wrong = replace(desk.certify(desk.batch()), signers=desk.certify(desk.batch(), [0, 1, 2]).signers)
    sent = desk.send(desk.address, Inbox.encode_commit(wrong, b""))
    assert (sent.receipt.status, sent.receipt.logs) == (0, ())
    assert head_of(desk) == before


STORE = bytes.fromhex("600b5981380380925939f3")  # creation code of a contract of all that follows it


def forwarder(target: bytes) -> bytes:
    """Creation code of a contract that hands its calldata on and reverts if that fails."""
    before = bytes.fromhex("365f5f37 5f5f365f5f73") + target + bytes.fromhex("5af1")
    goes_on = len(before) + 3 + 3
    return STORE + before + bytes((0x60, goes_on, 0x57)) + bytes.fromhex("5f5ffd 5b00")


def shouter() -> bytes:
    """Creation code of a contract that emits its calldata: three topics of 32 bytes, then the event's data."""
    return STORE + bytes.fromhex("6060360360605f37 604035 602035 5f35 60603603 5f a3 00")


def test_what_another_contract_commits_is_read_the_same(desk):
    middle = desk.send(None, forwarder(desk.address)).receipt.created
    assert middle is not None
    data = b"by way of a contract"
    certificate = desk.certify(desk.batch(data, DataKind.CALLDATA))
    assert desk.send(middle, Inbox.encode_commit(certificate, data)).receipt.status == 1
    (batch,) = read_all(desk)
    assert (batch.certificate, batch.data, batch.poster) == (certificate, data, middle)
    assert desk.send(middle, Inbox.encode_commit(certificate, data)).receipt.status == 0


def test_the_same_event_of_another_contract_is_not_read(l1, desk):
    certificate = desk.certify(desk.batch())
    call = call_of(certificate)
    event = encode(COMMIT_TYPES, (call.fields, call.bitmap, call.signature, call.data))
    imitator = desk.send(None, shouter()).receipt.created
    assert imitator is not None
    shouted = desk.send(imitator, COMMITTED_TOPIC + (1).to_bytes(32, "big") + bytes(12) + RICH_ADDRESS + event).receipt
    assert shouted.logs[0].topics[0] == COMMITTED_TOPIC
    assert shouted.logs[0].data == event

    twin = Desk(l1, desk.committee)
    assert twin.commit(twin.certify(twin.batch())).receipt.status == 1
    assert read_all(desk) == []
    assert desk.commit(certificate).receipt.status == 1
    assert [batch.certificate for batch in read_all(desk)] == [certificate]


def test_a_range_that_is_too_large_is_read_in_parts(desk, monkeypatch):
    certificates = []
    for _ in range(5):
        certificates.append(desk.certify(desk.batch()))
        desk.commit(certificates[-1])
    monkeypatch.setattr(json_rpc, "LOGS_MAX", 2)
    assert [batch.certificate for batch in read_all(desk)] == certificates
    monkeypatch.setattr(json_rpc, "LOGS_MAX", 0)
    with pytest.raises(L1AnswerTooLarge):
        read_all(desk)


def test_events_that_do_not_decode_are_malformed(desk):
    imitator = desk.send(None, shouter()).receipt.created
    assert imitator is not None
    call = call_of(desk.certify(desk.batch()))
    topics = COMMITTED_TOPIC + (1).to_bytes(32, "big") + bytes(12) + RICH_ADDRESS
    good = (call.fields, call.bitmap, call.signature, call.data)
    for data in (
        b"",
        encode(COMMIT_TYPES, good)[:-32],
        encode(COMMIT_TYPES, (call.fields, b"\xff", call.signature, b"")),
        encode(COMMIT_TYPES, (call.fields, call.bitmap, bytes(256), b"")),
        encode(COMMIT_TYPES, ((*call.fields[:4], 9, *call.fields[5:]), call.bitmap, call.signature, b"")),
        encode(COMMIT_TYPES, ((2, *call.fields[1:]), call.bitmap, call.signature, b"")),
    ):
        place = desk.send(imitator, topics + data).receipt.block_number

        async def read(inbox, place=place):
            await inbox.identity()
            inbox.address = imitator
            return await inbox.committed(place, place)

        with pytest.raises(MalformedL1Answer):
            desk.with_inbox(read)


def test_an_inbox_of_another_chain_or_none_is_the_operators_to_mend(l1, desk):
    async def check(inbox, chain, epoch=0):
        await inbox.require_chain(chain, Epoch(epoch))

    desk.with_inbox(lambda inbox: check(inbox, desk.chain))
    others = [replace(desk.chain, name="another"), replace(desk.chain, l1_chain_id=1)]
    for chain in others:
        with pytest.raises(WrongInbox):
            desk.with_inbox(lambda inbox, chain=chain: check(inbox, chain))
    with pytest.raises(WrongInbox):
        desk.with_inbox(lambda inbox: check(inbox, desk.chain, epoch=1))

    lying = Desk(l1, on_l1([1, 1, 1, 1]))
    lying.chain = replace(desk.chain, validators=desk.chain.validators[::-1])
    code = deploy_data(lying.chain).replace(lying.chain.chain_id, desk.chain.chain_id)
    lying.address = lying.send(None, code).receipt.created or b""
    with pytest.raises(WrongInbox, match="keys"):
        lying.with_inbox(lambda inbox: check(inbox, desk.chain))

    something_else = desk.send(None, forwarder(desk.address[::-1])).receipt.created or b""
    one_that_refuses = desk.send(None, STORE + bytes.fromhex("5f5ffd")).receipt.created or b""
    for desk.address in (b"\x01" * 20, something_else, one_that_refuses):
        for ask in (lambda inbox: inbox.head(), lambda inbox: inbox.identity(), lambda inbox: inbox.committed(0, 1)):
            with pytest.raises(WrongInbox, match=r"no contract|something else"):
                desk.with_inbox(ask)


def constructor_refusal(desk: Desk, code: bytes) -> str | None:
    async def ask(inbox):
        call = {"from": to_hex(RICH_ADDRESS), "data": to_hex(code)}
        try:
            await inbox.client.raw("eth_call", [call, "latest"])
        except ExecutionReverted as reverted:
            return reverted.reason
        return None

    return desk.with_inbox(ask)


def test_the_constructor_takes_only_good_keys_on_its_own_l1(desk):
    good = key_to_l1(desk.chain.validator_set.bls_public_keys[2])
    code = deploy_data(desk.chain)
    assert constructor_refusal(desk, code) is None
    assert constructor_refusal(desk, code.replace(good, bytes(128))) == "key is infinity"
    for bad in (off_curve(good), outside_subgroup(48), raised(good, 0), raised(good, 1), b"\x01" + good[1:]):
        assert constructor_refusal(desk, code.replace(good, bad)) == "malformed key"
    assert constructor_refusal(desk, deploy_data(replace(desk.chain, l1_chain_id=1))) == "wrong L1"
    start = len(code) - 4 * 160 - 32
    assert constructor_refusal(desk, code[:start] + bytes(32)) == "no validators"
    assert constructor_refusal(desk, code.replace(good + (1).to_bytes(32, "big"), good + bytes(32))) == "no stake"


def with_opposite_keys(stakes, first, second):
    """A committee in which the secret of `second` is minus that of `first`."""
    committee = on_l1(stakes)
    opposite = BlsKey((BLS_ORDER - int.from_bytes(secret("bls", first), "big")).to_bytes(32, "big"))
    old = committee.chain.validators[second]
    new = Validator(Stake(stakes[second]), old.node_public_key, opposite.public_key, opposite.prove_possession())
    validators = tuple(new if place == second else one for place, one in enumerate(committee.chain.validators))
    committee.bls_keys[second] = opposite
    committee.chain = replace(committee.chain, validators=validators).check()
    return committee


def test_keys_that_cancel_out_sign_nothing(l1):
    desk = Desk(l1, with_opposite_keys([1, 1], 0, 1))
    call = call_of(desk.certify(desk.batch(), [0]))
    everybody_with_nothing = replace(call, bitmap=b"\xc0", signature=bytes(256))
    assert desk.refusal(everybody_with_nothing.encode()) == "keys cancel out"


def test_absentees_whose_keys_cancel_out_are_left_out_all_the_same(l1):
    desk = Desk(l1, with_opposite_keys([9, 9, 1, 1], 2, 3))
    assert desk.commit(desk.certify(desk.batch(), [0, 1])).receipt.status == 1
    assert desk.commit(desk.certify(desk.batch(), [0, 1, 2])).receipt.status == 1
    assert desk.commit(desk.certify(desk.batch())).receipt.status == 1


@pytest.mark.parametrize(
    ("count", "absent", "gas_max"), [(4, 0, 230_000), (4, 1, 230_000), (64, 0, 250_000), (64, 16, 250_000)]
)
def test_what_a_commit_may_cost(l1, count, absent, gas_max):
    desk = Desk(l1, on_l1([1] * count))
    desk.commit(desk.certify(desk.batch()))
    sent = desk.commit(desk.certify(desk.batch(), range(absent, count)))
    assert sent.receipt.status == 1
    assert sent.receipt.gas_used <= gas_max
