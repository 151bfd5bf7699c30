"""A page for every bug, that fits a terminal, and a suggestion for a name that is none."""

import ast
import re

import pytest
from bncheck.bugs.mutants import MUTANTS
from bncheck.bugs.pages import PAGES, Page

from bncheck.cli import run
from bncheck.errors import InvalidInput
from bncheck.report.explanations import index, page


def test_every_bug_has_its_page_and_every_page_its_bug() -> None:
    assert set(PAGES) == set(MUTANTS)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_page_says_what_to_know(name: str) -> None:
    text = page(name)
    for heading in ("What it computes", "How it hides", "Wrong", "Right", "How to fix it", "Where it was seen"):
        assert f"\n{heading}\n" in text
    assert text.startswith(f"{name}: ")
    assert text.endswith("\n")
    assert len(text.splitlines()) <= 40
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("told", PAGES.values(), ids=PAGES.keys())
def test_the_code_of_a_page_is_python(told: Page) -> None:
    assert told.wrong != told.right
    for code in (told.wrong, told.right):
        ast.parse(code.replace("return", "_ ="))
        assert len(code.splitlines()) <= 5
    assert told.hides.endswith(".")
    assert all(re.fullmatch(r"[\w./-]+#\d+", issue) for issue in told.seen)


def test_the_index_names_every_bug() -> None:
    lines = index().splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(MUTANTS)
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
