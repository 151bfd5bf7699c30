"""Figures with numbers of one's own: every one found again by another oracle, and on its page."""

import pickle
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import some
from looks import SPOKEN

from bncheck import LAYERS, Case, InvalidInput, draw
from bncheck.case import Array
from bncheck.cli import run
from bncheck.figures import find, graph_three_paths, graph_train_eval, names
from bncheck.figures.studio.computation import computation
from bncheck.figures.studio.group import column, numbered, own_case, powered, small_case, worked
from bncheck.figures.studio.look import Look
from bncheck.figures.studio.rendering import Sheet
from bncheck.figures.studio.structure import flaws
from bncheck.figures.studio.textbook import Arithmetic
from bncheck.inputs.recipes import Recipe
from bncheck.oracles import ball

BATCH_NORM = LAYERS["batch_norm"]
SHOWING = ("graph-check", "graph-sweep", "graph-three-paths", "graph-train-eval", "graph-values")
OWN: dict[str, dict[str, Any]] = {
    "typed": {"x": [1, 2, 3, 4], "dy": [0.5, -1, 0, 2], "gamma": 2, "beta": 0, "eps": 1e-5},
    "offset": {"x": [1e6 + 0.5, 1e6 + 1, 1e6 + 2, 1e6 + 4]},
    "tiny": {"x": [1e-8, -2.5e-8, 3e-8], "gamma": 1.234567},
    "two": {"x": [-1, 2], "dy": [1, 3]},
    "eight": {"x": [-1234.5, 2, 3.25, 0, -5, 6.125, 7, 88], "gamma": -0.123},
    "constant": {"x": [0.1, 0.1, 0.1], "dy": [1, 2, 3]},
    "recipe": {"case": Recipe.parse("NCHW:NHW:C/1x3x2x3/float32/0.001/outliers/random/affine/4")},
}
cases = pytest.mark.parametrize("numbers", OWN.values(), ids=OWN)


def exact(case: Case) -> dict[str, Array]:
    """y and the gradients by the ball oracle, 0 where the ball holds 0."""
    truth = ball.vjp(BATCH_NORM, case)
    return {name: np.where(enclosure.may_be_zero(), 0.0, enclosure.value) for name, enclosure in truth.items()}


@cases
def test_numbers_on_the_nodes(numbers: dict[str, Any]) -> None:
    case = own_case(BATCH_NORM, **numbers)
    shown = {vertex.key: vertex for vertex in numbered(BATCH_NORM, Look(), case).vertices}
    truth = exact(case)
    for name in ("x", "gamma", "beta"):
        assert shown[name].gradients == column(truth[f"d{name}"], 0), name
    assert shown["y"].values == column(truth["y"], 0)
    assert shown["x"].values == column(case.x, 0)
    assert shown["y"].gradients == column(case.dy, 0)
    wrong = truth["dx"] * (1 + 1e-2)
    assert not truth["dx"].any() or shown["x"].gradients != column(wrong, 0), "one in a hundred would show"


@pytest.mark.parametrize(("name", "numbers"), [("layer_norm", {"gamma": [1, 2, 4]}), ("rms_norm", {"gamma": 3})])
def test_parameters_that_vary_in_the_group(name: str, numbers: dict[str, Any]) -> None:
    layer = LAYERS[name]
    case = own_case(layer, x=[1, 2.5, 4], dy=[1, 0, -3], **numbers)
    np.testing.assert_array_equal(case.parameters["gamma"], np.broadcast_to(numbers["gamma"], 3))
    shown = {vertex.key: vertex for vertex in numbered(layer, Look(), case).vertices}
    truth = ball.vjp(layer, case)
    assert shown["gamma"].gradients == column(truth["dgamma"].value)
    assert shown["x"].gradients == column(truth["dx"].value)


def test_what_rounding_leaves_is_nothing_and_what_is_small_is_not() -> None:
    """1e−17 stands for 0 where numbers are of the size of 1, and not where they are as small themselves."""
    constant = worked(computation(BATCH_NORM), own_case(BATCH_NORM, x=[0.1, 0.1, 0.1]))
    assert np.mean([0.1, 0.1, 0.1]) != 0.1, "rounding leaves something"
    assert not constant.value("var").any()
    assert not constant.value("xhat").any()
    tiny = numbered(BATCH_NORM, Look(), own_case(BATCH_NORM, x=[1e-9, 3e-9]))
    assert {vertex.key: vertex.values for vertex in tiny.vertices}["var"] == ("1e−18",)


@pytest.mark.parametrize("name", ["typed", "two", "recipe"])
def test_the_ways_back_add_up_as_written(name: str) -> None:
    case = own_case(BATCH_NORM, **OWN[name])
    found, unit = graph_three_paths.scaled(graph_three_paths.paths(BATCH_NORM, case))
    np.testing.assert_allclose(sum(found.values()) * 10.0**unit, exact(case)["dx"], rtol=1e-9, atol=1e-14)


def test_training_and_evaluation_of_a_case_of_several_axes() -> None:
    case = own_case(BATCH_NORM, **OWN["recipe"])
    step, later = graph_train_eval.training(case), graph_train_eval.evaluation(case)
    np.testing.assert_allclose(step.dx, exact(case)["dx"].ravel(), rtol=1e-12)
    mean, var = case.x.mean() * 0.1, 0.9 + 0.1 * case.x.var(ddof=1)
    np.testing.assert_allclose(step.store, (mean, var), rtol=1e-12)
    gamma = case.parameters["gamma"].item()
    np.testing.assert_allclose(later.dx, (case.dy * gamma / np.sqrt(var + case.eps)).ravel(), rtol=1e-12)


def test_arithmetic_where_a_parameter_belongs_to_some_elements_of_a_group() -> None:
    """Two channels in a group, two places each: γ is met by two of the four elements."""
    layer = LAYERS["group_norm"]
    case = own_case(layer, case=Recipe.parse("NGKL:KL:GK/1x2x2x2/float64/0.1/ordinary/random/affine/3"))
    found = computation(layer, case.layout)
    arithmetic = Arithmetic(found, worked(found, case))
    for node in found.nodes[:-1]:
        for k in range(np.size(arithmetic.done.values[node])):
            terms = "+".join(arithmetic.terms(node, k)).replace(r"\cdot ", "*")
            result = float(arithmetic.number(node, k, gradient=True).replace("−", "-"))
            assert eval(terms) == pytest.approx(result, abs=0.06), (node.operation, terms)  # what is evaluated is ours


@pytest.mark.parametrize("name", ["tiny", "eight"])
def test_nothing_leaves_its_place(name: str) -> None:
    for figure in SHOWING:
        assert flaws(find(figure).draw(preset="beamer43", lang=SPOKEN[-1], **OWN[name])) == [], figure


@pytest.mark.slow
@pytest.mark.parametrize(("own", "name", "preset"), some(product(OWN, SHOWING), ["beamer169", "ppt169", "a4", "half"]))
def test_nothing_leaves_its_place_on_any_page(own: str, name: str, preset: str) -> None:
    for frame in [{"frame": 8}, {"frame": 12}] if name == "graph-sweep" else [{}]:
        for lang in SPOKEN:
            assert flaws(find(name).draw(preset=preset, lang=lang, **OWN[own], **frame)) == [], lang


def test_what_is_left_out_is_as_usual() -> None:
    usual, own = small_case(BATCH_NORM, 3), own_case(BATCH_NORM, 3, gamma=7)
    np.testing.assert_array_equal(own.x, usual.x)
    np.testing.assert_array_equal(own.dy, usual.dy)
    assert own.parameters["gamma"].item() == 7
    assert own.parameters["beta"].item() == usual.parameters["beta"].item()
    assert own.origin == "own numbers, seed 3"
    drawn = [own_case(BATCH_NORM, seed, x=[1, 2, 3, 4, 5]).dy.ravel().tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert own_case(BATCH_NORM, **OWN["typed"]).origin == "own numbers"


def test_the_foot_says_whose_numbers_these_are_and_which_eps() -> None:
    page = draw("graph-values", x=[1, 2], dy=[1, 3], gamma=1, beta=0, eps=0.25)
    words = " ".join(text.get_text() for text in page.texts)
    assert r"\varepsilon=0.25$" in words
    assert "own numbers ·" in words
    assert "own" not in " ".join(text.get_text() for text in draw("graph-values").texts)


@pytest.mark.parametrize(
    ("name", "numbers", "said"),
    [
        ("batch_norm", {"x": [1]}, "x=1, expected 2 to 8 numbers, but got 1."),
        ("batch_norm", {"x": range(9)}, "expected 2 to 8 numbers, but got 9."),
        ("batch_norm", {"x": [1, 2], "dy": [1, 2, 3]}, "dy=1,2,3, expected 2 numbers, as many as x has, but got 3."),
        ("batch_norm", {"dy": [1]}, "dy=1, expected 4 numbers"),
        ("batch_norm", {"x": ["1", "a"]}, "x=1,a, expected numbers."),
        ("batch_norm", {"x": [1, float("nan")]}, "x=1,nan, expected finite numbers only."),
        ("batch_norm", {"dy": [1, 2, 3, float("inf")]}, "expected finite numbers only."),
        ("batch_norm", {"beta": [1, 2]}, "beta=1,2, expected one number."),
        ("layer_norm", {"gamma": [1, 2]}, "gamma=1,2, expected 4 numbers"),
        ("rms_norm", {"beta": 1}, "beta=1, expected no beta for rms_norm. Leave out beta."),
        ("batch_norm", {"eps": 0}, "eps=0.0, expected a finite number above 0."),
        ("batch_norm", {"x": [1e200, 2]}, "with which nothing overflows."),
        ("batch_norm", {"case": OWN["recipe"]["case"], "x": [1, 2]}, "x=1,2, expected no x beside a case."),
        ("batch_norm", {"case": Recipe.parse("NC:N:C/9x2/float64/0.1/ordinary/random/affine/0")}, "have 9. Choose"),
        ("batch_norm", {"case": Recipe.parse("NC:N:C/1x2/float64/0.1/ordinary/random/affine/0")}, "have 1. Choose"),
    ],
)
def test_what_is_no_group_is_refused(name: str, numbers: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        own_case(LAYERS[name], **numbers)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_which_figures_show_a_case() -> None:
    assert tuple(name for name in names() if find(name).takes("case")) == SHOWING
    with pytest.raises(InvalidInput, match=r"choice for jacobian=x, expected one of .*Leave it out\."):
        draw("jacobian", x=[1, 2])


def test_case_goes_to_another_process() -> None:
    case = own_case(LAYERS["layer_norm"], x=[1, 2, 3])
    again = pickle.loads(pickle.dumps(case))
    np.testing.assert_array_equal(again.x, case.x)
    np.testing.assert_array_equal(again.parameters["gamma"], case.parameters["gamma"])
    assert (again.layout, again.eps, again.origin) == (case.layout, case.eps, case.origin)
    assert not again.x.flags.writeable


def test_no_two_cases_have_one_name() -> None:
    case = own_case(BATCH_NORM, x=[1, 2, 3])
    stems = {Sheet("graph-values", case=own).stem for own in (case, own_case(BATCH_NORM, x=[1, 2, 4]))}
    assert len(stems) == 2
    assert {len(stem) for stem in stems} == {len("graph-values-own-") + 8}
    assert Sheet("graph-values", case=own_case(BATCH_NORM, x=[1, 2, 3])).stem in stems


def test_on_the_command_line(tmp_path: Path) -> None:
    typed = ["--x", "1,2,3,4", "--dy", "0.5,-1,0,2", "--gamma", "2", "--beta", "0", "--eps", "1e-5"]
    written = []
    for _ in range(2):
        command = ["figures", "graph-values", *typed, "--format", "svg,gv", "--out", str(tmp_path)]
        assert run(command) == 0
        written.append({path.name: path.read_bytes() for path in tmp_path.iterdir()})
    assert written[0] == written[1]
    (svg,) = (name for name in written[0] if name.endswith(".svg"))
    assert written[0][svg] == draw("graph-values", **OWN["typed"]).encoded("svg")
    (graph,) = (content for name, content in written[0].items() if name.endswith(".gv"))
    assert "−1.34" in graph.decode(), "x̂ of 1, 2, 3, 4"
    case = "NC:N:C/5x3/float32/1e-05/ordinary/random/affine/0"
    assert run(["figures", "graph-values", "--case", case, "--out", str(tmp_path)]) == 0
    assert len([*tmp_path.iterdir()]) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["jacobian", "--x", "1,2"], "figure=jacobian, expected one that shows a case: graph-check"),
        (["graph-values", "--x", ""], "x='', expected numbers"),
        (["graph-values", "--case", "NC"], "case=NC, expected layout/sizes"),
        (["--gallery", "--x", "1,2"], "no x beside --gallery"),
    ],
)
def test_refusals_on_the_command_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["figures", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_powers_of_ten_are_read_back() -> None:
    for value in (1.2345e-8, -9.9999e12, 3e100):
        assert float(powered(value).replace("−", "-")) == pytest.approx(value, rel=5e-4)
