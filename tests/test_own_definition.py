"""A definition that a user wrote gets the proof, the lowered source, all oracles and the campaign for free."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bncheck
from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.diagnose import diagnose
from bncheck.bugs.symmetry import revealed, symmetry
from bncheck.campaign.run import verify
from bncheck.case import Case, Gradients, Layout
from bncheck.cli import run
from bncheck.errors import InvalidDefinition
from bncheck.examination.one_case import check
from bncheck.inputs.recipes import Recipe
from bncheck.layers import LAYERS, Layer, find_layer
from bncheck.oracles import ball, symbolic
from bncheck.oracles.symbolic.derivation import derive
from bncheck.oracles.symbolic.lowering import lower
from bncheck.oracles.symbolic.proof import prove
from bncheck.report.formulas import FORMS, STYLES
from bncheck.tolerances.verdicts import Verdict

LAYOUTS = LAYERS["batch_norm"].layouts


def fourth_moment_norm(x: Any, gamma: Any = 1, beta: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
    """Scales by the fourth root of the fourth central moment: outliers weigh more than in batch norm."""
    mu = mean(x)
    centred = x - mu
    fourth = mean(centred**4)
    xhat = centred / sqrt(sqrt(fourth + eps))
    return {"mean": mu, "fourth": fourth, "xhat": xhat, "y": gamma * xhat + beta}


def rms_norm(x: Any, gamma: Any = 1, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
    mean_square = mean(x * x)
    xhat = x / sqrt(mean_square + eps)
    return {"mean_square": mean_square, "xhat": xhat, "y": gamma * xhat}


def mean_only(x: Any, gamma: Any = 1, beta: Any = 0, eps: Any = 1e-5, *, mean: Any) -> Any:
    mu = mean(x)
    return {"mean": mu, "y": gamma * (x - mu) + beta}


def squared(x: Any, gamma: Any = 1, beta: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
    mu = mean(x)
    var = mean((x - mu) ** 2)
    xhat = (x - mu) / sqrt(var + eps)
    return {"mean": mu, "var": var, "xhat": xhat, "y": gamma * xhat * xhat + beta * x}


def with_inv_std(x: Any, gamma: Any = 1, centred: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
    """Names that bncheck would use itself."""
    mu = mean(x)
    var = mean((x - mu) ** 2)
    inv_std = 1 / sqrt(var + eps)
    return {"mean": mu, "var": var, "inv_std": inv_std, "y": gamma * (x - mu) * inv_std + centred}


@pytest.mark.parametrize("definition", [fourth_moment_norm, rms_norm, mean_only, squared, with_inv_std])
def test_everything_follows_from_the_definition(definition: Any) -> None:
    layer = Layer(definition, LAYOUTS)
    assert prove(derive(layer)).proved
    assert verify((layer,), cases=60).verdict is Verdict.CORRECT


def test_results_may_be_returned_in_any_order() -> None:
    """The variance before the mean that it needs: derived, compiled and compared as in the order of computation."""

    def returned_backwards(*arguments: Any, **more: Any) -> dict[str, Any]:
        *named, y = LAYERS["batch_norm"].definition(*arguments, **more).items()
        return dict([*reversed(named), y])

    layer = Layer(wraps(LAYERS["batch_norm"].definition)(returned_backwards), LAYOUTS)
    case = Recipe(LAYOUTS[0], (8, 3)).build(layer)
    right = ball.vjp(LAYERS["batch_norm"], case)
    for name, gradient in symbolic.vjp(layer, case).items():
        np.testing.assert_allclose(gradient, right[name].value, rtol=1e-12)


def test_a_wrong_gradient_of_ones_own_layer_is_caught() -> None:
    layer = Layer(fourth_moment_norm, LAYOUTS)

    def without_the_moments_path(case: Case) -> Any:
        right = dict(symbolic.vjp(layer, case))
        return {**right, "dx": right["dx"] * (1 + 1e-4)}

    assert verify((layer,), cases=40, suspects={"mine": without_the_moments_path}).verdict is Verdict.WRONG


@pytest.mark.parametrize(
    ("layout", "x_shape"),
    [
        (Layout("NCHW", "CHW", "CHW"), (2, 3, 2, 2)),  # layer norm
        (Layout("NCHW", "HW", "C"), (2, 3, 2, 2)),  # instance norm
        (Layout("NGKHW", "KHW", "GK"), (2, 2, 3, 2, 2)),  # group norm
    ],
)
def test_the_derivation_does_not_mind_which_axes_are_reduced(layout: Layout, x_shape: tuple[int, ...]) -> None:
    """γ inside the sum, groups within a batch: the formula follows from the roles of the axes."""
    from bncheck.oracles import ball, graph

    layer = Layer(LAYERS["batch_norm"].definition, (layout,))
    rng = np.random.default_rng(0)
    sizes = layout.parameter_shape(x_shape)
    parameters = {"gamma": rng.normal(size=sizes), "beta": rng.normal(size=sizes)}
    case = Case(layout, rng.normal(size=x_shape), rng.normal(size=x_shape), parameters, 0.01)
    truth = ball.vjp(layer, case)
    for got in (symbolic.vjp(layer, case), graph.vjp(layer, case)):
        for name, value in got.items():
            np.testing.assert_allclose(value, truth[name].value, atol=1e-13, err_msg=name)
    assert "centred" in lower(layer, layout).source


@pytest.mark.slow
def test_statistics_over_everything_and_parameters_that_all_share() -> None:
    layouts = tuple(Layout.parse(text) for text in ("NC:NC:C", "NC:N:", "NC:NC:", "NCHW:HW:"))
    layer = Layer(LAYERS["batch_norm"].definition, layouts, "odd_norm")
    for layout in layouts:
        assert prove(derive(layer, layout)).proved
    assert verify((layer,), cases=60, real_data=False).verdict is Verdict.CORRECT


def test_what_cannot_be_lowered_is_refused_in_words() -> None:
    def keeps_its_mean(x: Any, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
        return {"y": x / sqrt(mean(x * x) + eps)}

    def cancels(x: Any, eps: Any = 1e-5, *, mean: Any) -> Any:
        return {"mean": mean(x), "y": x - x}

    for definition, words in ((keeps_its_mean, "root of a mean that it does not"), (cancels, "x does not change")):
        with pytest.raises(InvalidDefinition, match=words):
            lower(Layer(definition, LAYOUTS), LAYOUTS[0])


SIXTH = '''
"""Power normalization: Shen et al., "PowerNorm: Rethinking Batch Normalization in Transformers", 2020, equation 4."""

from bncheck import Layer, Layout


def power_norm(x, gamma=1, beta=0, eps=1e-5, *, mean, sqrt):
    """Batch norm by the quadratic mean: nothing is centred."""
    mean_square = mean(x * x)
    xhat = x / sqrt(mean_square + eps)
    return {"mean_square": mean_square, "xhat": xhat, "y": gamma * xhat + beta}


layer = Layer(power_norm, (Layout("NC", "N", "C"), Layout("NLC", "NL", "C"), Layout("NCHW", "NHW", "")))
'''


@pytest.mark.slow
def test_a_sixth_layer_takes_a_definition_and_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Derived, proved, theorems and second order included, verified, listed, and wrong gradients of it are named."""
    path = tmp_path / "sixth.py"
    path.write_text(SIXTH, encoding="utf-8")
    assert run(["verify", "--layer", f"{path}:layer", "--cases", "30", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [found["layer"] for found in report["layers"]] == ["power_norm", "power_norm_jvp"]
    for found in report["layers"]:
        assert found["proof"]["proved"]
        assert len(found["theorems"]) >= 4
        assert all(theorem["proved"] and not theorem["refuted"] for theorem in found["theorems"].values())
        assert len(found["mutants"]) > 30
        assert all(found["mutants"].values())
    for form, style in itertools.product(FORMS, STYLES):
        assert run(["derive", f"{path}:layer", "--form", form, "--format", style]) == 0
    assert run(["verify", "--layer", f"{path}:layer", "--list"]) == 0
    assert "power_norm_jvp" in capsys.readouterr().out

    layer = find_layer(f"{path}:layer")
    wrong = partial(BUGS["variance-path-missing"].vjp, layer=layer)
    assert [bug.id for bug in diagnose(layer, wrong)] == ["variance-path-missing"]


FOURTH = Layer(fourth_moment_norm, LAYOUTS)


def of_fourth_moment(seed: int = 0, gamma: float | None = None) -> Case:
    case = Recipe(FOURTH.layouts[0], (6, 4), eps=0.1, seed=seed).build(FOURTH)
    ones = {name: np.full_like(array, gamma) for name, array in case.parameters.items() if gamma and name == "gamma"}
    return replace(case, parameters={**case.parameters, **ones})


def test_bugs_are_planted_in_a_layer_that_nobody_foresaw() -> None:
    (report,) = verify((FOURTH,), cases=40, real_data=False).layers
    assert {"mean-path-missing", "variance-path-missing", "gamma-missing", "exponent-wrong", "dbeta-not-dy"} <= set(
        report.result.revealed
    )
    assert len(report.result.revealed) > 25
    assert min(report.result.revealed.values()) > 0


def test_what_could_not_have_failed_is_vacuous_in_any_layer() -> None:
    def without_gamma(case: Case) -> Gradients:
        return {**symbolic.vjp(FOURTH, case), "dx": BUGS["gamma-missing"].vjp(case, FOURTH)["dx"]}

    at_one = check(without_gamma, of_fourth_moment(gamma=1), layer=FOURTH)
    assert at_one.verdict is Verdict.VACUOUS
    assert "gamma-missing" in at_one.unseen
    assert check(without_gamma, of_fourth_moment(), layer=FOURTH).verdict is Verdict.WRONG


@pytest.mark.parametrize("name", ["gamma-missing", "mean-path-missing", "exponent-wrong", "eps-outside-sqrt"])
def test_bugs_of_ones_own_layer_are_called_by_their_names(name: str) -> None:
    (diagnosis,) = diagnose(FOURTH, partial(BUGS[name].vjp, layer=FOURTH))
    assert diagnosis.id == name
    assert diagnosis.formula_got != diagnosis.formula_expected


@pytest.mark.slow
def test_a_factor_in_ones_own_layer_is_told() -> None:
    (diagnosis,) = diagnose(
        FOURTH, lambda case: {**symbolic.vjp(FOURTH, case), "dx": 1.1 * symbolic.vjp(FOURTH, case)["dx"]}
    )
    assert diagnosis.id == "constant"
    assert "11" in diagnosis.formula_got


def test_symmetry_is_broken_by_the_bugs_of_ones_own_layer() -> None:
    broken = revealed(FOURTH)
    assert broken["mean-path-missing"]
    assert broken["variance-path-missing"]
    assert not broken["gamma-missing"]
    assert not symmetry(partial(symbolic.vjp, FOURTH), of_fourth_moment(), layer=FOURTH).broken


SIXTH_MOMENT = '''

def sixth_moment_norm(x: Any, gamma: Any = 1, shift: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> Any:
    """Scales by the square root of the sixth central moment: no room of the house has heard of it.

    Math
        c = mean x;  k = mean (x − c)⁶;  h = (x − c) / √(k + ε);  y = γ h + shift
    """
    centre = mean(x)
    sixth = mean((x - centre) ** 6)
    hat = (x - centre) / sqrt(sixth + eps)
    return {"centre": centre, "sixth": sixth, "hat": hat, "y": gamma * hat + shift}
'''
ROW = "    Layer(sixth_moment_norm, _BATCH[:2]),\n"
ROOT = Path(bncheck.__file__).parents[1]


def in_a_copy(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole project with one more definition and one more row."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("bncheck", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    definitions, layers = folder / "bncheck" / "definitions.py", folder / "bncheck" / "layers.py"
    definitions.write_text(definitions.read_text(encoding="utf-8") + SIXTH_MOMENT, encoding="utf-8")
    text = layers.read_text(encoding="utf-8").replace(
        "batch_norm_running, rms_norm", "batch_norm_running, rms_norm, sixth_moment_norm"
    )
    layers.write_text(text.replace("_LAYERS = (\n", f"_LAYERS = (\n{ROW}", 1), encoding="utf-8")
    assert "sixth_moment_norm" in text
    return folder


@pytest.mark.parametrize("tests", ["planting", "programs", "symmetry", "diagnose"])
def test_the_suite_passes_with_a_layer_that_no_room_knows(copy: Path, tests: str) -> None:
    """One definition and one row: whatever a test asks of every layer, it asks of this one."""
    deprecated = "ignore::DeprecationWarning"  # among old packages
    done = in_a_copy(copy, "pytest", "-q", "-W", deprecated, f"tests/test_{tests}.py", "-k", "sixth_moment_norm")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert re.search(r"^\d+ passed", done.stdout.splitlines()[-1])


def test_the_doors_open_to_a_layer_that_no_room_knows(copy: Path) -> None:
    done = in_a_copy(copy, "bncheck", "verify", "--quick", "--layer", "sixth_moment_norm")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("verdict: correct\n")
    assert re.search(r"planted bugs +\d+", done.stdout)
    done = in_a_copy(copy, "bncheck", "derive", "sixth_moment_norm")
    assert done.returncode == 0, done.stderr
    assert "sixth" in done.stdout
