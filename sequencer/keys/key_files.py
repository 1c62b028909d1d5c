"""A validator's secrets on disk: the node key and the poster key (secp256k1), and the BLS key.

Responsible for: making secrets from the system's randomness, creating and reading `HOME/keys/node.key`, `bls.key` and
`poster.key`.
Refuses to do: print or log a secret, take one from a command line or environment, replace a file that exists, or keep
the record of what a key has signed (`HOME/keys/USED`, the storage's).

Invariants:
1. A key file is created with mode 0600 under a name of its own, synced, and only then given its final name by a link
   that fails if the name is taken: never a half-written key, never one overwritten.
2. A key file that group or others can reach, or a directory that they can write to, is refused with the command that
   mends it.
3. A file holds exactly one secret: 64 hex digits, an optional `0x` before and one line end after.
"""

import hashlib
import os
import secrets
import stat
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from consensus.bls import BlsKey
from consensus.signing import NodeKey
from sequencer.keys.errors import KeyFileError
from storage import durable

SECRET_BYTES = 32
_FILE_BYTES_MAX = 128
_SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_BLS12_381_ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
_BLS_SEED_DOMAIN = b"shared-sequencer/bls-secret/1|"


class KeyKind(StrEnum):
    """The keys of a validator."""

    NODE = "node"
    BLS = "bls"
    POSTER = "poster"  # pays for commits to the L1; the protocol does not know it


def key_path(keys_dir: Path, kind: KeyKind) -> Path:
    """Where the key of this kind stands."""
    return keys_dir / f"{kind}.key"


def new_secret(kind: KeyKind) -> bytes:
    """32 fresh secret bytes, big-endian, valid as a key of this kind."""
    while True:
        secret = (
            bls_secret_from_seed(secrets.token_bytes(64)) if kind is KeyKind.BLS else secrets.token_bytes(SECRET_BYTES)
        )
        if is_valid_secret(kind, secret):
            return secret


def bls_secret_from_seed(seed: bytes) -> bytes:
    """Hashes at least 32 bytes of randomness into the scalar field of BLS12-381.

    512 bits are reduced modulo the 255-bit order, so that no scalar is likelier than another by more than 2^-256.
    """
    if len(seed) < SECRET_BYTES:
        raise ValueError("a seed has at least 32 bytes")
    scalar = int.from_bytes(hashlib.sha512(_BLS_SEED_DOMAIN + seed).digest(), "big") % _BLS12_381_ORDER
    return scalar.to_bytes(SECRET_BYTES, "big")


def is_valid_secret(kind: KeyKind, secret: bytes) -> bool:
    """Whether `secret` is 32 bytes in 1 … order − 1."""
    order = _BLS12_381_ORDER if kind is KeyKind.BLS else _SECP256K1_ORDER
    return len(secret) == SECRET_BYTES and 0 < int.from_bytes(secret, "big") < order


def parse_secret(kind: KeyKind, text: str) -> bytes:
    """The secret in 64 hex digits, with or without `0x`. Raises `KeyFileError`, which never quotes the text."""
    digits = text.strip().removeprefix("0x")
    if len(digits) != 2 * SECRET_BYTES or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise KeyFileError(f"a {kind} key is 64 hex digits")
    secret = bytes.fromhex(digits)
    if not is_valid_secret(kind, secret):
        raise KeyFileError(f"these 64 hex digits are no {kind} key: they stand for zero or are above the group's order")
    return secret


def create_key(keys_dir: Path, kind: KeyKind, secret: bytes) -> Path:
    """Writes the secret to its file. Raises `KeyFileError` if there is one already or the disk refuses."""
    path = key_path(keys_dir, kind)
    if not is_valid_secret(kind, secret):
        raise KeyFileError(f"not a valid {kind} key")
    draft = keys_dir / f".{kind}.key.{secrets.token_hex(8)}"
    try:
        make_private_directory(keys_dir)
        try:
            _write_synced(draft, secret.hex().encode() + b"\n")
            _link_new(draft, path)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()
        durable.sync_directory(keys_dir)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from error
    return path


def load_secret(keys_dir: Path, kind: KeyKind) -> bytes:
    """Reads a secret of a home. Raises `KeyFileError` if it is missing, exposed or malformed."""
    path = key_path(keys_dir, kind)
    try:
        _require_mode(keys_dir, keys_dir.stat(), forbidden=0o022, remedy="700")
    except FileNotFoundError as error:
        raise KeyFileError(f"{path} is missing; `sequencer keys new` makes it") from error
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from error
    return load_secret_file(path, kind)


def load_secret_file(path: Path, kind: KeyKind) -> bytes:
    """Reads a secret from a file anywhere. Raises `KeyFileError` if it is missing, exposed or malformed."""
    try:
        # Non-blocking, so that a named pipe in the key's place cannot hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"{path} is not a regular file")
            _require_mode(path, status, forbidden=0o077, remedy="600")
            data = file.read(_FILE_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise KeyFileError(f"{path} is missing; `sequencer keys new` makes it") from error
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return parse_secret(kind, data.decode("ascii") if len(data) <= _FILE_BYTES_MAX else "")
    except (UnicodeDecodeError, KeyFileError) as error:
        raise KeyFileError(f"{path} does not hold a {kind} key (64 hex digits)") from error


def load_node_key(keys_dir: Path) -> NodeKey:
    """The node key. Raises `KeyFileError`."""
    return NodeKey(load_secret(keys_dir, KeyKind.NODE))


def load_bls_key(keys_dir: Path) -> BlsKey:
    """The BLS key. Raises `KeyFileError`."""
    return BlsKey(load_secret(keys_dir, KeyKind.BLS))


def make_private_directory(path: Path) -> None:
    """Makes a directory that only its owner can enter (0700). One that exists is left as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)


def _write_synced(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _link_new(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)
    except FileExistsError as error:
        raise KeyFileError(f"{path} exists already; a key is never overwritten, move it away first") from error


def _require_mode(path: Path, status: os.stat_result, forbidden: int, remedy: str) -> None:
    if stat.S_IMODE(status.st_mode) & forbidden:
        raise KeyFileError(f"{path} can be reached by other users; mend it with: chmod {remedy} {path}")
