# pragma version 0.4.3
# pragma evm-version prague
# pragma optimize gas
"""
@title Inbox
@license Apache-2.0
@notice The ordered batches of one chain, each committed with a certificate of its validators.

Responsible for: checking that more than 2/3 of the stake signed a batch, that batches follow each other without a gap,
that data handed in is the data signed for; and telling all of it in one event.
Refuses to do: trust whoever calls, hold money, change its validators, or be owned by anybody.

Invariants:
1. A batch is taken only if it is the next one: its index, first height and previous hash are those of the head.
2. Signed digest = SHA-256("shared-sequencer/1|" | 9 | chain id | epoch | batch), the batch naming this L1 and this
   contract. A certificate is worth nothing in any other place, and nothing with any other data.
3. Batch hash = SHA-256("shared-sequencer/1|" | 65 | chain id | batch); the first batch follows on the chain id.
4. BLS12-381 as Ethereum's consensus signs (BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_), checked with the precompiles
   of EIP-2537. The sum of keys is sound because every key's proof of possession was checked before it got here.
5. Precompiles get all gas there is: their price is the L1's affair and may change.
6. Every revert has a name, but two: call data that does not decode as the arguments or is above their bounds, and too
   little gas.
7. Points are 64-byte field elements, x before y, c0 before c1. Validator i is bit 7 - i % 8 of byte i / 8 of a bitmap.
"""

struct Validator:
    key: bytes32[4]  # a point of G1, not infinity
    stake: uint64

struct Fields:
    index: uint64
    first: uint64
    last: uint64
    previous: bytes32
    data_kind: uint8
    data_hash: bytes32
    block_id: bytes32
    namespaces_root: bytes32
    state_root: bytes32
    aux_root: bytes32
    forced_cursor: uint64

event BatchCommitted:
    index: indexed(uint64)
    poster: indexed(address)
    fields: Fields
    bitmap: Bytes[32]
    signature: Bytes[256]
    data: Bytes[131072]

VALIDATORS_MAX: constant(uint256) = 128
DATA_BYTES_MAX: constant(uint256) = 120_000
SMALL_BYTES_MAX: constant(uint256) = 4_096  # of data that is copied to a low place in memory

HELD: constant(uint8) = 0
CALLDATA: constant(uint8) = 1

EPOCH: constant(uint64) = 0

MODEXP: constant(address) = 0x0000000000000000000000000000000000000005
G1_ADD: constant(address) = 0x000000000000000000000000000000000000000b
G1_MSM: constant(address) = 0x000000000000000000000000000000000000000C
G2_ADD: constant(address) = 0x000000000000000000000000000000000000000d
PAIRING: constant(address) = 0x000000000000000000000000000000000000000F
MAP_FP2_TO_G2: constant(address) = 0x0000000000000000000000000000000000000011

# The field's modulus in two parts: 0x1a0111ea397fe69a4b1ba7b6434bacd7, and
# 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab.
MODULUS_HIGH: constant(uint256) = 34565483545414906068789196026815425751
MODULUS_LOW: constant(uint256) = 45442060874369865957053122457065728162598490762543039060009208264153100167851
NEGATIVE_GENERATOR: constant(Bytes[128]) = (
    x"0000000000000000000000000000000017f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb00000000000000000000000000000000114d1d6855d545a8aa7d76c8cf2e21f267816aef1db507c96655b9d5caac42364e6f38ba0ecb751bad54dcd6b939c2ca"
)
INFINITY: constant(Bytes[128]) = (
    x"0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
)
# of the signature's hash to the curve (RFC 9380, expand_message_xmd): the name and its length
DOMAIN: constant(Bytes[44]) = x"424c535f5349475f424c53313233383147325f584d443a5348412d3235365f535357555f524f5f504f505f2b"

CERTIFICATE_PREFIX: constant(Bytes[20]) = x"7368617265642d73657175656e6365722f317c09"  # "shared-sequencer/1|", 9
BATCH_PREFIX: constant(Bytes[20]) = x"7368617265642d73657175656e6365722f317c41"  # "shared-sequencer/1|", 65

# Creation code that makes a contract of all that follows it.
STORE: constant(Bytes[11]) = x"600b5981380380925939f3"
# The set's code is the ABI encoding of (sum of keys, validators); a validator has 160 bytes. It begins with a zero byte,
# which is STOP: nobody can run it.
SET_HEAD_BYTES: constant(uint256) = 192
RECORD_BYTES: constant(uint256) = 160

chain_id: public(immutable(bytes32))
validator_set: public(immutable(address))
validator_count: public(immutable(uint256))
total_stake: public(immutable(uint256))
deployed_block: public(immutable(uint256))  # no event is older

head_hash: public(bytes32)
position: uint256  # next_index | next_height << 64 | last_commit_block << 128


@deploy
def __init__(_chain_id: bytes32, l1_chain_id: uint256, validators: DynArray[Validator, VALIDATORS_MAX]):
    assert l1_chain_id == chain.id, "wrong L1"
    assert len(validators) != 0, "no validators"
    aggregate: Bytes[128] = INFINITY
    total: uint256 = 0
    for validator: Validator in validators:
        key: Bytes[128] = concat(validator.key[0], validator.key[1], validator.key[2], validator.key[3])
        assert key != INFINITY, "key is infinity"
        # Multiplication checks the subgroup; addition does not.
        success: bool = False
        checked: Bytes[128] = b""
        success, checked = raw_call(
            G1_MSM,
            concat(key, convert(1, bytes32)),
            max_outsize=128,
            is_static_call=True,
            revert_on_failure=False,
        )
        assert success and checked == key, "malformed key"
        aggregate = self._add_g1(aggregate, key)
        assert validator.stake != 0, "no stake"
        total += convert(validator.stake, uint256)

    words: bytes32[4] = [
        extract32(aggregate, 0), extract32(aggregate, 32), extract32(aggregate, 64), extract32(aggregate, 96)
    ]
    code: Bytes[20672] = abi_encode(words, validators)
    chain_id = _chain_id
    validator_set = raw_create(concat(STORE, code))
    validator_count = len(validators)
    total_stake = total
    deployed_block = block.number
    self.head_hash = _chain_id
    self.position = 1 | (1 << 64) | (block.number << 128)


@external
def commit(fields: Fields, bitmap: Bytes[32], signature: Bytes[256], data: Bytes[131072]):
    """
    @notice Takes the next batch, from anybody.
    @param fields What the batch says; this L1 and this contract are added.
    @param bitmap Who signed.
    @param signature Their aggregate signature, a point of G2.
    @param data The payload if data_kind is CALLDATA, else empty.
    """
    self._take(fields, bitmap, signature)
    # Memory is paid for up to the highest place used, and what this function copies lies above the room for the largest
    # data. What others copy lies below, so they emit unless the data is large and the memory cheap beside it.
    if fields.data_kind == HELD:
        assert len(data) == 0, "unexpected data"
        self._emit(fields, bitmap, signature, b"")
    else:
        assert fields.data_kind == CALLDATA, "unknown data kind"
        assert len(data) != 0, "no data"
        assert len(data) <= DATA_BYTES_MAX, "too much data"
        assert sha256(data) == fields.data_hash, "wrong data"
        if len(data) <= SMALL_BYTES_MAX:
            self._emit(fields, bitmap, signature, convert(data, Bytes[SMALL_BYTES_MAX]))
        else:
            log BatchCommitted(
                index=fields.index,
                poster=msg.sender,
                fields=fields,
                bitmap=bitmap,
                signature=signature,
                data=data,
            )


@view
@external
def head() -> (uint64, uint64, bytes32, uint64):
    """
    @return The next index, the next height, the last batch's hash, and the block it was committed in. Before the first
    batch, the hash is the chain id and the block is that of the deployment.
    """
    position: uint256 = self.position
    return (
        self._part(position),
        self._part(position >> 64),
        self.head_hash,
        self._part(position >> 128),
    )


@view
@external
def next_index() -> uint64:
    return self._part(self.position)


@view
@external
def next_height() -> uint64:
    return self._part(self.position >> 64)


@view
@external
def last_commit_block() -> uint64:
    return self._part(self.position >> 128)


@view
@external
def identity() -> (bytes32, uint64, uint256, address, uint256):
    """
    @return What never changes: the chain id, the epoch, how many validators there are, the account whose code is their
    set, and the block of the deployment.
    """
    return (chain_id, EPOCH, validator_count, validator_set, deployed_block)


@view
@external
def epoch() -> uint64:
    return EPOCH


@view
@external
def validator(index: uint256) -> Validator:
    assert index < validator_count, "no such validator"
    record: Bytes[RECORD_BYTES] = slice(validator_set.code, SET_HEAD_BYTES + RECORD_BYTES * index, RECORD_BYTES)
    return abi_decode(record, Validator)


@internal
def _take(fields: Fields, bitmap: Bytes[32], signature: Bytes[256]):
    position: uint256 = self.position
    next: uint64 = self._part(position)
    assert fields.index >= next, "already committed"
    assert fields.index == next, "gap"
    assert fields.first == self._part(position >> 64), "wrong first height"
    assert fields.last >= fields.first and fields.last < max_value(uint64), "bad range"
    assert fields.previous == self.head_hash, "wrong previous"

    batch: Bytes[309] = concat(
        convert(chain.id, bytes32),
        convert(self, bytes20),
        convert(fields.index, bytes8),
        convert(fields.first, bytes8),
        convert(fields.last, bytes8),
        fields.previous,
        convert(fields.data_kind, bytes1),
        fields.data_hash,
        fields.block_id,
        fields.namespaces_root,
        fields.state_root,
        fields.aux_root,
        convert(fields.forced_cursor, bytes8),
    )
    digest: bytes32 = sha256(concat(CERTIFICATE_PREFIX, chain_id, convert(EPOCH, bytes8), batch))
    self._check_signature(digest, bitmap, signature)

    self.head_hash = sha256(concat(BATCH_PREFIX, chain_id, batch))
    self.position = (
        (convert(fields.index, uint256) + 1)
        | ((convert(fields.last, uint256) + 1) << 64)
        | (block.number << 128)
    )


@internal
def _check_signature(digest: bytes32, bitmap: Bytes[32], signature: Bytes[256]):
    count: uint256 = validator_count
    assert len(bitmap) == (count + 7) // 8, "wrong bitmap length"
    assert len(signature) == 256, "wrong signature length"
    signers: uint256 = convert(convert(bitmap, bytes32), uint256)  # validator i is bit 255 - i
    assert signers << count == 0, "bitmap padding"
    absentees: uint256 = signers ^ (max_value(uint256) << (256 - count))
    key: Bytes[128] = slice(validator_set.code, 0, 128)
    if absentees != 0:
        key = self._without(key, absentees)
    assert (
        extract32(key, 32, output_type=uint256) | extract32(key, 0, output_type=uint256)
        | extract32(key, 64, output_type=uint256) | extract32(key, 96, output_type=uint256)
    ) != 0, "keys cancel out"

    success: bool = False
    answer: Bytes[32] = b""
    success, answer = raw_call(
        PAIRING,
        concat(key, self._hash_to_g2(digest), NEGATIVE_GENERATOR, signature),
        max_outsize=32,
        is_static_call=True,
        revert_on_failure=False,
    )
    assert success, "malformed signature"
    assert convert(answer, uint256) == 1, "bad signature"


@internal
def _without(aggregate: Bytes[128], absentees: uint256) -> Bytes[128]:
    """
    @return The sum of the keys of those who are no absentees. Reverts if they are no quorum.
    """
    left: uint256 = absentees  # shifted so that its highest bit is the next validator's
    stake: uint256 = total_stake
    validators: address = validator_set
    absent: Bytes[128] = INFINITY
    for start: uint256 in range(VALIDATORS_MAX // 8):
        if left >> 248 == 0:
            left = left << 8
            continue
        for i: uint256 in range(8):
            if left >> 255 == 1:
                place: uint256 = unsafe_add(unsafe_mul(start, 8), i)
                place = unsafe_add(unsafe_mul(place, RECORD_BYTES), SET_HEAD_BYTES)
                record: Bytes[RECORD_BYTES] = slice(validators.code, place, RECORD_BYTES)
                stake = unsafe_sub(stake, extract32(record, 128, output_type=uint256))
                absent = raw_call(
                    G1_ADD,
                    concat(absent, slice(record, 0, 128)),
                    max_outsize=128,
                    is_static_call=True,
                )
            left = left << 1
        if left == 0:
            break
    assert stake * 3 > total_stake * 2, "no quorum"

    high: uint256 = extract32(absent, 64, output_type=uint256)
    low: uint256 = extract32(absent, 96, output_type=uint256)
    if high | low == 0:
        return aggregate  # their sum is infinity: no other point has y = 0
    if low > MODULUS_LOW:
        high += 1
    return self._add_g1(
        aggregate,
        concat(
            slice(absent, 0, 64),
            convert(MODULUS_HIGH - high, bytes32),
            convert(unsafe_sub(MODULUS_LOW, low), bytes32),
        ),
    )


@internal
def _add_g1(one: Bytes[128], other: Bytes[128]) -> Bytes[128]:
    return raw_call(G1_ADD, concat(one, other), max_outsize=128, is_static_call=True)


@internal
def _hash_to_g2(message: bytes32) -> Bytes[256]:
    # expand_message_xmd to 256 bytes
    start: bytes32 = sha256(
        concat(empty(bytes32), empty(bytes32), message, x"010000", DOMAIN)
    )
    parts: bytes32[8] = empty(bytes32[8])
    part: bytes32 = empty(bytes32)
    for i: uint256 in range(8):
        mixed: uint256 = convert(start, uint256) ^ convert(part, uint256)  # the first is mixed with nothing
        part = sha256(concat(convert(mixed, bytes32), convert(convert(i + 1, uint8), bytes1), DOMAIN))
        parts[i] = part
    return raw_call(
        G2_ADD,
        concat(
            self._map_to_g2(parts[0], parts[1], parts[2], parts[3]),
            self._map_to_g2(parts[4], parts[5], parts[6], parts[7]),
        ),
        max_outsize=256,
        is_static_call=True,
    )


@internal
def _map_to_g2(first: bytes32, second: bytes32, third: bytes32, fourth: bytes32) -> Bytes[256]:
    return raw_call(
        MAP_FP2_TO_G2,
        concat(self._reduce(first, second), self._reduce(third, fourth)),
        max_outsize=256,
        is_static_call=True,
    )


@internal
def _reduce(high: bytes32, low: bytes32) -> Bytes[64]:
    """
    @return A number of 512 bits modulo the field's modulus: to the power of one.
    """
    return raw_call(
        MODEXP,
        concat(
            convert(64, bytes32),
            convert(1, bytes32),
            convert(64, bytes32),
            high,
            low,
            x"01",
            convert(MODULUS_HIGH, bytes32),
            convert(MODULUS_LOW, bytes32),
        ),
        max_outsize=64,
        is_static_call=True,
    )


@internal
def _emit(fields: Fields, bitmap: Bytes[32], signature: Bytes[256], data: Bytes[SMALL_BYTES_MAX]):
    log BatchCommitted(
        index=fields.index,
        poster=msg.sender,
        fields=fields,
        bitmap=bitmap,
        signature=signature,
        data=data,
    )


@pure
@internal
def _part(position: uint256) -> uint64:
    return convert(position & convert(max_value(uint64), uint256), uint64)
