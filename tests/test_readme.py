"""The README tells the truth: its examples run, its commands exist, its samples are what the commands print."""

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bncheck.case import Layout
from bncheck.layers import LAYERS
from bncheck.oracles.symbolic.lowering import lower

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


def test_the_examples_run() -> None:
    failed, tried = doctest.testfile(str(README), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0
    assert tried > 15


def test_the_first_block_is_two_lines_each_enough_by_itself() -> None:
    first, second = blocks("bash")[0].splitlines()
    assert first.endswith("python -m bncheck verify")
    assert second.endswith("python -m pytest -n auto")
    assert all(line.startswith("pip install ") for line in (first, second))


def test_the_lowered_source_is_the_one_that_runs(batch_norm: object) -> None:
    (shown,) = [block for block in blocks("python") if block.startswith("def batch_norm_backward")]
    assert shown in lower(LAYERS["batch_norm"], Layout("NCHW", "NHW", "C")).source


def test_the_derivation_is_the_one_that_is_printed() -> None:
    (shown,) = [block for block in blocks("text") if block.startswith("    ∂ℓ")]
    done = subprocess.run(
        [sys.executable, "-m", "bncheck", "derive", "batch_norm"], capture_output=True, check=True, encoding="utf-8"
    )
    assert shown.rstrip() in done.stdout


def test_the_sample_report_has_the_lines_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    from bncheck.cli import run

    sample = next(block for block in blocks("text") if block.startswith("layer "))
    run(["verify", "--cases", "10", "--quick"])  # a case for each layer: the numbers are others, and what is told first
    printed = {line[:22] for line in capsys.readouterr().out.splitlines()}
    assert [line for line in sample.splitlines() if line.strip("…") and line[:22] not in printed] == []


CHECKED = re.findall(r"```python\n([^`]*)```\n\n```text\n\$ (python -m bncheck check (\S+\.py))\n([^`]*)```", TEXT)


@pytest.mark.parametrize(("source", "command", "name", "expected"), CHECKED, ids=[found[2] for found in CHECKED])
def test_the_reports_are_those_that_check_prints(
    source: str, command: str, name: str, expected: str, tmp_path: Path
) -> None:
    if "import torch" in source:
        pytest.importorskip("torch")
    (tmp_path / name).write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, *command.split()[1:]], capture_output=True, check=False, encoding="utf-8", cwd=tmp_path
    )
    assert done.stdout.rstrip() == expected.rstrip()
    assert len(expected.splitlines()) <= 40
    assert max(map(len, expected.splitlines())) <= 80


def test_there_are_three_of_them() -> None:
    assert len(CHECKED) == 3


def test_the_class_is_checked_as_shown(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    sources = {name: source for source, _, name, _ in CHECKED}
    (expected,) = [block for block in blocks("text") if "submissions/*.py" in block]
    right = (
        sources["mine.py"]
        .replace("    dx = (", "    dx = gamma * (")
        .replace(".mean(axis=0), dout.mean(", ".sum(axis=0), dout.sum(")
    )
    folder = tmp_path / "submissions"
    folder.mkdir()
    files = {
        "ada": right,
        "emil": sources["mine.py"],
        "grace": sources["fast.py"],
        "ken": "while True: pass",
        "noor": right,
    }
    for name, source in files.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "bncheck", "check", *(f"submissions/{name}.py" for name in files), "--time-limit", "2"],
        capture_output=True,
        check=False,
        encoding="utf-8",
        cwd=tmp_path,
    )
    table, _, reports = done.stdout.partition("───")
    assert table.replace("within 2 s", "within 10 s").split() == expected.partition("\n")[2].split()
    assert "gamma-missing in dx" in reports


def test_the_options_and_files_it_names_exist(capsys: pytest.CaptureFixture[str]) -> None:
    from bncheck.cli import run

    assert run(["verify", "--help"]) == 0
    helped = capsys.readouterr().out
    for option in re.findall(r"`(--[a-z]+)", TEXT.partition("**The campaign.**")[2].partition("## What it catches")[0]):
        assert option in helped
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT) + re.findall(r"`((?:tests|oracles|report)/[\w/.]*)`", TEXT):
        assert (README.parent / target).exists() or (README.parent / "bncheck" / target).exists(), target


@pytest.mark.parametrize("name", ["initial-scale", "learning-rate", "depth", "convolution", "wrong-gradients"])
def test_what_trainings_showed_is_what_the_kept_results_say(name: str) -> None:
    """After new results: the sentences of `python -m bncheck train NAME`, in lines of 120 characters."""
    from bncheck.training.experiments import find
    from bncheck.training.laboratory.results import kept

    assert " ".join(find(name).sentence(kept()[name]).split()) in " ".join(TEXT.split())
