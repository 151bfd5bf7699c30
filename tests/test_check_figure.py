"""What check has found wrong, drawn: the very numbers, beside the right ones, and a mark where the bug is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bncheck import LAYERS, Case, Layer
from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.diagnose import diagnose
from bncheck.case import Layout
from bncheck.cli import run
from bncheck.examination.examine import examine
from bncheck.examination.one_case import check
from bncheck.examination.subjects import Given
from bncheck.figures.studio.computation import computation
from bncheck.figures.studio.finding import Suspicion, apart, drawn, illustrated, marked, pages, where
from bncheck.figures.studio.look import PRESETS, Look
from bncheck.figures.studio.structure import flaws
from bncheck.inputs.probes import probes
from bncheck.oracles import ball, graph
from bncheck.results import Examination
from bncheck.tolerances.bounds import tolerance

BATCH_NORM = LAYERS["batch_norm"]
FLAT, IMAGES = Layout("NC", "N", "C"), Layout("NCHW", "NHW", "C")
MINE = """
import numpy as np


class Mine:
    def __init__(self, gamma, beta, eps=1e-5):
        self.gamma, self.beta, self.eps = gamma, beta, eps

    def forward(self, x):
        n, d = x.shape
        self.inv = 1 / np.sqrt(x.var(0) + self.eps)
        self.xhat = (x - x.mean(0)) * self.inv
        return self.gamma * self.xhat + self.beta

    def backward(self, dy):
        self.dgamma, self.dbeta = (dy * self.xhat).sum(0), dy.sum(0)
        g = dy * self.gamma
        return self.inv * ({})
"""
RIGHT, WRONG = "g - g.mean(0) - self.xhat * (g * self.xhat).mean(0)", "g - self.xhat * (g * self.xhat).mean(0)"


def named(layer: Layer, layout: Layout, name: str) -> tuple[set[str], set[tuple[str, str]]]:
    """Where a planted bug is marked, in the letters of the graph."""
    found = computation(layer, layout)
    cases = probes(layer, layout)
    (bug, *_) = diagnose(layer, lambda case: BUGS[name].vjp(case, layer), cases)
    place = where(found, bug)
    typed = {node: formula.typed for node, formula in found.formulas.items()}
    return {typed[node] for node in place.framed}, {(typed[tail], typed[head]) for tail, head in place.ways}


@pytest.mark.parametrize("layout", [FLAT, IMAGES], ids=str)
@pytest.mark.parametrize(
    ("name", "framed", "ways"),
    [
        ("mean-path-missing", set(), {("x", "μ")}),
        ("variance-path-missing", set(), {("x", "x − μ"), ("x − μ", "(x − μ)²"), ("(x − μ)²", "σ²")}),
        ("gamma-missing", {"x̂"}, set()),
        ("mean-path-own-sample", set(), {("μ", "x − μ"), ("x − μ", "x̂")}),
        ("dgamma-not-xhat", {"γ"}, set()),
        ("eps-outside-sqrt", {"s"}, set()),
    ],
)
def test_the_mark_is_where_the_bug_is(layout: Layout, name: str, framed: set[str], ways: set[tuple[str, str]]) -> None:
    assert named(BATCH_NORM, layout, name) == (framed, ways)


def test_a_term_in_the_right_place_is_not_marked() -> None:
    assert named(BATCH_NORM, FLAT, "mean-path-missing")[1] != named(BATCH_NORM, FLAT, "variance-path-missing")[1]
    assert where(computation(BATCH_NORM), None) == ((), ())


def suspicion(name: str, layout: Layout, layer: Layer = BATCH_NORM) -> Suspicion:
    case = probes(layer, layout)[0]
    return suspected(case, BUGS[name].vjp(case, layer), layer)


def suspected(case: Case, answer: Any, layer: Layer = BATCH_NORM) -> Suspicion:
    return Suspicion(layer, case, check(lambda _: answer, case, layer=layer))


@pytest.mark.parametrize("layout", [FLAT, IMAGES], ids=str)
@pytest.mark.parametrize("name", ["mean-path-missing", "variance-path-missing", "ddof", "dgamma-not-xhat", "zero"])
def test_the_numbers_are_those_returned_and_those_of_another_oracle(name: str, layout: Layout) -> None:
    doubt = suspicion(name, layout)
    truth, got = ball.vjp(BATCH_NORM, doubt.case), BUGS[name].vjp(doubt.case)
    vertices = {
        v.key: v for v in marked(computation(BATCH_NORM, layout), doubt, where(computation(BATCH_NORM), None)).vertices
    }
    wrong = {n for n in got if np.abs(got[n] - truth[n].value).max() > 1e-12}
    assert wrong == set(doubt.failing)
    for key, array in {"x": "dx", "gamma": "dgamma", "beta": "dbeta", "y": "y"}.items():
        if array not in wrong:
            assert (vertices[key].signs, vertices[key].values) == (("✓",), ()), key
            continue
        assert (vertices[key].signs, vertices[key].role) == (("✓", "✗"), "wrong")
        places = doubt.places(array)
        for texts, numbers in ((vertices[key].values, truth[array].value), (vertices[key].gradients, got[array])):
            shown = [float(text.replace("−", "-")) for text in texts]
            last = 10.0 ** -len(texts[0].partition(".")[2])
            np.testing.assert_allclose(shown, [numbers[at] for at in places], atol=0.51 * last, rtol=0)
        assert vertices[key].values != vertices[key].gradients


@pytest.mark.parametrize(("layout", "count"), [(FLAT, 6), (IMAGES, 8)], ids=["all", "some"])
def test_elements_are_of_the_group_with_the_worst(layout: Layout, count: int) -> None:
    doubt = suspicion("mean-path-missing", layout)
    off = np.abs(doubt.answer["dx"] - doubt.right["dx"])
    assert len(doubt.elements) == count
    assert {at[1] for at in doubt.elements} == {doubt.worst("dx")[1]}
    assert doubt.worst("dx") in doubt.elements
    assert off[doubt.worst("dx")] > 0.1 * off.max()
    assert doubt.elements == sorted(doubt.elements)


def test_a_wrong_element_elsewhere_is_shown() -> None:
    """The only wrong one of dγ is of another channel than the worst of dx."""
    case = probes(BATCH_NORM, FLAT)[0]
    answer = {name: np.array(value) for name, value in BUGS["mean-path-missing"].vjp(case).items()}
    channel = suspected(case, answer).worst("dx")[1]
    other = (channel + 1) % case.x.shape[1]
    answer["dgamma"][other] += 1
    assert suspected(case, answer).places("dgamma") == [(other,)]
    answer["dgamma"][channel] += 1
    assert suspected(case, answer).places("dgamma") == [(channel,)]


def test_what_has_another_shape_has_no_numbers() -> None:
    case = probes(BATCH_NORM, FLAT)[0]
    doubt = suspected(case, {**BUGS["zero"].vjp(case), "dgamma": np.zeros((1, 4)), "dx": np.zeros(3)})
    page = drawn("mine.py:Norm", doubt, None)
    assert flaws(page) == []
    vertices = {v.key: v for v in marked(computation(BATCH_NORM), doubt, where(computation(BATCH_NORM), None)).vertices}
    assert (vertices["x"].signs, vertices["x"].values) == (("✗",), ())
    assert vertices["gamma"].signs == ("✗",)


@pytest.mark.parametrize(("share", "expected"), [(1.5, ()), (2.5, ("dx",))])
def test_what_was_judged_right_is_not_marked_wrong(share: float, expected: tuple[str, ...]) -> None:
    """Within the tolerances of the answer and of the truth together, and outside."""
    case = probes(BATCH_NORM, FLAT)[0]
    allowed = tolerance(BATCH_NORM, case)
    answer = {name: radius.midpoint + share * radius.radius * (name == "dx") for name, radius in allowed.items()}
    assert suspected(case, answer).failing == expected


def test_numbers_are_apart() -> None:
    assert apart([1.0, 2.0], [1.0, 2.00001], 1) == (("1.00000", "2.00000"), ("1.00000", "2.00001"))
    assert apart([1e-9, 0.0], [float("nan"), float("inf")], 0) == (("1.00e−9", "0.00e0"), ("nan", "inf"))
    assert apart([1e20], [1.001e20], 0) == (("1.000e20",), ("1.001e20",))


def examined(name: str) -> Examination:
    return Examination(0, (examine(Given(BUGS[name].vjp, (FLAT,)), BATCH_NORM),))


def test_a_right_target_is_not_drawn(tmp_path: Path) -> None:
    right = Examination(0, (examine(Given(graph_vjp, (FLAT,)), BATCH_NORM),))
    assert illustrated(right, tmp_path).reports[0].figures == ()
    assert [*tmp_path.iterdir()] == []
    assert len(illustrated(examined("mean-path-missing"), tmp_path).reports[0].figures) == 1


def graph_vjp(case: Case) -> Any:
    return graph.vjp(BATCH_NORM, case)


def test_the_case_is_the_one_that_the_report_names() -> None:
    """A target that is right on the first cases, and wrong where there are more samples."""

    def vjp(case: Case) -> Any:
        return graph.vjp(BATCH_NORM, case) if len(case.x) <= 6 else BUGS["zero"].vjp(case)

    report = examine(Given(vjp, (FLAT,)), BATCH_NORM)
    assert report.witness is not None
    case, found = report.witness
    finding = report.gradients["dx"]
    assert (case.origin, str(case.dtype)) == (finding.case, finding.dtype)
    assert len(case.x) > 6
    assert found.answer["dx"][finding.worst.index] == finding.worst.got


def test_two_targets_of_one_name_have_two_files(tmp_path: Path) -> None:
    (report,) = examined("zero").reports
    twice = illustrated(Examination(0, (report, report)), tmp_path)
    names = [Path(path).name for one in twice.reports for path in one.figures]
    assert len({*names}) == len(names) == 2


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ["variance-path-missing", "dgamma-not-xhat", "ddof-forward"])
def test_nothing_leaves_its_place(name: str, preset: str) -> None:
    (report,) = examined(name).reports
    for theme, lang in (("light", "en"), ("dark", "zh")):
        for _, page in pages(report, Look(preset, theme, lang)):
            assert flaws(page) == []


def test_check_draws_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, returned in (("right", RIGHT), ("wrong", WRONG)):
        (tmp_path / f"{name}.py").write_text(MINE.format(returned))
    targets = [str(tmp_path / f"{name}.py") for name in ("right", "wrong")]
    out = tmp_path / "drawn" / "there"
    assert run(["check", *targets, "--figure", str(out), "--format", "json", "--jobs", "1"]) == 1
    report = json.loads(capsys.readouterr().out)
    drawing = out / "wrong-Mine-mean-path-missing.svg"
    assert [target.get("figures") for target in report["targets"]] == [None, [str(drawing)]]
    assert [*out.iterdir()] == [drawing]
    before = drawing.read_bytes()
    assert "The path through the mean is missing." in before.decode()
    assert run(["check", targets[1], "--figure", str(out)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert f"figure: {drawing}" in said
    assert drawing.read_bytes() == before
    assert run(["check", targets[0], "--figure", str(out)]) == 0
    assert "figure" not in capsys.readouterr().out


def test_what_cannot_be_drawn_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """dγ is made of the first batch for ever: wrong from the second call on, of which no answer is kept."""
    first = "self.first = getattr(self, 'first', self.xhat)\n        self.dgamma, self.dbeta = (dy * self.first)"
    code = MINE.format(RIGHT).replace("self.dgamma, self.dbeta = (dy * self.xhat)", first)
    (tmp_path / "first.py").write_text(code)
    assert run(["check", str(tmp_path / "first.py"), "--figure", str(tmp_path / "drawn")]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith(f"bncheck: no figure of {tmp_path / 'first.py'}:Mine: what is wrong does not show in")
    assert "figure:" not in shown.out
    assert [*(tmp_path / "drawn").iterdir()] == []


def test_a_folder_that_cannot_be_written_is_refused_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert run(["check", str(tmp_path / "mine.py"), "--figure", str(tmp_path / "file")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("bncheck: figure=")
    assert "expected a folder that can be written" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "ran").exists()
