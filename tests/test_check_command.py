"""`python -m bncheck check`: one screen for one target, a row for each of several, and nothing that varies."""

import csv
import io
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from conftest import EVERY
from test_targets import ZOO

from bncheck.cli import run
from bncheck.examination.files import examine_all
from bncheck.report.targets import SCREEN, one, text
from bncheck.report.text import WIDTH

HONEST, WRONG, ODD = (str(ZOO / name) for name in ("honest.py", "eps_outside.py", "odd.py"))
HOSTILE = ZOO / "hostile"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run(["check", *arguments])
    out, told = capsys.readouterr()
    return status, out, told


@pytest.fixture
def three_bugs(tmp_path: Path) -> str:
    file = tmp_path / "mine.py"
    right = Path(HONEST).read_text()
    for bug in (("g = dy * gamma", "g = dy"), ("(dy * xhat).sum(0), dy.sum(0)", "(dy * xhat).mean(0), dy.mean(0)")):
        assert bug[0] in right
        right = right.replace(*bug)
    file.write_text(right)
    return str(file)


def test_one_target_is_one_screen_that_says_what_to_mend(capsys: pytest.CaptureFixture[str], three_bugs: str) -> None:
    status, out, _ = printed(capsys, three_bugs)
    assert status == 1
    lines = out.splitlines()
    assert len(lines) <= SCREEN
    assert all(len(line) <= WIDTH for line in lines if "python -m bncheck" not in line)
    assert "\x1b" not in out
    assert lines[0].endswith("mine.py:forward+backward: wrong")
    for words in (
        "gamma-missing in dx",
        "dx̂ = dy",
        "Multiply dy by gamma",
        "reduced-by-mean",
        "dγ = Σ dy·x̂",
        "explain",
    ):
        assert words in out
    assert f"python -m bncheck check {three_bugs}:forward+backward" in out


def test_the_command_that_it_prints_says_the_same_again(capsys: pytest.CaptureFixture[str], three_bugs: str) -> None:
    _, out, _ = printed(capsys, three_bugs)
    command = next(line for line in out.splitlines() if "bncheck check" in line).split("bncheck check ")[1]
    assert printed(capsys, *command.split())[1] == out


@pytest.mark.slow
def test_every_report_of_the_zoo_fits_the_screen() -> None:
    hostile = [str(path) for path in sorted(HOSTILE.glob("re*.py"))]
    for report in examine_all([HONEST, WRONG, str(ZOO / "textbook.py"), str(ZOO / "course.py"), *hostile]).reports:
        lines = one(report).splitlines()
        assert len(lines) <= SCREEN, report.target
        assert all(len(line) <= WIDTH for line in lines if "python -m" not in line), report.target


def test_several_bugs_that_do_not_fit_are_named_at_least() -> None:
    (report,) = examine_all([WRONG]).reports
    lines = one(replace(report, diagnosis=report.diagnosis * 6)).splitlines()
    assert len(lines) <= SCREEN
    assert any(line.startswith("  and also") for line in lines)


@pytest.mark.parametrize(
    ("targets", "status"),
    [
        ([HONEST], 0),
        ([HONEST, WRONG], 1),
        ([HONEST, str(HOSTILE / "exits_hard.py"), WRONG], 3),
        ([HONEST, ODD], 4),
        ([ODD], 2),
        ([str(ZOO / "no_such_file.py")], 2),
        ([HONEST, str(ZOO / "no_such_file.py")], 2),
    ],
)
def test_the_exit_status_is_that_of_verify(targets: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, *targets)[0] == status


@pytest.mark.parametrize(
    "arguments",
    [
        [HONEST, "--layer", "bach_norm"],
        [HONEST, "--layout", "NCH"],
        [HONEST, "--dtype", "float46"],
        [HONEST, "--format", "yaml"],
        [HONEST, "--jobs", "0"],
        [HONEST, "--time-limit", "0"],
        [HONEST, "--memory-limit", "-1"],
        [HONEST, "--seed", "-1"],
        [HONEST, "--case", "small"],
        [HONEST, "--style", "keras"],
        [str(ZOO / "*.nothing")],
        [],
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, told = printed(capsys, *arguments)
    assert (status, out) == (2, "")
    assert len(told.splitlines()) == 1


def test_what_is_not_recognised_is_one_line_and_the_adapter_is_printed_on_demand(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, out, told = printed(capsys, ODD)
    assert (status, out, len(told.splitlines())) == (2, "", 1)
    assert "bncheck check --adapter" in told
    (tmp_path / "honest.py").write_bytes(Path(HONEST).read_bytes())
    status, out, _ = printed(capsys, str(tmp_path / "honest.py"), "--adapter")
    (tmp_path / "adapter.py").write_text(out)
    assert printed(capsys, str(tmp_path / "adapter.py"))[0] == 0


def test_several_targets_are_a_row_each_in_the_order_given(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = printed(capsys, WRONG, str(HOSTILE / "exits_hard.py"), HONEST, "--jobs", "2")
    assert status == 3
    rows = out.splitlines()
    assert all(len(row) <= WIDTH for row in rows if "python -m bncheck check" not in row)
    assert [row.split()[0] for row in (rows[1], rows[3], rows[5])] == ["wrong", "crashed", "correct"]
    assert "eps-outside-sqrt" in rows[2]
    assert "exit status" in rows[4]
    assert rows[7:9] == ["3 targets: 1 correct, 1 wrong, 1 crashed", "verdict: crashed"]


def test_a_pattern_stands_for_the_files_that_match(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = printed(capsys, str(ZOO / "h*t.py"), str(ZOO / "keyword*.py"), "--format", "csv")
    assert [row["target"].rpartition("/")[2] for row in csv.DictReader(io.StringIO(out))] == [
        "honest.py:forward+backward",
        "keyword_eps.py:forward+backward",
    ]


def test_json_has_what_was_promised(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = printed(capsys, HONEST, WRONG, str(HOSTILE / "returns_nan.py"), "--format", "json")
    document = json.loads(out)
    assert (status, document["verdict"]) == (1, "wrong")
    right, wrong, _ = document["targets"]
    promised = {"target", "layer", "recognised_as", "verdict", "consistent", "conforms"}
    assert promised | {"gradients", "diagnosis", "observations", "reproduce"} <= right.keys()
    worst = wrong["gradients"]["dx"]["worst"]
    assert worst.keys() == {"index", "got", "expected", "relative_error", "ulp", "tolerance"}
    assert {"id", "gradient", "residual", "explanation", "fix"} <= wrong["diagnosis"][0].keys()
    assert (wrong["consistent"], wrong["conforms"]) == ("correct", "wrong")
    assert right["observations"]["eps"] == "as given"


def test_junit_counts_and_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = printed(capsys, HONEST, WRONG, ODD, str(HOSTILE / "exits_hard.py"), "--format", "junit")
    suite = ElementTree.fromstring(out).find("testsuite")
    assert suite is not None
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    assert "eps-outside-sqrt" in out


def test_github_gets_an_annotation_for_what_is_not_correct(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = printed(capsys, HONEST, WRONG, "--format", "github")
    (line,) = out.splitlines()
    assert line.startswith(f"::error file={WRONG},title=wrong%3A eps-outside-sqrt%2C ddof-forward::")
    assert "%0A" in line


def test_a_spreadsheet_gets_no_formulas(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "=1+1.py").write_text("nothing = 1\n")
    monkeypatch.chdir(tmp_path)
    _, out, _ = printed(capsys, "=1+1.py", HONEST, "--format", "csv")
    assert out.splitlines()[1].startswith("'=1+1.py")


def test_colour_is_only_where_it_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\x1b" in printed(capsys, HONEST, "--color", "always")[1]
    assert "\x1b" not in printed(capsys, HONEST, "--color", "never")[1]


def test_a_file_gets_the_whole_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = printed(capsys, HONEST, "--output", str(tmp_path / "report.txt"))
    assert (status, out) == (0, "")
    assert (tmp_path / "report.txt").read_text() == text(examine_all([HONEST]))


@pytest.mark.slow
def test_two_processes_say_the_same_bytes() -> None:
    files = [HONEST, WRONG, str(HOSTILE / "answers_differently.py"), str(HOSTILE / "segfaults.py")]
    runs = {
        subprocess.run(
            [sys.executable, "-m", "bncheck", "check", *files, "--format", "json", "--jobs", jobs], capture_output=True
        ).stdout
        for jobs in ("1", "2")
    }
    assert len(runs) == 1


def checked(files: str) -> tuple[int, list[Any]]:
    """The exit status, and what is reported of each target, of a check with two jobs."""
    command = [sys.executable, "-m", "bncheck", "check", files, "--jobs", "2", "--format", "json"]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode, json.loads(done.stdout)["targets"]


SIZE = 60 if EVERY else 20


@pytest.mark.slow
def test_a_class_of_which_a_quarter_is_hostile_is_checked_to_the_end(tmp_path: Path) -> None:
    """In under two minutes on two processes, in a stable order, and what is said is the same another time."""
    (tmp_path / "honest.py").write_bytes(Path(HONEST).read_bytes())  # which the hostile ones are made of
    folder = tmp_path / "submissions"
    folder.mkdir()
    hostile = sorted(HOSTILE.glob("*.py"))[::2][:15]
    assert len(hostile) == 15
    several = [ZOO / name for name in ("honest.py", "textbook.py", "eps_outside.py", "no_zero_term.py")]
    good = [*several, ZOO / "course.py", *3 * several]  # the longest, of five targets, a few times
    for k in range(SIZE):
        source = hostile[k // 4] if k % 4 == 1 else good[k % len(good)]
        (folder / f"student_{k:02}.py").write_bytes(source.read_bytes())
    started = time.monotonic()
    status, reports = checked(f"{folder}/*.py")
    assert status == 3
    assert time.monotonic() - started < 120  # other tests may run beside
    again = checked(f"{folder}/student_0[0-4].py")[1]
    assert reports[: len(again)] == again
    targets = [Path(one["target"].partition(":")[0]).name for one in reports]
    assert targets == sorted(targets)
    assert len(set(targets)) == SIZE
