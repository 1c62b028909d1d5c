"""The generated reference pages are up to date, and nothing is missing from them."""

import re
from pathlib import Path

import pytest

from consensus import limits
from sequencer.node.reference import PAGES, parameters_page

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_page_is_what_the_code_generates(name):
    assert (REFERENCE / f"{name}.md").read_text() == PAGES[name](), f"python -m sequencer.node.reference {name}"


def test_every_limit_has_a_reason():
    names = [name for name in vars(limits) if re.fullmatch(r"[A-Z][A-Z_0-9]*", name)]
    page = parameters_page()
    assert [name for name in names if f"| `{name}` |" not in page] == []
