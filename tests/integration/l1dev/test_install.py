"""Installing anvil: what is checked, and what an operator reads when it cannot be done."""

import base64
import hashlib
import io
import stat
import sys
import tarfile

import pytest

from sequencer.l1dev import install
from sequencer.l1dev.__main__ import main
from sequencer.l1dev.anvil import ANVIL_VERSION, installed_path
from sequencer.l1dev.errors import InstallFailed
from sequencer.l1dev.install import install_anvil, platform_name, take_binary

PROGRAM = b"#!/bin/sh\necho it runs\n"


def packed(*members):
    """A package as npm makes it, of (name, content) pairs; content None: a link."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if content is None:
                member.type, member.linkname = tarfile.SYMTYPE, "/bin/sh"
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def integrity_of(package):
    return base64.b64encode(hashlib.sha512(package).digest()).decode()


PACKAGE = packed(("package/package.json", b"{}"), (install.BINARY_IN_PACKAGE, PROGRAM))


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """An environment without anvil, and a directory that is the whole PATH."""
    commands = tmp_path / "commands"
    commands.mkdir()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    monkeypatch.setenv("PATH", str(commands))
    return commands


def put_npm(machine, script):
    npm = machine / "npm"
    npm.write_text(f"#!/bin/sh\n[ $1 = --version ] && exit 0\n{script}\n")
    npm.chmod(0o755)


def test_only_the_pinned_package_is_opened():
    assert take_binary(PACKAGE, integrity_of(PACKAGE)) == PROGRAM
    with pytest.raises(InstallFailed, match="not the pinned"):
        take_binary(PACKAGE + b"\0", integrity_of(PACKAGE))


@pytest.mark.parametrize("members", [[], [("package/bin/other", PROGRAM)], [(install.BINARY_IN_PACKAGE, None)]])
def test_a_package_without_the_program_is_refused(members):
    package = packed(*members)
    with pytest.raises(InstallFailed, match="has no file"):
        take_binary(package, integrity_of(package))


@pytest.mark.e2e
def test_it_is_fetched_once_and_no_draft_is_left(machine, tmp_path, monkeypatch):
    monkeypatch.setitem(install.INTEGRITY, platform_name(), integrity_of(PACKAGE))
    (tmp_path / "a.tgz").write_bytes(PACKAGE)
    put_npm(machine, f"/bin/cp {tmp_path}/a.tgz . && echo $* >> {tmp_path}/asked")
    said: list[str] = []
    path = install_anvil(said.append)
    assert path == installed_path()
    assert path.read_bytes() == PROGRAM
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert list(path.parent.iterdir()) == [path]
    assert install_anvil(said.append) == path
    (asked,) = (tmp_path / "asked").read_text().splitlines()
    assert f"@{ANVIL_VERSION}" in asked
    assert "--ignore-scripts" in asked
    assert len(said) == 2


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("script", "message"),
    [("echo no route >&2; exit 1", "no route"), ("exit 0", "0 packages"), ("echo bad > a.tgz", "not the pinned")],
)
def test_what_goes_wrong_is_said_with_the_remedy_and_leaves_nothing(machine, capsys, script, message):
    put_npm(machine, script)
    assert main(["install"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert not installed_path().parent.exists()


def test_a_machine_without_a_package_is_told_so(machine, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(InstallFailed, match=r"riscv64.*ANVIL"):
        install_anvil(lambda _: None)


def test_another_command_is_a_fault_of_usage(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["remove"])
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err
