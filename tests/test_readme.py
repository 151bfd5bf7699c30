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
    assert second.endswith("python -m pytest")
    assert all(line.startswith("pip install ") for line in (first, second))


def test_the_lowered_source_is_the_one_that_runs(batch_norm: object) -> None:
    (shown,) = [block for block in blocks("python") if block.startswith("def batch_norm_backward")]
    assert shown in lower(LAYERS["batch_norm"], Layout("NCHW", "NHW", "C")).source


def test_the_derivation_is_the_one_that_is_printed() -> None:
    (shown,) = [block for block in blocks("text") if "∂ℓ" in block]
    done = subprocess.run(
        [sys.executable, "-m", "bncheck", "derive", "batch_norm"], capture_output=True, check=True, encoding="utf-8"
    )
    assert shown.rstrip() in done.stdout


def test_the_sample_report_has_the_lines_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    from bncheck.cli import run

    sample = next(block for block in blocks("text") if block.startswith("batch_norm"))
    assert run(["verify", "--cases", "40"]) == 0
    printed = capsys.readouterr().out
    shape = [line[:16] for line in sample.splitlines() if line.strip("…") and "torch" not in line]
    assert [line for line in shape if line not in {p[:16] for p in printed.splitlines()}] == []


def test_the_options_and_files_it_names_exist(capsys: pytest.CaptureFixture[str]) -> None:
    from bncheck.cli import run

    assert run(["verify", "--help"]) == 0
    helped = capsys.readouterr().out
    for option in re.findall(r"`(--[a-z]+)", TEXT.partition("**The campaign.**")[2].partition("## What it costs")[0]):
        assert option in helped
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT) + re.findall(r"`((?:tests|oracles|report)/[\w/.]*)`", TEXT):
        assert (README.parent / target).exists() or (README.parent / "bncheck" / target).exists(), target
