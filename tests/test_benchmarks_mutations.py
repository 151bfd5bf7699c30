"""The score of the checker is honest: the mutator changes what it says, and the judge needs no checker."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # the benchmarks are not part of the package, so they are imported below this line

from benchmarks import mutations  # noqa: E402
from benchmarks.mutations import __main__ as listing  # noqa: E402
from benchmarks.mutations import reproduced  # noqa: E402
from benchmarks.mutations.calls import FOLDER, Source, sources  # noqa: E402
from benchmarks.mutations.changes import mutants  # noqa: E402
from benchmarks.mutations.judge import Judgement, Kind, judge, trials  # noqa: E402
from benchmarks.mutations.score import BROKE, Outcome, Work, scored  # noqa: E402
from benchmarks.result import Effort  # noqa: E402
from bncheck.case import Vjp  # noqa: E402
from bncheck.layers import Layer  # noqa: E402
from bncheck.oracles import symbolic  # noqa: E402
from bncheck.results import TargetReport  # noqa: E402
from bncheck.tolerances.verdicts import Verdict  # noqa: E402

SOURCES = sources()
IN_NUMPY = [name for name, source in SOURCES.items() if source.arrays == "numpy"]


def changed(name: str, before: str, after: str) -> tuple[Source, str]:
    """A source, and its text with one place changed."""
    source = SOURCES[name]
    assert source.text.count(before) == 1, before
    return source, source.text.replace(before, after)


@pytest.mark.parametrize(
    ("line", "kind", "after"),
    [
        ("y = a / b", "operator", ["a + b", "a - b", "a * b"]),
        ("y = a * 2", "operator", ["a + 2", "a - 2", "a / 2", "a ** 2"]),
        ("y = a ** 2", "exponent dropped", ["a"]),
        ("y = f(-a)", "sign", ["-f(-a)", "f(a)"]),
        ("y = a * b", "factor dropped", ["a", "b"]),
        ("y = a / b", "factor dropped", ["a", "1 / b"]),
        ("y = a - b", "term dropped", ["a", "-b"]),
        ("y = f(3)", "constant", ["f(4)", "f(2)", "f(0)", "f(1)", "f(6)", "f(-3)"]),
        ("y = 0.5 * a", "constant", ["1.5 * a", "-0.5 * a", "0 * a", "1 * a", "0.25 * a"]),
        ("y = f(-1)", "constant", ["f(0)", "f(-2)", "f(1)"]),
        ("y = a.sum(axis=0)", "axis", ["a.sum(axis=None)"]),
        ("y = a.sum(axis=(0, 2))", "axis", ["a.sum(axis=(2,))", "a.sum(axis=(0,))"]),
        ("y = a.sum(axis=0)", "axis dropped", ["a.sum()"]),
        ("y = a.mean(0, keepdims=True)", "flag", ["a.mean(0, keepdims=False)"]),
        ("y = a.mean(0, keepdims=True)", "keepdims dropped", ["a.mean(0)"]),
        ("y = np.sum(a, 0)", "reduction", ["np.mean(a, 0)"]),
        ("y = a.var(0)", "reduction", ["a.std(0)"]),
        ("y = np.sqrt(a)", "call dropped", ["a"]),
        ("y = a.mean(0)", "call dropped", ["a"]),
        ("y = (a, b, c)", "order", ["(b, a, c)", "(c, b, a)", "(a, c, b)"]),
        ("y = np.einsum('n->', a)", "letter", ["np.einsum('->', a)"]),
        ("y = a.T", "transpose dropped", ["a"]),
    ],
)
def test_each_kind_of_change_is_made(line: str, kind: str, after: list[str]) -> None:
    made = [mutant.after for mutant in mutants("one", line) if mutant.kind == kind]
    assert made == [f"y = {value}" for value in after]


def test_a_name_is_exchanged_for_each_other_of_its_function_and_of_its_object() -> None:
    text = "class A:\n    def f(self, x):\n        self.c = x\n        s = x\n        return s\n"
    made = [m.after for m in mutants("one", text, None) if m.kind == "name" and m.before == "return s"]
    assert made == ["return self.c", "return x"]
    assert len([m for m in mutants("one", text, 1) if m.kind == "name" and m.before == "return s"]) == 1


@pytest.mark.parametrize("name", SOURCES)
def test_mutants_are_one_line_off_and_the_same_each_time(name: str) -> None:
    made = mutants(name, SOURCES[name].text)
    assert made == mutants(name, SOURCES[name].text)
    assert len({mutant.id for mutant in made}) == len(made) > 100
    for mutant in made:
        assert mutant.before != mutant.after
        compile(mutant.text, name, "exec")


def test_a_mutant_is_read_at_a_glance() -> None:
    (mutant,) = [m for m in mutants("one", "import a\n\ny = a.T") if m.kind == "transpose dropped"]
    assert str(mutant) == f"{mutant.id} line 3, transpose dropped: y = a.T  →  y = a"
    assert mutant.id.startswith("one/")


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_as_it_is_is_right_for_judge_and_checker(name: str) -> None:
    if SOURCES[name].arrays != "numpy":
        pytest.importorskip(SOURCES[name].arrays)
    outcome = scored(Work(FOLDER, name))
    assert (outcome.judgement, outcome.verdict) == (Judgement(Kind.EQUIVALENT), Verdict.CORRECT)


@pytest.mark.parametrize(
    ("name", "before", "after", "kind", "why"),
    [
        ("paper_class", " + dvar * np.mean(-2 * x_mu, axis=0)", "", Kind.EQUIVALENT, ""),
        ("paper_class", "np.mean(-2 * x_mu, axis=0)", "np.mean(-4 * x_mu, axis=0)", Kind.EQUIVALENT, ""),
        ("paper_class", "dvar * 2 * x_mu", "dvar * 4 * x_mu", Kind.WRONG, "dx is off by"),
        ("paper_class", "eps=1e-5", "eps=1e-3", Kind.CONVENTION, "eps 0.001"),
        ("paper_class", "eps=1e-5", "eps=0", Kind.WRONG, "y is off by"),
        ("paper_class", "self.x = x\n", "x -= 1; self.x = x\n", Kind.WRONG, "writes to x"),
        ("paper_class", "m = self.x.shape[0]", "m = self.x.shape[2]", Kind.CRASHED, "raises IndexError"),
        (
            "paper_class",
            "return self.gamma * self.x_norm",
            "return self.gamma",
            Kind.CRASHED,
            "raises ValueError: y of",
        ),
        ("paper_class", "grad * self.x_norm, axis=0)", "grad * self.x_norm)", Kind.WRONG, "dgamma of shape ()"),
        (
            "paper_class",
            "np.sum(grad, axis=0)",
            "np.sum(grad, axis=0, keepdims=True)",
            Kind.CONVENTION,
            "shape of dbeta",
        ),
        ("paper_class", "return dx,", "return dx.astype(float),", Kind.WRONG, "dx in float64, expected float32"),
        ("book_class", "momentum=0.9", "momentum=0.8", Kind.CONVENTION, "new_weight 0.2"),
        ("book_class", "momentum=0.9", "momentum=1.9", Kind.WRONG, "running mean"),
        ("book_class", "(1 - self.momentum) * mu", "(2 - self.momentum) * mu", Kind.WRONG, "running mean"),
        ("book_class", "std = np.sqrt(var + 10e-7)", "std = np.sqrt(var + 9e-7)", Kind.WRONG, "y in evaluation"),
        ("running_pair", " * m / (m - 1)", "", Kind.CONVENTION, "running_variance biased"),
        ("running_pair", " * m / (m - 1)", " * m / (m + 1)", Kind.WRONG, "running variance"),
        ("university", "running_mean = np.zeros(", "running_mean = np.ones(", Kind.CONVENTION, "start of mean [1.0]"),
        ("university", "running_var = np.ones(", "running_var = -np.ones(", Kind.WRONG, "starts below zero"),
        ("running_pair", 'if mode != "train"', 'if mode == "train"', Kind.CRASHED, "raises"),
    ],
)
def test_the_judge_knows_what_a_change_did(name: str, before: str, after: str, kind: Kind, why: str) -> None:
    judgement = judge(*changed(name, before, after))
    assert judgement.kind is kind, judgement
    assert why in judgement.why


def test_the_judge_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.mutations.judge.SECONDS", 0.2)
    source, text = changed("rms_class", "d = self.x.shape[-1]", "d = self.x.shape[-1]\n        while True: pass")
    assert judge(source, text) == Judgement(Kind.CRASHED, "no answer within 0.2 s")


def test_a_mutant_is_judged_checked_and_told_about() -> None:
    source = SOURCES["closed_pair"]
    (mutant,) = [m for m in mutants(source.name, source.text) if m.after.endswith("return (dx, -dgamma, dbeta)")]
    outcome = scored(Work(FOLDER, source.name, mutant))
    assert outcome.wrong
    assert outcome.caught
    told = str(outcome).splitlines()
    assert told[0] == str(mutant)
    assert told[2].startswith("    check: wrong, ")


def test_a_diagnosis_is_right_if_it_reproduces_the_answers_on_new_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    report = TargetReport("", "", "", Verdict.WRONG, observations={"new_weight": 0.1})

    def is_right(source: Source, code: str) -> bool:
        return reproduced.reproduced(source, code, report)

    def reproduction(layer: Layer, diagnosis: object) -> Vjp:
        return lambda case: symbolic.vjp(layer, case)

    monkeypatch.setattr(reproduced, "reproduction", reproduction)  # of any diagnosis: the layer without a bug
    for name in ("closed_pair", "book_class"):
        assert is_right(SOURCES[name], SOURCES[name].text) is True
    assert is_right(*changed("closed_pair", "(m * dx_hat -", "(1.001 * m * dx_hat -")) is False
    assert is_right(*changed("closed_pair", "m = dout.shape[0]", "m = dout.shape[2]")) is False
    assert is_right(*changed("book_class", "(1 - self.momentum) * mu", "(2 - self.momentum) * mu")) is False
    assert is_right(*changed("book_class", "xc = x - self.running_mean", "xc = x")) is False
    monkeypatch.setattr(reproduced, "reproduction", lambda *_: None)
    assert is_right(SOURCES["closed_pair"], SOURCES["closed_pair"].text) is False


@pytest.mark.parametrize("name", IN_NUMPY)
def test_cases_of_a_reproduction_are_new(name: str) -> None:
    judged = {trial.case.x.shape for trial in trials(SOURCES[name], by_default=False)}
    assert judged.isdisjoint(case.x.shape for case in reproduced.fresh(SOURCES[name], SOURCES[name].layouts))


WORK = Work(FOLDER, "rms_class", mutants("rms_class", SOURCES["rms_class"].text)[0])
CAUGHT = Outcome(WORK, Judgement(Kind.WRONG), Verdict.WRONG, ("zero",), rightly=True)
RIGHT = Outcome(replace(WORK, mutant=None), Judgement(Kind.EQUIVALENT), Verdict.CORRECT, ())


def met(*outcomes: Outcome) -> list[bool]:
    """Which requirements these outcomes meet: caught, crashes included, named rightly, none accused, none broke."""
    return [requirement.met for requirement in mutations.required(outcomes)]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (CAUGHT, [True, True, True, True, True]),
        (replace(CAUGHT, verdict=Verdict.CORRECT, diagnosis=(), rightly=False), [False, False, False, True, True]),
        (replace(CAUGHT, diagnosis=("unknown",), rightly=False), [True, True, False, True, True]),
        (replace(CAUGHT, rightly=False), [True, True, False, True, True]),
        (replace(CAUGHT, judgement=Judgement(Kind.CRASHED), verdict=Verdict.CORRECT), [True, False, True, True, True]),
        (replace(CAUGHT, judgement=Judgement(Kind.CONVENTION)), [True, True, True, False, True]),
        (replace(RIGHT, verdict=Verdict.WRONG), [True, True, True, False, True]),
        (replace(RIGHT, verdict=Verdict.INCONCLUSIVE), [True, True, True, False, True]),
        (replace(RIGHT, work=WORK, detail=f"{BROKE} ValueError: x"), [True, True, True, True, False]),
    ],
)
def test_the_requirements_see_what_goes_wrong(outcome: Outcome, expected: list[bool]) -> None:
    assert met(RIGHT, CAUGHT, outcome) == expected


def test_a_row_counts_kinds_and_shares_of_the_wrong() -> None:
    unknown = replace(CAUGHT, diagnosis=("unknown",), rightly=False)
    table = mutations.by_source([RIGHT, CAUGHT, unknown, replace(RIGHT, work=WORK)], most=3)
    assert table.rows[0] == ("rms class", "3", "1", "0", "0", "2", "100", "50.0", "50.0")
    assert table.rows[-1][1:] == table.rows[0][1:]
    assert "3 drawn" in table.notes


@pytest.mark.slow
def test_another_folder_is_scored_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(FOLDER / "rms_class.py", tmp_path / "mine.py")
    table = (FOLDER / "calls.toml").read_text(encoding="utf-8")
    row = table.partition("[rms_class]")[2].partition("\n[")[0]
    (tmp_path / "calls.toml").write_text(f"[mine]{row}", encoding="utf-8")
    assert listing.main(["--folder", str(tmp_path), "--most", "2", "--list-all"]) == 0
    printed = capsys.readouterr().out
    assert "| mine " in printed
    assert printed.count("\nall: mine/") == 2
    assert printed.startswith("all: mine as it is\n    equivalent\n    check: correct, no diagnosis\n")
    with pytest.raises(SystemExit):
        listing.main(["--folder", str(tmp_path), "rms_class"])
    assert "SOURCE=rms_class, expected one of mine" in capsys.readouterr().err


def test_one_mutant_can_be_asked_for_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert WORK.mutant is not None
    assert listing.main(["--id", WORK.mutant.id, "--list-all"]) == 0
    assert f"\nall: {WORK.mutant}\n" in capsys.readouterr().out


def test_every_effort_says_how_many_are_drawn() -> None:
    assert set(mutations.SAMPLED) == set(Effort)
