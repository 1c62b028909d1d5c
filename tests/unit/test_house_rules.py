"""The house rules that no linter knows: sizes, the contracts' completeness, and a lock that installs anywhere."""

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("consensus", "p2p", "storage", "sequencer")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
# A longer file or function stands here with a reason that a reader would accept.
LONGER_FILES: dict[str, str] = {}
LONGER_FUNCTIONS: dict[str, str] = {}


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_files_and_functions_stay_short(path: Path) -> None:
    source = path.read_text()
    if relative(path) not in LONGER_FILES:
        assert len(source.splitlines()) <= FILE_LINES_MAX
    too_long = [
        f"{relative(path)}:{node.lineno} {node.name}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > FUNCTION_LINES_MAX
        and f"{relative(path)} {node.name}" not in LONGER_FUNCTIONS
    ]
    assert too_long == []


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_shipped_with_its_types(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()
    assert package in project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert package in project()["tool"]["importlinter"]["root_packages"]


def test_the_client_contract_names_every_other_room_of_the_sequencer() -> None:
    contracts = project()["tool"]["importlinter"]["contracts"]
    (client,) = (contract for contract in contracts if contract.get("source_modules") == ["sequencer.client"])
    rooms = {f"sequencer.{path.parent.name}" for path in (ROOT / "sequencer").glob("*/__init__.py")}
    assert rooms - {"sequencer.client"} <= set(client["forbidden_modules"])


def test_the_lock_holds_every_dependency_with_hashes_and_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^([a-z0-9-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE)
    assert len(pins) == len(re.findall("==", lock))
    assert not re.search(r"://|^--| /", lock, re.MULTILINE)

    metadata = project()["project"]
    wanted = [
        *metadata["dependencies"],
        *(name for extra in metadata["optional-dependencies"].values() for name in extra),
    ]
    names = {re.sub("[-_.]+", "-", re.split("[<>=]", requirement)[0]).lower() for requirement in wanted}
    assert names <= {name for name, _version in pins}
    assert ("libp2p", "0.8.1") in pins
