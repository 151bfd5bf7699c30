"""Figures that explain: every number on them found again from another oracle, and every letter large enough to read."""

import ast
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text

from bncheck import LAYERS
from bncheck.case import Array, Case
from bncheck.figures import algorithm, cost_slope, find, image_shapes, planted_bugs, projection, reduction_axes
from bncheck.figures.studio.look import Look, number
from bncheck.figures.studio.page import Page
from bncheck.figures.studio.structure import small_print
from bncheck.oracles import ball, graph

BN = LAYERS["batch_norm"]

NAMES = ("projection", "algorithm", "planted-bugs", "image-shapes", "cost-slope", "reduction-axes")


def pages(name: str, look: Look = Look(), seed: int = 0) -> list[Page]:
    """A figure, or all frames of it."""
    plate = find(name)
    frames = [{"frame": k + 1} for k in range(plate.frames())] if plate.frames else [{}]
    return [plate.draw(look, seed, **frame) for frame in frames]


def told(name: str, seed: int = 0) -> list[str]:
    """Every word on a figure, or on all frames of it."""
    texts = [text for page in pages(name, seed=seed) for text in page.findobj(Text)]
    return [text.get_text() for text in texts if isinstance(text, Text)]


def truth(case: Case) -> Array:
    """dx of one group, from balls."""
    return np.asarray(ball.vjp(BN, case)["dx"].value[:, 0])


@pytest.mark.parametrize("preset", ["beamer169", "half"])
@pytest.mark.parametrize("name", NAMES)
def test_every_letter_is_read_in_the_last_row(name: str, preset: str) -> None:
    for page in pages(name, Look(preset)):
        assert small_print(page) == []


@pytest.mark.parametrize("seed", range(4))
def test_dx_is_what_projecting_leaves(seed: int) -> None:
    drawn = projection.parts(seed)
    x = drawn.case.x[:, 0]
    xhat = (x - x.mean()) / x.std()
    arriving = drawn.case.parameters["gamma"][0] / x.std() * drawn.case.dy[:, 0]
    basis = np.stack([np.ones(3), xhat], axis=1)
    left = arriving - basis @ np.linalg.lstsq(basis, arriving, rcond=None)[0]
    assert np.abs(left - truth(drawn.case)).max() < 1e-12
    assert np.abs(drawn.dx - left).max() < 1e-12
    assert np.abs(sum(drawn.vectors[1:]) - arriving).max() < 1e-12
    one, way, dx = drawn.vectors[1:]
    assert max(abs(one @ way), abs(one @ dx), abs(way @ dx)) < 1e-12, "right angles"
    words = told("projection", seed)
    for vector in (arriving, one, way, left):
        for value in (*vector, vector @ vector):
            assert number(value, ".2f") in words


def test_a_large_eps_leaves_something_along_xhat() -> None:
    drawn = projection.parts(0)
    assert abs(drawn.dx @ drawn.xhat) < 1e-12
    loose = projection.split(replace(drawn.case, eps=1.0))
    assert abs(loose.dx @ loose.xhat) > 0.01
    assert abs(loose.dx.sum()) < 1e-12, "but nothing along 1"


def test_the_numbers_that_are_written_add_up() -> None:
    for seed in range(4):
        drawn = projection.parts(seed)
        for row in np.array([[*vector, vector @ vector] for vector in drawn.vectors]).T:
            first, *taken = (round(float(value), 2) for value in row)
            assert round(first - sum(taken), 2) == 0
    assert not replace(drawn, dx=drawn.dx + 0.02).sum_up()
    assert not replace(drawn, arriving=-drawn.arriving).seen()


@pytest.mark.parametrize("seed", range(3))
def test_the_code_leaves_what_the_graph_has_at_its_nodes(seed: int) -> None:
    case = algorithm.group(seed)
    forward, backward = algorithm.results(case)
    done = graph.sweep(BN, case)
    s = np.sqrt(done.value("var") + case.eps)
    values = [done.value(name) for name in ("x", "mean", "var", "xhat", "y")]
    centred = case.x - done.value("mean")
    expected = [*values[:2], centred, values[2], s, *values[3:]]
    assert max(np.abs(a - b).max() for a, b in zip(forward, expected, strict=True)) < 1e-12
    dxhat, dvar, dmean = (done.gradient(name) for name in ("xhat", "var", "mean"))
    whole = dxhat / s + 2 / case.count * centred * dvar
    expected = [case.dy, dxhat, dxhat / s, 2 * s * dvar, dvar, whole, -dmean, done.gradient("x")]
    assert max(np.abs(a - b).max() for a, b in zip(backward, expected, strict=True)) < 1e-12
    assert np.abs(backward[-1][:, 0] - truth(case)).max() < 1e-12
    words = told("algorithm", seed)
    for row in (row for steps in algorithm.PASSES for row in steps.rows):
        assert row.code in words
    for value in (*forward[-1].ravel(), *backward[-1].ravel()):
        assert min(abs(float(word.replace("−", "-")) - value) for word in words if is_number(word)) <= 0.005


def is_number(word: str) -> bool:
    return word.replace("−", "").replace(".", "").isdigit()


def dependencies(rows: tuple[algorithm.Row, ...]) -> set[tuple[int, int]]:
    """Which row reads what which other row left last, as Python sees it."""
    left: dict[str, int] = {}
    found = set()
    for k, row in enumerate(rows):
        (line,) = ast.parse(row.code).body
        read = {node.id for node in ast.walk(line) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        read |= {row.name} if isinstance(line, ast.AugAssign) else set()
        found |= {(left[name], k) for name in read & left.keys()}
        left[row.name] = k
    return found


@pytest.mark.parametrize("steps", algorithm.PASSES, ids=lambda steps: steps.role)
def test_the_edges_are_what_the_code_reads(steps: algorithm.Pass) -> None:
    edges = {(k, k + 1) for k in steps.straight} | {(first, last) for first, last, _ in steps.around}
    assert dependencies(steps.rows) == edges
    shortcut = (*steps.rows[:3], steps.rows[3]._replace(code=f"{steps.rows[3].name} = {steps.rows[0].name}"))
    assert not dependencies(shortcut) <= edges


def wrong_dx(case: Case) -> dict[str, Array]:
    """What each bug does, in NumPy, from the six equations that the caption gives in short."""
    x, dy, gamma = case.x[:, 0], case.dy[:, 0], float(case.parameters["gamma"][0])
    xc, v = x - x.mean(), x.var() + case.eps

    def equations(m: float = 4, v: float = v, gamma: float = gamma, power: float = v**-1.5, **terms: float) -> Array:
        dxhat = gamma * dy
        dvar = terms.get("var", 1) * -0.5 * (dxhat * xc).sum() * power
        dmu = terms.get("mean", 1) * -dxhat.sum() / v**0.5
        return np.asarray(dxhat / v**0.5 + 2 * dvar * xc / m + dmu / m)

    right = equations()
    own = equations(mean=0) - gamma * dy / v**0.5 / 4
    return {
        "eps-missing-in-backward": equations(v=x.var(), power=x.var() ** -1.5),
        "one-element": right + np.array([1e-5 * np.abs(right).max(), 0, 0, 0]),
        "ddof": equations(m=3),
        "mean-path-own-sample": own,
        "mean-path-missing": equations(mean=0),
        "variance-path-missing": equations(var=0),
        "statistics-constant": equations(mean=0, var=0),
        "path-sign": equations(mean=-1, var=-1),
        "exponent-wrong": equations(power=v**-3 / 2),
        "gamma-missing": equations(gamma=1),
        "gamma-twice": equations(gamma=gamma**2),
        "returns-dy": dy,
    }


@pytest.mark.parametrize("seed", range(2))
def test_each_bug_does_what_is_written_beside_it(seed: int) -> None:
    case = planted_bugs.small_case(seed)
    right, wrong, marks = truth(case), wrong_dx(case), planted_bugs.marks(case)
    assert np.abs(planted_bugs.dx_of(case) - right).max() < 1e-12
    assert sorted(wrong) == sorted(mark.bug for mark in marks)
    for mark in marks:
        error = np.linalg.norm(wrong[mark.bug] - right) / np.linalg.norm(right)
        assert np.abs(mark.dx - wrong[mark.bug]).max() < 1e-12, mark.bug
        assert abs(mark.error / error - 1) < 1e-6, mark.bug
    assert [mark.error for mark in marks] == sorted(mark.error for mark in marks)


def test_bugs_hang_sorted_with_their_errors_and_their_bars() -> None:
    case = planted_bugs.small_case(0)
    right = truth(case)
    panels = [axes for page in pages("planted-bugs") for axes in page.axes]
    for axes, mark in zip(panels, planted_bugs.marks(case), strict=True):
        words = [text.get_text() for text in axes.texts]
        assert words == [planted_bugs.NAMES[mark.bug][0].en, planted_bugs.percent(mark.error)]
        assert axes.get_title(loc="left") == planted_bugs.NAMES[mark.bug][1]
        heights = np.array([bar.get_height() for bars in axes.containers for bar in bars])
        assert np.allclose(heights.reshape(3, 4), [right, mark.dx, mark.dx - right], rtol=0, atol=1e-12)
        low, high = axes.get_ylim()
        assert low < heights.min() < heights.max() < high


@pytest.fixture(scope="module")
def images() -> Case:
    return image_shapes.batch(0)


def test_shapes_and_statistics_of_images(images: Case) -> None:
    """By NumPy alone, over the axes that the figure names."""
    axes, m = (0, 2, 3), 32 * 64 * 64
    x, dy = images.x, images.dy
    mean, var = x.mean(axes), x.var(axes)
    xhat = (x - mean[:, None, None]) / np.sqrt(var + images.eps)[:, None, None]
    running = 0.1 * mean, 0.9 + 0.1 * var * m / (m - 1)
    parameters = images.parameters["gamma"], images.parameters["beta"]
    expected = [mean, var, *parameters, *running, dy.sum(axes), (dy * xhat).sum(axes)]
    lines = image_shapes.lines(images, Look())
    assert (x.shape, images.count) == ((32, 3, 64, 64), m)
    words = told("image-shapes")
    for line, values in zip(lines, expected, strict=True):
        assert values.shape == (3,), "as it is written beside each line"
        assert np.allclose(line.values.ravel(), values, rtol=1e-9, atol=0)
        assert {number(float(value), ".2f") for value in values} <= set(words)
    assert words.count("(3,)") == len(lines)
    assert {"(32, 3, 64, 64)", f"    = {m:,}".replace(",", " ")} <= set(words)
    assert find("image-shapes").about.title.en.startswith(f"{x.size:,}".replace(",", " "))


def test_shapes_and_statistics_are_those_of_torch(images: Case) -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.BatchNorm2d(3, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(images.parameters["gamma"]))
        layer.bias.copy_(torch.tensor(images.parameters["beta"]))
    x = torch.tensor(images.x, requires_grad=True)
    y = layer(x)
    y.backward(torch.tensor(images.dy))
    assert {tuple(t.shape) for t in (x, y, x.grad)} == {image_shapes.SHAPE}
    theirs = (layer.weight, layer.bias, layer.running_mean, layer.running_var, layer.bias.grad, layer.weight.grad)
    for line, values in zip(image_shapes.lines(images, Look())[2:], theirs, strict=True):
        assert values.shape == (3,)
        assert np.allclose(line.values.ravel(), values.detach().numpy(), rtol=1e-9, atol=1e-12), line.symbol


def cost(w1: complex, values: dict[str, float]) -> complex:
    """The cost of the two neurons, written once more, of a complex weight."""
    a1 = 1 / (1 + np.exp(-(w1 * values["x"] + values["b1"])))
    a2 = 1 / (1 + np.exp(-(values["w2"] * a1 + values["b2"])))
    return complex(a2**2)


@pytest.mark.parametrize("seed", range(3))
def test_the_slope_of_the_cost_by_a_complex_step(seed: int) -> None:
    near, far = (cost_slope.chain(seed, z) for z in (cost_slope.WITHIN, cost_slope.BEYOND))
    words = told("cost-slope", seed)
    for chain in (near, far):
        values = dict(chain.values)
        w1 = values["w1"]
        slope = cost(w1 + 1e-30j, values).imag / 1e-30
        assert abs(slope / chain.gradients["w1"] - 1) < 1e-12
        assert number(slope, ".4f") in words
        assert abs(np.prod([chain.factors[edge] for edge in cost_slope._FACTORS]) / slope - 1) < 1e-12
        after = w1 - 100 * slope
        assert f"$w_1$: {number(w1, '.1f')} → {number(after, '.1f')}" in words
        assert cost(after, values).real < cost(w1, values).real
        weights, costs = cost_slope.curve(chain)
        assert np.allclose(costs, [cost(complex(w), values).real for w in weights], rtol=1e-12, atol=0)
    assert far.gradients["w1"] < 0.02 * near.gradients["w1"], "what the title says"


def test_the_tangent_touches_the_curve() -> None:
    (page,) = pages("cost-slope")
    for axes in page.axes[:2]:
        curve, tangent, place, after = axes.lines
        (w1,), (value,) = (np.asarray(line) for line in place.get_data())
        weights, heights = (np.asarray(line) for line in tangent.get_data())
        assert np.isclose(np.interp(w1, weights, heights), value)
        xs, ys = (np.asarray(line) for line in curve.get_data())
        near = np.interp([w1 - 0.05, w1 + 0.05], xs, ys)
        assert abs(np.ptp(near) / 0.1 - np.ptp(heights) / np.ptp(weights)) < 1e-3
        low, high = axes.get_ylim()
        assert low < heights.min() < heights.max() < high
        assert float(np.asarray(after.get_xdata())[0]) < w1


@pytest.mark.parametrize("layer", reduction_axes.SHAPES)
def test_where_gamma_and_beta_vary(layer: str) -> None:
    """The axes along which dγ of some dy differs from place to place, all others being summed."""
    layout, shape = reduction_axes.SHAPES[layer]
    rng = np.random.default_rng(3)
    sizes = layout.parameter_shape(shape)
    parameters = {name: np.ones(sizes) for name in LAYERS[layer].parameters}
    done = graph.vjp(LAYERS[layer], Case(layout, rng.normal(size=shape), rng.normal(size=shape), parameters))
    varying = done["dgamma"].size
    everywhere = varying == np.prod(reduction_axes.CUBE[1:])
    assert everywhere or varying == reduction_axes.CHANNELS
    assert ("dbeta" in done) == (layer != "rms_norm")
    words = told("reduction-axes")
    parameters_named = "γ, β" if "dbeta" in done else "γ"
    assert f"{parameters_named}: {'C, H, W' if everywhere else 'C'}" in words
    page = pages("reduction-axes")[0]
    (edges,) = page.axes[list(reduction_axes.SHAPES).index(layer)].lines
    assert len(np.asarray(edges.get_xdata())) == (3 if everywhere else 2)
