"""The text report fits one screen, says why in words, and leaves nothing behind that a terminal would trip over."""

import re
from typing import Any

import numpy as np
import pytest

from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import correct
from bncheck.campaign.run import verify
from bncheck.case import Case
from bncheck.layers import LAYERS
from bncheck.oracles.symbolic.proof import Proof, ProofStep
from bncheck.outcomes import Outcome
from bncheck.report import text
from bncheck.results import Counterexample, LayerReport, Report, Result, Tally
from bncheck.tolerances.verdicts import Comparison, Verdict


def raising(case: Case) -> Any:
    raise ValueError("a long and\nwinding\x1b[31m story " * 30)


@pytest.fixture(scope="module")
def failing() -> str:
    suspects = {"mine": BUGS["mean-path-missing"].vjp, "my.very.long.module.name.of.a.right.suspect": correct}
    return text.verification(verify((LAYERS["batch_norm"],), cases=20, suspects=suspects, real_data=False))


@pytest.fixture(scope="module")
def crashing() -> str:
    return text.verification(verify((LAYERS["batch_norm"],), cases=4, suspects={"mine": raising}, real_data=False))


def result(**tallies: Tally) -> Result:
    return Result(3, 1, 1, tallies, {"zero": 3, "ddof": 2}, ())


def report(results: Result, proof: Proof | None = None) -> Report:
    layer = LayerReport("batch_norm", proof or Proof("batch_norm", ()), {"i": "N", "c": "C"}, results, ())
    return Report("0.1.0", 0, (layer,))


def test_failing_report_fits_one_screen(failing: str, crashing: str) -> None:
    for shown in (failing, crashing):
        lines = shown.splitlines()
        assert len(lines) <= 40
        assert max(map(len, lines)) <= 80
        assert not [line for line in lines if line.endswith(" ")]
        assert shown.replace("\n", "").isprintable()


def test_failure_tells_what_was_got_expected_and_allowed(failing: str) -> None:
    told = dict(re.findall(r"^  ([a-z]+) {2,}(.*)$", failing, re.MULTILINE))
    assert "mine: dx is wrong on the smallest case found\n" in failing
    assert re.fullmatch(r"dx\[\d, \d\]", told["element"])
    assert float(told["got"]) != float(told["expected"].partition(",")[0])
    assert re.fullmatch(r"\S+, which is \S+ times the largest dx, \S+ ulp", told["error"])
    assert re.fullmatch(r"\S+, the most that rounding in float64 can do here", told["tolerance"])
    command = re.sub(r" \\\n +", " ", failing.partition("  reproduce     ")[2].partition("\n\n")[0])
    assert re.fullmatch(r"python -m bncheck verify --layer batch_norm --case NC:N:C/2x1/float64/\S+", command)
    assert failing.endswith("\nverdict: wrong\n")


def test_arrays_are_shown_to_the_last_digit(failing: str) -> None:
    shown = re.search(r"^  x +(\[.*\])$", failing, re.MULTILINE)
    assert shown
    x = np.array(re.findall(r"-?[\d.e-]+", shown[1]), dtype=float)
    assert x.size == 2
    assert all(repr(float(value)) in shown[1] for value in x)


def test_long_names_are_cut_at_the_front(failing: str) -> None:
    assert re.search(r"^  …[a-z.]{34}  correct ", failing, re.MULTILINE)


def test_crash_shows_its_exception_without_figures(crashing: str) -> None:
    assert "mine crashed on the smallest case found\n  raised        ValueError: a long and winding" in crashing
    assert re.search(r"^  mine +crashed +4 +- +-$", crashing, re.MULTILINE)


def test_words_are_explained_where_they_occur() -> None:
    def explained(results: Result) -> list[str]:
        return re.findall(r"^([a-z][a-z ]+?) {2,}\S", text.verification(report(results)), re.MULTILINE)

    every = result(graph=Tally(Verdict.UNSTABLE, cases=3))
    assert explained(every) == ["vacuous", "inconclusive", "unstable", "of tolerance"]
    assert explained(Result(3, 0, 0, {"graph": Tally(Verdict.CORRECT, cases=3)})) == ["of tolerance"]


def test_planted_bugs_name_what_was_missed() -> None:
    caught = result(graph=Tally(Verdict.CORRECT, cases=3))
    assert "planted bugs  2 of 2 caught, the rarest (ddof) 2 times\n" in text.verification(report(caught))
    one = Result(3, tallies=caught.tallies, revealed={"zero": 3, "ddof": 0})
    assert "planted bugs  1 of 2 caught; missed: ddof, the backward pass divides by m - 1\n" in text.verification(
        report(one)
    )


def test_failed_proof_says_where() -> None:
    failed = Proof("batch_norm", (ProofStep("dvar", "chain rule = derivative", Outcome.REFUTED),))
    shown = text.verification(report(result(), failed))
    assert "not proved    chain rule = derivative fails for dvar\n" in shown
    assert shown.endswith("verdict: wrong\n")


@pytest.mark.slow
def test_other_layers_take_a_line_where_one_fails() -> None:
    suspects = {"mine": lambda case: BUGS["ddof"].vjp(case) if len(case.layout.axes) == 3 else correct(case)}
    layers = [LAYERS[name] for name in ("layer_norm", "group_norm", "batch_norm")]
    shown = text.verification(verify(layers, cases=6, suspects=suspects, real_data=False))
    lines = shown.splitlines()
    assert len(lines) <= 40
    assert sum(line.startswith("  oracle or suspect") for line in lines) == 1
    assert {line.split()[0] for line in lines[1:3]} <= {"layer_norm", "group_norm", "batch_norm"}
    assert re.match(r"^\w+ +(wrong|correct) +yes +\d of 6 +\d+ of \d+ +[\d.e+]+$", lines[1])
    assert shown.endswith("verdict: wrong\n")


def test_passing_layers_are_all_shown_in_full() -> None:
    layers = [LAYERS["layer_norm"], LAYERS["rms_norm"]]
    shown = text.verification(verify(layers, cases=4, real_data=False))
    assert shown.count("  oracle or suspect") == 2
    assert shown.startswith("layer_norm\n  proof         for every N, K: chain rule")


def test_known_findings_are_told_in_words() -> None:
    name = "flax.nnx.BatchNorm, two-pass"
    found = Result(5, tallies={"graph": Tally(Verdict.CORRECT, cases=5)}, known={(name, "its backward underflows"): 3})
    shown = " ".join(text.verification(report(found)).split())
    assert f"known {name}, on 3 of the cases: its backward underflows" in shown


def test_colour_is_only_in_the_escapes() -> None:
    found = report(result(graph=Tally(Verdict.CORRECT, cases=3)))
    coloured = text.verification(found, colour=True)
    assert "\x1b[32mcorrect" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == text.verification(found)


def test_large_arrays_are_summed_up_and_paths_are_quoted() -> None:
    wrong = Comparison(Verdict.WRONG, (0, 0), 1.0, 2.0, 1.0, 0.1, 0.5, 1e15, 10.0)
    arrays = {"x": np.ones((16, 64), np.float32), "dy": np.ones((16, 64), np.float32)}
    found = Counterexample("my file.py:f", "graph", "dx", "digits/float32", wrong, arrays=arrays)
    results = Result(1, tallies={"graph": Tally(Verdict.WRONG, cases=1)}, failures=(found,))
    shown = text.verification(report(results))
    assert "  x             float32 (16, 64), 1 to 1; whole with --format json\n" in shown
    assert "  reproduce     python -m bncheck verify --layer 'my file.py:f' --seed 0\n" in shown


def test_doctor_lines_up() -> None:
    lines = text.doctor({"font": "none"}).splitlines()
    names = [line.split()[0] for line in lines]
    assert names[:2] == ["bncheck", "Python"]
    assert {"numpy", "sympy", "matplotlib", "hypothesis", "torch"} < set(names)
    assert names[-1] == "font"
    assert len({re.match(r"\S+ +", line).end() for line in lines}) == 1  # type: ignore[union-attr]
