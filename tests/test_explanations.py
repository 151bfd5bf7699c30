"""A page for every bug, that fits a terminal, and a suggestion for a name that is none."""

import pytest

from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import Bug
from bncheck.cli import run
from bncheck.errors import InvalidInput
from bncheck.report.explanations import index, page


@pytest.mark.parametrize("name", BUGS)
def test_a_page_says_what_to_know(name: str) -> None:
    text = page(name)
    headings = ["How it hides", "Wrong", "Right", "How to fix it", "Where it was seen"]
    if BUGS[name].plant is not Bug.plant:  # what is in no formula has none
        headings += ["What it computes", "and what it should"]
    for heading in headings:
        assert f"\n{heading}\n" in text
    assert text.startswith(f"{name}: ")
    assert text.endswith("\n")
    assert len(text.splitlines()) <= 40
    assert max(map(len, text.splitlines())) <= 120


def test_the_index_names_every_bug() -> None:
    lines = index().splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(BUGS)
    assert max(map(len, lines)) <= 80


def test_explain_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain"]) == 0
    assert capsys.readouterr().out == index()
    assert run(["explain", "ddof"]) == 0
    assert capsys.readouterr().out == page("ddof")
    assert run(["explain", "gama-missing"]) == 2
    assert capsys.readouterr().err.endswith("Did you mean gamma-missing?\n")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InvalidInput, match="id=nothing-like-it"):
        page("nothing-like-it")
