"""README tells the truth: its example is what the command prints, its samples run, its numbers stand elsewhere too."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import bncheck
from bncheck.api import assert_gradients

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
CODE, SITE = "https://github.com/bncheck/bncheck/blob/main/", "https://bncheck.readthedocs.io/en/stable/"
PICTURES = "https://raw.githubusercontent.com/bncheck/bncheck/main/"

RIGHT = """
import numpy as np
def forward(x, gamma, beta, eps=1e-5):
    mean, std = x.mean(0), np.sqrt(x.var(0) + eps)
    return gamma * (x - mean) / std + beta, ((x - mean) / std, gamma, std)
def backward(dy, cache):
    xhat, gamma, std = cache
    dxhat = dy * gamma
    dx = (dxhat - dxhat.mean(0) - xhat * (dxhat * xhat).mean(0)) / std
    return dx, (dy * xhat).sum(0), dy.sum(0)
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


def test_two_screens_and_no_more() -> None:
    assert len(TEXT.splitlines()) <= 200


def test_the_first_block_is_two_lines_each_enough_by_itself() -> None:
    first, second = blocks("bash")[0].splitlines()
    assert first == "pip install '.[all]' && python -m bncheck verify"
    assert second == "pip install '.[test]' && python -m pytest -n auto"


def test_the_report_is_the_one_that_check_prints(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(blocks("python")[0], encoding="utf-8")
    command, _, expected = blocks("text")[0].removeprefix("$ python ").partition("\n")
    done = subprocess.run(
        [sys.executable, *command.split()], capture_output=True, check=False, encoding="utf-8", cwd=tmp_path
    )
    assert done.stdout.rstrip() == expected.rstrip()
    assert max(map(len, expected.splitlines())) <= 80


def test_the_lines_for_a_notebook_and_a_test_suite_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    namespace: dict[str, object] = {}
    exec(RIGHT, namespace)
    (tmp_path / "mine.py").write_text(RIGHT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    notebook, suite = blocks("python")[1:]
    exec(notebook.replace("MyBatchNorm", "(forward, backward)"), namespace)
    exec(suite.replace('my_vjp, layer="layer_norm"', "(forward, backward)"), namespace)
    namespace["test_my_backward"](assert_gradients)  # type: ignore[operator]
    (tmp_path / "mine.py").write_text(RIGHT.replace("dxhat.mean(0) - ", ""), encoding="utf-8")
    with pytest.raises(AssertionError, match="mean-path-missing"):
        exec(notebook.replace("check(MyBatchNorm)", ""), namespace)


def test_every_link_is_absolute_and_leads_to_what_is_there() -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", TEXT)
    assert len(links) > 10
    for link in links:
        if link.startswith(SITE):
            page = link.removeprefix(SITE).partition("#")[0] or "index.html"
            source = ROOT / "docs" / page.replace(".html", ".md")
            assert source.exists() or page in MADE, link
        else:
            assert link.startswith((CODE, PICTURES)), link
            assert (ROOT / link.removeprefix(CODE).removeprefix(PICTURES)).exists(), link


MADE = ("bugs/index.html", "gallery.html", "explorer.html")
"""Pages of the site that are made as it is built."""


def test_the_commands_it_names_exist(capsys: pytest.CaptureFixture[str]) -> None:
    from bncheck.cli import run

    assert run(["--help"]) == 0
    commands = re.findall(r"^  ([a-z]+)  ", capsys.readouterr().out, flags=re.MULTILINE)
    named = re.findall(r"`(?:python -m bncheck )?([a-z]+) (?:--?[a-z]|[a-z])", TEXT)
    assert {name for name in named if name in commands} >= {"verify", "explore", "figures", "derive", "grade"}
    for option in re.findall(r"python -m bncheck ([a-z]+) [^`\n]*?(--[a-z]+)", TEXT):
        assert run([option[0], "--help"]) == 0
        assert option[1] in capsys.readouterr().out


@pytest.mark.parametrize("name", ["assert_gradients", "check", "cases"])
def test_the_names_it_uses_are_public(name: str) -> None:
    assert name in TEXT
    assert name in bncheck.__all__


def row(text: str, first: str) -> list[str]:
    """The cells of the row of a Markdown table that begins so."""
    (found,) = re.findall(rf"^\| {re.escape(first)} +\|(.*)\|$", text, flags=re.MULTILINE)
    return [cell.strip() for cell in found.split("|")]


@pytest.mark.parametrize(
    ("here", "there", "columns"),
    [
        ("93 wrong changes of one token, in code written after the diagnosis", "all 8", (5, 7)),
        ("228 wrong changes of one token, in sixteen styles", "all 16", (5, 7)),
        ("32 planted bugs of a backward", "backward: 32", (0, 1, 3, 4, 5)),
        ("15 planted bugs of a forward, with its own gradient", "forward: 15", (0, 1, 3, 4, 5)),
        ("18 right implementations (here every number is a false alarm)", "correct code: 18", (0, 1, 3, 4, 5)),
    ],
)
def test_its_numbers_are_those_of_the_benchmarks(here: str, there: str, columns: tuple[int, ...]) -> None:
    measured = row((ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"), there)
    assert [cell for cell in row(TEXT, here) if cell != "–"] == [measured[k] for k in columns]
    if "wrong" in here:
        assert measured[4] == here.split()[0]


def test_the_first_score_is_told_where_it_was_measured() -> None:
    limits = " ".join((ROOT / "docs" / "explanation" / "limits.md").read_text(encoding="utf-8").split())
    assert "7 of 20 wrong ones were caught, 1 called correct" in limits
    assert row(TEXT, "20 wrong files in unusual styles")[0] == f"{100 * 7 // 20}"
