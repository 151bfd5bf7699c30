"""What is printed can be read by one who has read the paper only, and says how to see each thing again."""

import csv
import io
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from test_targets import ZOO

from bncheck.bugs.catalogue import BUGS
from bncheck.campaign.run import verify
from bncheck.case import Layout
from bncheck.cli import run
from bncheck.examination.files import check_target, command, examine_all
from bncheck.examination.one_case import check
from bncheck.inputs.recipes import Recipe
from bncheck.layers import LAYERS
from bncheck.report import csv as table
from bncheck.report import github, junit, targets, text
from bncheck.report import json as document
from bncheck.results import Examination, TargetReport
from bncheck.tolerances.verdicts import Verdict

HONEST, WRONG, NAN = (str(ZOO / name) for name in ("honest.py", "eps_outside.py", "hostile/returns_nan.py"))
NOT_REDUCED = str(ZOO / "hostile" / "not_reduced.py")
CASE = "NC:N:C/6x2/float64/1e-05/ordinary/random/affine/1"
ASKED = {
    "layouts": ("NC:N:C", "NCHW:N:CHW"),
    "dtypes": ("float64", "float32", "float16"),
    "modes": ("training", "evaluation"),
    "gradients": ("dx from the answer", "dgamma from the answer", "dbeta from the answer"),
    "conditions": ("ordinary", "large offset", "small variance", "a constant channel"),
}
NOT_ASKED = {
    "evaluation": "no running statistics were found. Give the class running_mean and running_var.",
    "dgamma": "backward returned no array for it. Return (dx, dgamma, dbeta).",
    "float16": "it raised TypeError there. Cast nothing to float64.",
}


@pytest.fixture(scope="module")
def honest() -> TargetReport:
    (report,) = check_target(HONEST)
    return report


@pytest.fixture(scope="module")
def wrong() -> TargetReport:
    (report,) = check_target(WRONG)
    return report


@pytest.fixture(scope="module")
def incomplete(honest: TargetReport) -> TargetReport:
    return replace(honest, verdict=Verdict.INCOMPLETE, asked=ASKED, not_asked=NOT_ASKED)


def lines(report: TargetReport) -> list[str]:
    return targets.one(report).splitlines()


# Words


def test_a_layout_is_explained_where_it_first_stands(honest: TargetReport) -> None:
    shown = lines(honest)
    k = next(k for k, line in enumerate(shown) if "NC:N:C" in line)
    assert shown[k + 1] == "  layout        NC:N:C means axes N,C; one mean covers N; γ has one value per C"


def test_conforms_and_consistent_are_explained_below_the_table(honest: TargetReport) -> None:
    shown = "\n".join(lines(honest))
    assert shown.index("conforms      consistent") < shown.index(
        "  conforms      it is what the layer's definition gives"
    )
    assert "  consistent    it is the gradient of this code's own forward\n" in shown


def test_what_does_not_occur_is_not_explained(honest: TargetReport) -> None:
    alone = replace(honest, gradients={"y": honest.gradients["y"]})
    assert "  consistent    it is" not in targets.one(alone)
    nothing = replace(honest, gradients={}, recognised_as="", verdict=Verdict.CRASHED)
    assert not {"  conforms", "  layout", "  consistent"} & {line[: len("  conforms")] for line in lines(nothing)}


def test_a_case_is_explained_alike() -> None:
    shown = targets.check(check(BUGS["zero"].vjp, Recipe(Layout("NC", "N", "C"), (6, 2)).build(LAYERS["batch_norm"])))
    assert "  conforms      it is" in shown
    assert "consistent    it is" not in shown


def test_the_layout_of_a_counterexample_is_explained() -> None:
    report = verify([LAYERS["batch_norm"]], cases=3, suspects={"mine": BUGS["zero"].vjp}, real_data=False)
    assert "  layout        NC:N:C means axes N,C; one mean covers N; γ has one value per C\n" in text.verification(
        report
    )
    assert "of tolerance  the largest error over" in text.verification(report)


# Shapes and numbers that are none


def test_an_array_of_another_shape_says_its_shape() -> None:
    (report,) = check_target(NOT_REDUCED)
    shown = targets.one(report)
    assert "dgamma has shape (6, 4), expected (4,)" in shown
    assert "nan" not in shown
    worst = json.loads(document.examination(Examination(0, (report,))))["targets"][0]["gradients"]["dgamma"]["worst"]
    assert (worst["shape"], worst["expected_shape"]) == ([6, 4], [4])


def test_a_campaign_says_the_shape_too() -> None:
    def turned(case: Any) -> Any:
        return {"dx": np.zeros(case.x.shape[::-1])}

    report = verify([LAYERS["batch_norm"]], cases=3, suspects={"mine": turned}, real_data=False)
    assert "  shape         (1, 2), expected (2, 1)\n" in text.verification(report)
    assert "dx is wrong: its shape is (1, 2), expected (2, 1)" in junit.verification(report)


def test_an_array_that_is_not_finite_is_not_off_by_nan() -> None:
    (report,) = check_target(NAN)
    assert "y[0, 0] is nan, expected -0.433" in targets.one(report)
    assert "off by nan" not in targets.one(report)


# Several targets


def test_the_table_and_the_reports_use_one_name(wrong: TargetReport, honest: TargetReport) -> None:
    shown = targets.text(Examination(0, (honest, wrong))).splitlines()
    assert shown[1].split() == ["correct", shown[1].split()[1]]
    name = shown[2].split()[1]
    assert f"{name}: wrong" in shown


@pytest.mark.parametrize("long", [False, True])
def test_an_address_that_is_too_long_loses_its_beginning_in_both(wrong: TargetReport, long: bool) -> None:
    named = replace(wrong, target=f"{'folder/' * 20 * long}mine.py:backward")
    name = targets.text(Examination(0, (named, named))).splitlines()[1].split()[1]
    assert lines(named)[0] == f"{name}: wrong"
    assert name.endswith("mine.py:backward")


def test_the_first_three_that_are_not_right_are_told_in_full_and_the_next_named(
    honest: TargetReport, wrong: TargetReport, incomplete: TargetReport
) -> None:
    several = [
        replace(wrong, target=f"f{k}.py:b", reproduce=f"python -m bncheck check f{k}.py:b --seed 3") for k in range(5)
    ]
    partly = replace(incomplete, target="p.py:b", reproduce="python -m bncheck check p.py:b --seed 3")
    shown = targets.text(Examination(3, (honest, partly, *several))).splitlines()
    assert [line for line in shown if line.endswith(": wrong") and line.startswith("f")] == [
        "f0.py:b: wrong", "f1.py:b: wrong", "f2.py:b: wrong",
    ]  # fmt: skip
    assert shown[-2] == "3 more are not right; the next in full:"
    assert shown[-1] == "python -m bncheck check f3.py:b f4.py:b p.py:b --seed 3"


def test_those_that_are_right_are_rows_only(honest: TargetReport) -> None:
    assert targets.text(Examination(0, (honest, honest))).endswith("\n2 targets: 2 correct\nverdict: correct\n")


def test_an_unknown_bug_is_told_in_words() -> None:
    (report,) = check_target(NAN)
    assert targets.finding(report) == "y is not finite"


# What was asked, and what was not


def test_asked_is_two_lines_and_each_that_was_not_a_line(incomplete: TargetReport) -> None:
    shown = lines(incomplete)
    k = next(k for k, line in enumerate(shown) if line.startswith("  asked"))
    assert shown[k + 1].startswith(" " * 16)
    assert shown[k + 2].startswith("  not asked     evaluation: no running statistics were found. Give")
    assert any(line.startswith("                dgamma: backward returned") for line in shown)
    joined = " ".join(" ".join(shown[k : k + 2]).split())
    assert joined.startswith("asked layouts NC:N:C, NCHW:N:CHW; float64, float32, float16; training, evaluation; ")
    assert joined.endswith("4 conditions")
    assert max(map(len, shown)) <= text.WIDTH or "python -m" in max(shown, key=len)


def test_a_short_list_of_what_was_asked_is_whole(incomplete: TargetReport) -> None:
    shown = targets.one(replace(incomplete, asked={"layouts": ("NC:N:C",), "modes": ("training",), "dtypes": ()}))
    assert "  asked         layouts NC:N:C; training\n" in shown


@pytest.mark.parametrize("bugs", [0, 1, 2, 12])
@pytest.mark.parametrize("unasked", [0, 1, 3, 12])
def test_the_screen_holds_it_all(wrong: TargetReport, bugs: int, unasked: int) -> None:
    why = "a reason that takes more than a line to tell, since there is so much to it. And what to do about it."
    full = replace(
        wrong,
        diagnosis=(wrong.diagnosis * 6)[:bugs],
        asked=ASKED,
        not_asked={f"number {k}": why for k in range(unasked)},
        detail="It does something else besides, which is worth another line or even two of them, all in all.",
        gradients={**wrong.gradients, **{f"{n} evaluated": f for n, f in wrong.gradients.items()}},
    )
    shown = lines(full)
    assert len(shown) <= targets.SCREEN
    assert all(len(line) <= text.WIDTH for line in shown if "python -m" not in line)
    assert unasked == 0 or "not asked     number 0: a reason" in "\n".join(shown)


def test_incomplete_is_taken_for_no_success(incomplete: TargetReport, honest: TargetReport) -> None:
    examination = Examination(0, (honest, incomplete))
    assert examination.verdict is Verdict.INCOMPLETE
    words = "evaluation not asked: no running statistics were found."
    assert words in targets.text(examination)
    (suite,) = ElementTree.fromstring(junit.examination(examination))
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "0")
    assert words in str(suite.findall("testcase/failure")[0].get("message"))
    assert github.examination(examination).startswith("::error ")
    unfinished = replace(honest, verdict=Verdict.UNFINISHED)
    (suite,) = ElementTree.fromstring(junit.examination(Examination(0, (unfinished,))))
    assert suite.get("failures") == "1"
    rows = list(csv.DictReader(io.StringIO(table.examination(examination))))
    assert rows[0]["not_asked"] == ""
    assert rows[1]["not_asked"].startswith("evaluation: no running statistics")
    assert rows[1]["asked"].startswith("layouts: NC:N:C, NCHW:N:CHW | dtypes: float64, float32, float16 | ")
    found = json.loads(document.examination(examination))["targets"][1]
    assert found["not_asked"] == NOT_ASKED
    assert found["asked"]["modes"] == ["training", "evaluation"]


# Again


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({}, ""),
        ({"seed": 3, "dtypes": ("float32", "float64")}, " --dtype float32 --dtype float64 --seed 3"),
        ({"layer": "batch_norm", "layout": Layout("NC", "N", "C")}, " --layer batch_norm --layout NC:N:C"),
        (
            {"style": "a pair", "time_limit": 7.5, "memory_limit": 3 << 30},
            " --style 'a pair' --time-limit 7.5 --memory-limit 3072",
        ),
        ({"case": Recipe.parse(CASE)}, f" --case {CASE}"),
    ],
)
def test_reproduce_repeats_every_option_that_mattered(
    options: dict[str, Any], flags: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (report,) = check_target(HONEST, **options)
    assert report.reproduce == f"python -m bncheck check {HONEST}:forward+backward{flags}"
    run(shlex.split(report.reproduce)[3:])
    assert capsys.readouterr().out == targets.one(report)


def test_a_target_that_cannot_be_run_is_reproduced_alike(tmp_path: Path) -> None:
    (tmp_path / "my file.py").write_text("1/0")
    (report,) = check_target(str(tmp_path / "my file.py"), time_limit=3, seed=1)
    assert report.reproduce == command([str(tmp_path / "my file.py")], {"seed": 1, "time-limit": "3"})
    assert "'" in report.reproduce


@pytest.mark.slow
def test_several_files_come_in_their_order_whatever_the_jobs() -> None:
    files = [WRONG, HONEST, NAN]
    assert targets.text(examine_all(files, jobs=3)) == targets.text(examine_all(files))
