"""Numbers on the figures about saturation, found again in another way."""

import math
import re
import statistics

import numpy as np
import pytest
from matplotlib.text import Text
from sklearn.datasets import load_digits, load_sample_image

from bncheck import LAYERS
from bncheck.case import Array
from bncheck.figures import (
    activation_histograms,
    find,
    normal_curve,
    pixels_through_sigmoid,
    saturation_depth,
    saturation_relu,
    saturation_sigmoid,
    saturation_tanh,
)
from bncheck.figures.studio.page import Page
from bncheck.figures.studio.saturation import (
    RELU,
    SHARE,
    SIGMOID,
    TANH,
    Activation,
    batch_norm_case,
    batches,
    pre_activations,
)
from bncheck.oracles import symbolic

FUNCTIONS = {"sigmoid": SIGMOID, "tanh": TANH, "relu": RELU}


def told(page: Page) -> list[str]:
    """Every word on a page."""
    return [text.get_text() for text in page.findobj(Text) if isinstance(text, Text)]


def drawn(name: str, seed: int = 3) -> list[str]:
    return told(find(name).draw(seed=seed))


def compiled(z: Array, gamma: float = 1, beta: float = 0) -> Array:
    """Batch norm's y by the compiled closed form's forward pass."""
    return symbolic.vjp(LAYERS["batch_norm"], batch_norm_case(z, np.zeros_like(z), gamma, beta))["y"]


def saturated(activation: Activation, z: Array) -> Array:
    """By the definition itself: −1 or 1 where the slope is below 5 % of the largest one, on that side of 0."""
    steepest = max(activation.slope(np.array([0.0, 1e-9])))
    return np.where(activation.slope(z) < 0.05 * steepest, np.sign(z), 0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_slopes_are_derivatives(name: str) -> None:
    z = np.linspace(-7.9, 8, 54)
    function = FUNCTIONS[name]
    difference = (function.value(z + 1e-6) - function.value(z - 1e-6)) / 2e-6
    assert np.abs(function.slope(z) - difference).max() < 1e-9


def test_saturation_begins_where_the_slope_is_five_percent() -> None:
    assert SHARE == 0.05
    for function, edge in ((SIGMOID, 4.36), (TANH, 2.18)):
        assert abs(function.high - edge) < 0.005
        assert function.low == -function.high
        assert abs(float(function.slope(np.array(function.high)) / function.slope(np.array(0.0))) - 0.05) < 1e-14
    assert (RELU.low, RELU.high) == (0, math.inf)


@pytest.mark.parametrize(
    ("name", "affine"),
    [
        ("sigmoid", saturation_sigmoid.AFFINE),
        ("tanh", saturation_tanh.AFFINE),
        ("relu", saturation_relu.AFFINE),
    ],
)
def test_percentages_of_saturated_units(name: str, affine: tuple[tuple[float, float], ...]) -> None:
    z = pre_activations(3)
    shown = [z, *(compiled(z, *values) for values in affine)]
    sides = (-1,) if name == "relu" else (-1, 1)
    shares = [f"{100 * (saturated(FUNCTIONS[name], z) == side).mean():.0f} %" for z in shown for side in sides]
    assert [text for text in drawn(f"saturation-{name}") if text.endswith(" %")] == shares


def test_captions_state_the_edge() -> None:
    assert "|z| > 4.36" in saturation_sigmoid.ABOUT.caption.en
    assert "|z| > 2.18" in saturation_tanh.ABOUT.caption.zh


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_sigmoid_is_saturated_and_a_relu_silent(name: str, lang: str) -> None:
    about = find(f"saturation-{name}").about
    words = " ".join(getattr(part, lang) for part in (about.reading, about.caption)).lower()
    saturated, silent = (said in words for said in (("saturated", "silent") if lang == "en" else ("饱和", "沉默")))
    assert (saturated, silent) == (name != "relu", name == "relu")


def test_limits_of_claims_stand_beside_them() -> None:
    """What holds at one γ and β only says so; so the others must not be read as holding everywhere."""
    for name in ("saturation-sigmoid", "saturation-map", "saturation-depth", "activation-histograms"):
        for words in find(name).about.caption:
            assert re.search(r"\\gamma ?= ?1.*\\beta ?= ?0", words), name


def test_what_the_titles_claim() -> None:
    """At several seeds: batch norm empties the sigmoid's saturated sides; tanh has more of them; β sets ReLU's."""
    for seed in range(5):
        off, on, *_ = (sum(SIGMOID.saturated(z)) for z in batches(seed, saturation_sigmoid.AFFINE).values())
        assert off > 0.35
        assert on < 0.002
        assert sum(TANH.saturated(pre_activations(seed))) > off + 0.2
        _, middle, few, many = (RELU.saturated(z).left for z in batches(seed, saturation_relu.AFFINE).values())
        assert few < 0.2 < 0.45 < middle < 0.55 < 0.8 < many


def test_stuck_units() -> None:
    z = pre_activations(3)
    titles = [text for text in drawn("saturation-map") if text.endswith("stuck")]
    counts = []
    for function in (SIGMOID, RELU):
        for shown in (z, compiled(z)):
            side = saturated(function, shown)
            counts.append(sum(len(set(column)) == 1 and column[0] != 0 for column in side.T))
    assert [title.split(": ")[1] for title in titles] == [f"{count} stuck" for count in counts]
    assert counts[0] > 0
    assert counts[2] > 0
    assert counts[1] == counts[3] == 0


@pytest.mark.parametrize("with_batch_norm", [False, True])
def test_gradients_by_layer(with_batch_norm: bool) -> None:
    """Once more with the compiled backward pass, from numbers drawn in the same order."""
    rng = np.random.default_rng(3)
    pixels = load_digits().data
    activations = [pixels[rng.choice(len(pixels), size=64, replace=False)] / 16]
    weights, products, inner = [], [], []
    for _ in range(20):
        weights.append(rng.normal(scale=0.4, size=(activations[-1].shape[1], 100)))
        products.append(activations[-1] @ weights[-1])
        inner.append(compiled(products[-1]) if with_batch_norm else products[-1])
        activations.append(1 / (1 + np.exp(-inner[-1])))
    gradient = rng.normal(size=(64, 100))
    norms: list[float] = []
    for k in range(19, -1, -1):
        gradient = gradient * activations[k + 1] * (1 - activations[k + 1])
        if with_batch_norm:
            gradient = symbolic.vjp(LAYERS["batch_norm"], batch_norm_case(products[k], gradient))["dx"]
        norms.insert(0, np.sqrt(np.square(activations[k].T @ gradient).sum()))
        gradient = gradient @ weights[k].T
    found = saturation_depth.network(3, 4.0, with_batch_norm)
    assert np.allclose(found.gradient, norms, rtol=1e-10, atol=0)
    assert np.allclose(found.saturated, [100 * (abs(z) > SIGMOID.high).mean() for z in inner], rtol=0, atol=1e-12)
    slope = statistics.linear_regression(range(20), [math.log(norm) for norm in norms]).slope
    assert abs(found.factor - math.exp(-slope)) < 1e-10


def test_factors_of_the_gradient() -> None:
    """Small weights vanish, large ones explode; with batch norm the weights' scale says nothing."""
    words = drawn("saturation-depth")
    off = [saturation_depth.network(3, scale, with_batch_norm=False).factor for scale in saturation_depth.SCALES]
    on = [saturation_depth.network(3, scale, with_batch_norm=True).factor for scale in saturation_depth.SCALES]
    assert off[0] < 0.3 < off[1] < 0.8
    assert off[2] > 1.1
    assert max(on) - min(on) < 1e-3
    assert {f"×{factor:.2f}" for factor in off} <= set(words)
    assert f"each: ×{on[0]:.2f} per layer" in words


def test_histograms_of_five_layers() -> None:
    words = drawn("activation-histograms")
    for with_batch_norm in (False, True):
        rng = np.random.default_rng(3)
        pixels = load_digits().data
        a = pixels[rng.choice(len(pixels), size=64, replace=False)] / 16
        for outputs in activation_histograms.network(3, with_batch_norm):
            z = a @ rng.normal(size=(a.shape[1], 100))
            z = compiled(z) if with_batch_norm else z
            a = 1 / (1 + np.exp(-z))
            assert np.abs(outputs.values - a).max() < 1e-9
            assert f"{100 * (saturated(SIGMOID, z) != 0).mean():.0f} %" in words
            assert f"{a.mean():.2f}\n± {a.std():.2f}" in words
    off, on = (activation_histograms.network(3, flag) for flag in (False, True))
    assert all(outputs.saturated > 20 for outputs in off)
    assert all(outputs.saturated < 1 for outputs in on)


def test_z_scores_of_ink() -> None:
    ink = [float(image.sum()) for image in load_digits().images]
    mean, std = statistics.fmean(ink), statistics.pstdev(ink)
    words = drawn("normal-curve")
    assert any(rf"$\mu = {mean:.1f}$" in text and rf"$\sigma = {std:.1f}$" in text for text in words)
    for z in normal_curve.SHOWN:
        nearest = min(((value - mean) / std for value in ink), key=lambda got: abs(got - z))
        assert f"$z = {nearest:.2f}$" in words
    normal = statistics.NormalDist()
    shares = [text for text in words if text.endswith(" %")]
    for k in (1, 2, 3):
        curve, inside = normal.cdf(k) - normal.cdf(-k), sum(abs(value - mean) < k * std for value in ink) / len(ink)
        assert shares[2 * k - 2 : 2 * k] == [f"{100 * curve:.1f} %", f"{100 * inside:.1f} %"], "the curve's, the data's"
    ticks = [text for text in words if "\n" in text and text.replace("\n", "").replace("−", "").isdigit()]
    assert set(ticks) == {f"{mean + k * std:.0f}\n{k}".replace("-", "−") for k in range(-3, 4)}


def test_pixels_through_a_sigmoid() -> None:
    pixels = load_sample_image("china.jpg")[::4, ::4].mean(axis=2)
    z = (pixels - pixels.mean()) / pixels.std()
    shares = [100 * (abs(values) > SIGMOID.high).mean() for values in (pixels, z)]
    found = pixels_through_sigmoid.pictures()
    assert np.abs(found.normalized - 1 / (1 + np.exp(-z))).max() < 1e-6
    titles = [text for text in drawn("pixels-through-sigmoid") if "saturated" in text and "%" in text]
    assert [title.split(": ")[1] for title in titles[-2:]] == [f"{share:.0f} % saturated" for share in shares]
    assert shares[0] > 95
    assert shares[1] == 0
