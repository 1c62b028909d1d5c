"""Key files: made private, never overwritten, refused when exposed, never shown."""

import os
import stat

import pytest

from consensus.bls import BlsKey, BlsPublicKey, is_possession_proved
from consensus.signing import NodeKey
from sequencer.keys.errors import KeyFileError
from sequencer.keys.key_files import (
    KeyKind,
    bls_secret_from_seed,
    create_key,
    is_valid_secret,
    key_path,
    load_bls_key,
    load_node_key,
    load_secret,
    new_secret,
    parse_secret,
)

KINDS = list(KeyKind)
SECP256K1_ORDER = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_key_is_private_and_read_back(tmp_path, kind):
    keys_dir = tmp_path / "home" / "keys"
    secret = new_secret(kind)
    path = create_key(keys_dir, kind, secret)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys_dir.stat().st_mode) == 0o700
    assert load_secret(keys_dir, kind) == secret
    assert [entry.name for entry in keys_dir.iterdir()] == [path.name]


def test_private_even_under_a_wide_umask(tmp_path):
    before = os.umask(0)
    try:
        path = create_key(tmp_path / "keys", KeyKind.NODE, new_secret(KeyKind.NODE))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_loaded_keys_work(tmp_path):
    for kind in KINDS:
        create_key(tmp_path / "keys", kind, new_secret(kind))
    node, bls = load_node_key(tmp_path / "keys"), load_bls_key(tmp_path / "keys")
    assert isinstance(node, NodeKey)
    assert isinstance(bls, BlsKey)
    assert is_possession_proved(BlsPublicKey(bls.public_key), bls.prove_possession())


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_never_overwritten(tmp_path, kind):
    first = new_secret(kind)
    create_key(tmp_path, kind, first)
    with pytest.raises(KeyFileError, match="never overwritten"):
        create_key(tmp_path, kind, new_secret(kind))
    assert load_secret(tmp_path, kind) == first
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o601])
def test_an_exposed_key_is_refused_with_the_remedy(tmp_path, mode):
    path = create_key(tmp_path, KeyKind.NODE, new_secret(KeyKind.NODE))
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
        load_secret(tmp_path, KeyKind.NODE)


def test_a_directory_that_others_can_write_to_is_refused(tmp_path):
    keys_dir = tmp_path / "keys"
    create_key(keys_dir, KeyKind.NODE, new_secret(KeyKind.NODE))
    keys_dir.chmod(0o770)
    with pytest.raises(KeyFileError, match=f"chmod 700 {keys_dir}"):
        load_secret(keys_dir, KeyKind.NODE)


def test_a_missing_key_says_what_makes_one(tmp_path):
    with pytest.raises(KeyFileError, match="sequencer keys new"):
        load_secret(tmp_path, KeyKind.BLS)
    with pytest.raises(KeyFileError, match="sequencer keys new"):
        load_secret(tmp_path / "nowhere", KeyKind.BLS)


def test_a_named_pipe_does_not_hang_the_start(tmp_path):
    os.mkfifo(key_path(tmp_path, KeyKind.NODE), 0o600)
    with pytest.raises(KeyFileError, match="not a regular file"):
        load_secret(tmp_path, KeyKind.NODE)


@pytest.mark.parametrize(
    "text", ["", "0x", "12" * 31, "12" * 33, "zz" * 32, "00" * 32, "ff" * 32, SECP256K1_ORDER, "1 " * 32, "١" * 64]
)
def test_a_malformed_key_is_refused_and_not_quoted(tmp_path, text):
    with pytest.raises(KeyFileError) as refusal:
        parse_secret(KeyKind.NODE, text)
    assert not text or text not in str(refusal.value)
    path = key_path(tmp_path, KeyKind.NODE)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="does not hold a node key"):
        load_secret(tmp_path, KeyKind.NODE)


def test_both_ways_of_writing_hex_are_read():
    digits = "ab" * 32
    assert parse_secret(KeyKind.NODE, f"0x{digits}\n") == parse_secret(KeyKind.NODE, digits.upper()) == b"\xab" * 32


def test_an_overlong_file_is_refused(tmp_path):
    path = key_path(tmp_path, KeyKind.NODE)
    path.write_text("ab" * 32 + " " * 100_000)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="does not hold a node key"):
        load_secret(tmp_path, KeyKind.NODE)


def test_an_invalid_secret_is_never_written(tmp_path):
    with pytest.raises(KeyFileError):
        create_key(tmp_path, KeyKind.NODE, bytes(32))
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError, match="cannot be written"):
        create_key(tmp_path / "file" / "keys", KeyKind.NODE, new_secret(KeyKind.NODE))


def test_new_secrets_differ_and_are_in_the_field():
    for kind in KINDS:
        drawn = {new_secret(kind) for _ in range(50)}
        assert len(drawn) == 50
        assert all(is_valid_secret(kind, secret) for secret in drawn)


def test_a_bls_secret_follows_from_its_seed():
    assert bls_secret_from_seed(b"a" * 32) == bls_secret_from_seed(b"a" * 32)
    assert bls_secret_from_seed(b"a" * 32) != bls_secret_from_seed(b"b" * 32)
    with pytest.raises(ValueError, match="32 bytes"):
        bls_secret_from_seed(b"short")


def test_a_representation_shows_no_secret(tmp_path):
    for kind in KINDS:
        create_key(tmp_path, kind, new_secret(kind))
    shown = repr(load_node_key(tmp_path)) + repr(load_bls_key(tmp_path))
    assert all(load_secret(tmp_path, kind).hex() not in shown for kind in KINDS)
