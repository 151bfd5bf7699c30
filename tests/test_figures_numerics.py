"""Numbers on the figures about numerics and structure, found again from another oracle."""

import math
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.text import Text
from sklearn.datasets import load_digits, load_wine

from bncheck import LAYERS
from bncheck.case import Array, Case, Layout
from bncheck.cli import run
from bncheck.figures import (
    accuracy_offset,
    eps_regime,
    fd_error,
    find,
    jacobian,
    reduction_axes,
    running_statistics,
    scale_invariance,
    standardize,
    vacuity,
)
from bncheck.figures.studio.look import PRESETS, Look, scientific
from bncheck.figures.studio.page import Page
from bncheck.figures.studio.saturation import batch_norm_case
from bncheck.figures.studio.structure import flaws
from bncheck.oracles import ball, symbolic
from bncheck.tolerances.bounds import tolerance
from bncheck.tolerances.verdicts import Verdict, compare

BN = LAYERS["batch_norm"]


def told(page: Page) -> list[str]:
    """Every word on a page."""
    return [text.get_text() for text in page.findobj(Text) if isinstance(text, Text)]


def drawn(name: str, seed: int = 3) -> list[str]:
    return told(find(name).draw(seed=seed))


def drawn_y(line: Line2D) -> Array:
    return np.asarray(line.get_ydata())


def test_jacobian_by_the_ball_oracle() -> None:
    found = jacobian.jacobian(3)
    x = np.random.default_rng(3).normal(size=(5, 1))
    rows = [ball.vjp(BN, Case(Layout("NC", "N", "C"), x, row[:, None]))["dx"].value[:, 0] for row in np.eye(5)]
    assert np.abs(found.matrix - rows).max() < 1e-13
    words = drawn("jacobian")
    for value in np.ravel(rows):
        assert f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−") in words


def test_null_directions_and_singular_values() -> None:
    found = jacobian.jacobian(3)
    variance = found.s**2 - 1e-5
    assert np.abs(found.matrix @ np.ones(5)).max() < 1e-14
    assert np.abs(found.matrix @ found.xhat - 1e-5 / found.s**3 * found.xhat).max() < 1e-14
    assert np.allclose(found.singular[:3], 1 / math.sqrt(variance + 1e-5), rtol=1e-12, atol=0)
    words = drawn("jacobian")
    assert f"$1/s = {1 / found.s:.2f}$" in words
    assert rf"$\hat{{x}}$: {scientific(1e-5 / found.s**3)}" in words
    assert "$1$: $0$" in words


@pytest.mark.parametrize("dtype", fd_error.DTYPES)
def test_errors_of_central_differences(dtype: str) -> None:
    """One element at a time, by the compiled forward pass, against the compiled gradient in float64."""
    found, case = fd_error.errors(3, dtype), fd_error.given(3, dtype)
    truth = symbolic.vjp(BN, case.astype(np.dtype(np.float64)))["dx"]
    h, error = found.best
    step = case.dtype.type(h)
    worst = 0.0
    for index in np.ndindex(case.x.shape):
        moved = [case.x.copy(), case.x.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        up, down = (symbolic.vjp(BN, Case(case.layout, x, case.dy, case.parameters))["y"] for x in moved)
        slope = float(((up - down) * case.dy).sum()) / float(moved[0][index] - moved[1][index])
        worst = max(worst, abs(slope - float(truth[index])))
    assert 0.3 < worst / np.abs(truth).max() / error < 3, "the same but for the order of a sum"
    assert dtype == "float32" or abs(found.slope(10, 1e3) - 2) < 0.05
    assert abs(found.slope(1e-3, 0.1) + 1) < 0.3
    assert found.error.min() > found.tolerance, "what the title says"
    assert math.isclose(found.tolerance, tolerance(BN, case)["dx"].radius.max() / np.abs(truth).max(), rel_tol=1e-6)
    words = drawn("fd-error")
    assert f"best: {scientific(error)}" in words
    assert f"tolerance {scientific(found.tolerance)}" in words
    parts = [(1e-3, 0.1), (10, 1e3)] if dtype == "float64" else [(0.01, 0.5)]
    for least, most in parts:
        inside = (found.h >= least * h) & (found.h <= most * h)
        fitted = statistics.linear_regression(np.log(found.h[inside]), np.log(found.error[inside])).slope
        assert f"slope {fitted:.1f}".replace("-", "−") in words


def test_one_pass_leaves_the_tolerance_and_two_passes_never() -> None:
    implementations = {"one": accuracy_offset.one_pass, "two": accuracy_offset.two_pass}
    found = accuracy_offset.accuracy(3, implementations)
    for k in (0, 10, 25):
        case = accuracy_offset.cases(3)[k]
        truth = ball.vjp(BN, case)["dx"]
        ulp = np.spacing(np.float32(np.abs(truth.value).max()))
        for name, vjp in implementations.items():
            error = truth.distance(vjp(case)["dx"]).max() / ulp
            assert np.isclose(error, found.errors[name][k], rtol=0, atol=0.05, equal_nan=True)
        assert math.isclose(found.tolerance[k], tolerance(BN, case)["dx"].radius.max() / ulp)
    assert (found.errors["two"] < found.tolerance).all()
    outside = next(
        offset
        for offset, error, allowed in zip(accuracy_offset.OFFSETS, found.errors["one"], found.tolerance, strict=True)
        if error > allowed
    )
    words = told(accuracy_offset.draw(seed=3))
    assert f"outside from {outside:.0f} on" in words
    assert "not a number" in words


def test_a_variance_that_comes_out_negative_is_shown_so() -> None:
    """Where one is below −ε, and only there, dx is no number; each is drawn where it lies."""
    cases = accuracy_offset.cases(3)
    variances = np.array([accuracy_offset.one_pass_variance(case.x) for case in cases])
    assert variances[0].min() > 0.9
    assert variances.min() < -1
    errors = accuracy_offset.accuracy(3, {"one": accuracy_offset.one_pass}).errors["one"]
    assert (np.isnan(errors) == (variances < -1e-5).any(axis=1)).all()
    above, below = accuracy_offset.draw(seed=3).axes
    assert np.allclose([drawn_y(line) for line in below.lines], variances)
    low, high = below.get_ylim()
    assert low < variances.min() < variances.max() < high
    (crosses,) = [line for line in above.lines if line.get_linestyle() == "None"]
    assert np.array_equal(np.asarray(crosses.get_xdata()), accuracy_offset.OFFSETS[np.isnan(errors)])


def test_frameworks_stand_beside_where_they_are_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    found = accuracy_offset.accuracy(3, accuracy_offset.of_frameworks(["torch"]))
    assert (found.errors["PyTorch"] < found.tolerance).all()
    assert "PyTorch" in told(accuracy_offset.draw(seed=3, against=["torch"]))
    assert run(["figures", "--against", "torch", "--out", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["accuracy-offset-torch.svg"]


def test_the_most_lines_that_can_be_asked_for_find_room(monkeypatch: pytest.MonkeyPatch) -> None:
    titles = ("PyTorch", "JAX and Flax", "Keras")
    monkeypatch.setattr(accuracy_offset, "of_frameworks", lambda names: dict.fromkeys(names, accuracy_offset.two_pass))
    for preset in PRESETS:
        assert flaws(accuracy_offset.draw(Look(preset), against=titles)) == [], preset
    assert len(titles) == len(accuracy_offset.THEIRS)


@pytest.mark.parametrize("test", vacuity.TESTS, ids=lambda test: f"{test.loss}{test.drawn}")
def test_shares_of_bugs_caught(test: vacuity.Test) -> None:
    """Judged once more by verdicts, against the ball oracle's truth."""
    for count in (1, vacuity.COUNT):
        rng = np.random.default_rng([3, count])
        shares = []
        for _ in range(vacuity.CASES):
            case = vacuity.given(rng, count, test)
            truth = ball.vjp(BN, case)
            allowed = {name: radius.radius for name, radius in tolerance(BN, case).items()}
            verdicts = [compare(m.vjp(case), truth, allowed).values() for m in vacuity.planted(case).values()]
            shares.append(np.mean([any(c.verdict is Verdict.WRONG for c in each) for each in verdicts]))
        assert abs(vacuity.caught(3, count, test).computed - 100 * np.mean(shares)) < 1e-9


def test_the_staircase_of_tests() -> None:
    caught = [vacuity.caught(3, vacuity.COUNT, test) for test in vacuity.TESTS]
    assert [share.computed for share in caught] == sorted({share.computed for share in caught})
    assert caught[-1].computed == 100
    assert all(share.usual <= share.computed for share in caught)
    assert vacuity.caught(3, 1, vacuity.TESTS[-1]).computed < 60
    words = drawn("vacuity")
    assert {f"{share:.0f}" for pair in caught for share in pair} <= set(words)
    case = vacuity.given(np.random.default_rng(0), 8, vacuity.TESTS[0])
    assert f"{len(vacuity.planted(case))} planted bugs" in vacuity.ABOUT.caption.en
    assert f"{vacuity.GROUPS} groups, {vacuity.CASES} cases" in vacuity.ABOUT.caption.en


def test_scale_invariance_by_the_compiled_gradient() -> None:
    rng = np.random.default_rng(3)
    pixels = load_digits().data
    u = pixels[rng.choice(len(pixels), size=64, replace=False)]
    weights = rng.normal(size=(64, 32)) / 8
    dy = rng.normal(size=(64, 32))

    def norms(a: float) -> tuple[float, float]:
        dz = symbolic.vjp(BN, batch_norm_case(u @ (a * weights), dy))["dx"]
        return float(np.linalg.norm(u.T @ dz)), float(np.linalg.norm(dz @ (a * weights).T))

    found = scale_invariance.norms(3, with_batch_norm=True)
    for k in (0, 5, 12):
        relative = np.divide(norms(scale_invariance.SCALES[k]), norms(1.0))
        assert np.allclose((found.weights[k], found.inputs[k]), relative, rtol=1e-9, atol=0)
    words = drawn("scale-invariance")
    assert sorted(text for text in words if "slope" in text) == ["slope 0", "slope 0", "slope 1", "slope −1"]
    assert np.allclose(scale_invariance.norms(3, with_batch_norm=False).inputs, scale_invariance.SCALES)


@pytest.mark.parametrize("eps", eps_regime.EPS)
def test_regimes_of_eps(eps: float) -> None:
    """σ / √(σ² + ε), and 1 / √(σ² + ε) across the null directions."""
    found = eps_regime.regime(3, eps)
    root = np.sqrt(eps_regime.SPREADS**2 + eps)
    assert np.allclose(found.spread, eps_regime.SPREADS / root, rtol=1e-9, atol=0)
    assert np.allclose(found.gain, 1 / root, rtol=1e-6, atol=0)


def test_running_statistics_one_batch_after_another() -> None:
    everything = load_digits().data
    batches = running_statistics.batches(3)
    rng = np.random.default_rng(3)
    order = rng.choice(1797, size=1797, replace=False)
    rows = np.random.default_rng(3).integers(1797, size=(1000, 4))
    biased = unbiased = np.ones(64)
    ratios = []
    assert (everything[order][rows] == batches).all()
    for batch in batches:
        biased = 0.98 * biased + 0.02 * np.var(batch, axis=0)
        unbiased = 0.98 * unbiased + 0.02 * np.var(batch, axis=0, ddof=1)
        ratios.append((unbiased.sum() / everything.var(axis=0).sum(), biased.sum() / everything.var(axis=0).sum()))
    late = np.mean(ratios[500:], axis=0)
    words = drawn("running-statistics")
    assert [text.split(": ")[1] for text in words if "÷" in text and ": " in text] == [f"{value:.2f}" for value in late]
    assert np.allclose(late, (1, 3 / 4), rtol=0.03)
    pixel = batches[:200, :, 36, None]
    for weight in running_statistics.WEIGHTS:
        means = running_statistics.running(pixel, weight).mean[:, 0]
        terms = [weight * (1 - weight) ** (199 - k) * batch.mean() for k, batch in enumerate(pixel)]
        assert math.isclose(means[-1], sum(terms), rel_tol=1e-12)


@pytest.mark.parametrize("layer", reduction_axes.SHAPES)
def test_who_shares_a_mean(layer: str) -> None:
    """What differentiating finds is what the layout says, and the layout is one of the layer's own."""
    layout, shape = reduction_axes.SHAPES[layer]
    assert layout in LAYERS[layer].layouts
    within = np.zeros(shape, dtype=bool)
    within[tuple(slice(None) if k in layout.reduced_axes else 0 for k in range(len(shape)))] = True
    cells = reduction_axes.shared(layer, 3)
    assert (cells == within.reshape(reduction_axes.CUBE)).all()
    words = drawn("reduction-axes")
    assert f"$m = {layout.count(shape)}$" in words
    assert (", ".join(layout.reduced) if layer != "group_norm" else "½ C, H, W") in words


def test_the_lines_from_x_to_y() -> None:
    wine = load_wine()
    rows = np.random.default_rng(3).choice(len(wine.data), size=16, replace=False)
    words = drawn("standardize")
    for name, (gamma, beta) in standardize.FEATURES.items():
        x = wine.data[rows, wine.feature_names.index(name)]
        assert f"{x.mean():.1f}\n± {x.std():.1f}" in words
        assert f"{beta:.1f}\n± {gamma:.1f}" in words
    assert words.count("0.0\n± 1.0") == 3
    for axes, values in zip(standardize.draw(seed=3).axes, standardize.stages(3).values(), strict=True):
        bars = np.array([bar.get_segments()[0][:, 1] for bar in axes.collections if isinstance(bar, LineCollection)])
        assert np.allclose(bars.mean(axis=1), values.mean(axis=0))
        assert np.allclose(np.ptp(bars, axis=1) / 2, values.std(axis=0))
        columns = [line for line in axes.lines if len(drawn_y(line)) == 16]
        assert np.array_equal([drawn_y(column) for column in columns], values.T)
        assert len({float(np.asarray(column.get_xdata())[0]) for column in columns}) == 3, "apart"
    x = standardize.stages(3)["x"]
    gamma, beta = np.array(list(standardize.FEATURES.values())).T
    case = Case(Layout("NC", "N", "C"), x, np.zeros_like(x), {"gamma": gamma, "beta": beta})
    assert np.abs(standardize.stages(3)["y"] - symbolic.vjp(BN, case)["y"]).max() < 1e-12


def test_no_number_is_written_with_a_hyphen() -> None:
    for name in ("jacobian", "scale-invariance", "fd-error", "standardize", "normal-curve"):
        words = [re.sub(r"\$[^$]*\$", "", text) for text in drawn(name)]
        assert [text for text in words if re.search(r"(^|\s)-\d", text)] == [], name
