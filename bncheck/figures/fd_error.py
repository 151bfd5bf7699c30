"""The error of finite differences against their step, and how much of it rounding could excuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words, number, scientific
from bncheck.layers import LAYERS
from bncheck.oracles import finite_difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Even the best step misses the tolerance", "即使最佳步长也达不到容差"),
    reading=Words(
        "Central differences err by h² where the step is large and by rounding over h where it is small; even at the"
        " best step far more than a backward pass needs to.",
        "中心差分在步长大时误差为 h²，步长小时为舍入误差除以 h；即使在最佳步长，误差也远大于反向传播所需。",
    ),
    caption=Words(
        "Central differences of batch norm, x of shape (8, 4); errors relative to the largest |dx|.",
        "批归一化的中心差分，x 形状为 (8, 4)；误差相对于最大的 |dx|。",
    ),
)

SHAPE = (8, 4)

DTYPES = ("float32", "float64")


class Errors(NamedTuple):
    """For each step h the error of the central difference, with the tolerance; relative to the largest |dx|."""

    h: Array
    error: Array
    tolerance: float

    @property
    def best(self) -> tuple[float, float]:
        """The step with the smallest error, and that error."""
        k = int(np.argmin(self.error))
        return float(self.h[k]), float(self.error[k])

    def slope(self, low: float, high: float) -> float:
        """The power of h with which the error goes between two multiples of the best step."""
        best, _ = self.best
        within = (self.h >= low * best) & (self.h <= high * best)
        return float(np.polyfit(np.log(self.h[within]), np.log(self.error[within]), 1)[0])


def given(seed: int, dtype: str) -> Case:
    """The input of the figure; the same numbers in both dtypes, up to rounding."""
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(size=(2, *SHAPE))
    parameters = {"gamma": rng.normal(size=SHAPE[1]), "beta": rng.normal(size=SHAPE[1])}
    return Case(Layout("NC", "N", "C"), x, dy, parameters).astype(np.dtype(dtype))


def errors(seed: int, dtype: str) -> Errors:
    """Central differences at steps from 10⁻⁹ to 1, held against the 200-bit truth."""
    from bncheck.oracles import ball
    from bncheck.tolerances.bounds import tolerance

    layer, case = LAYERS["batch_norm"], given(seed, dtype)
    truth = ball.vjp(layer, case)["dx"]
    scale = float(np.abs(truth.value).max())
    forward = finite_difference.definition(layer, case)
    steps = 10.0 ** np.linspace(-9 if dtype == "float64" else -5, 0, 46 if dtype == "float64" else 26)
    found = [truth.distance(central(forward, case, h)).max() / scale for h in steps]
    return Errors(steps, np.array(found), float(tolerance(layer, case)["dx"].radius.max()) / scale)


def central(forward: finite_difference.Forward, case: Case, h: float) -> Array:
    """(y(x + h) − y(x − h)) / 2h in the case's dtype, along dy; one row moves at once, for channels are independent."""
    dx = np.empty(case.x.shape)
    for i in range(len(case.x)):
        up, down = case.x.copy(), case.x.copy()
        up[i] += case.dtype.type(h)
        down[i] -= case.dtype.type(h)
        change = ((forward(up, case.parameters) - forward(down, case.parameters)) * case.dy).sum(axis=0)
        dx[i] = change / (up[i] - down[i])
    return dx


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio.page import new_page

    with new_page(ABOUT, look, seed) as page:
        axes = page.subplots()
        single, double = (errors(seed, dtype) for dtype in DTYPES)
        _line(axes, look, "second", DTYPES[0], single, above=True)
        _line(axes, look, "first", DTYPES[1], double, above=False)
        _slope(axes, look, "second", single, (1e-5, 0), (0.01, 0.5))
        _slope(axes, look, "first", double, (1e-7, -19), (1e-3, 0.1))
        _slope(axes, look, "first", double, (1e-3, -14), (10, 1e3))
        axes.set(xscale="log", yscale="log", xlabel=look.say("step $h$", "步长 $h$"))
        axes.set_ylabel(look.say("relative error of $dx$", "$dx$ 的相对误差"))
        axes.set(xlim=(0.6e-9, 1.6), ylim=(1e-16, 10), yticks=[1e-15, 1e-10, 1e-5, 1])
        axes.minorticks_off()
        page.key(axes)
    return page


def _line(axes: Axes, look: Look, role: str, dtype: str, found: Errors, above: bool) -> None:
    h, error = found.best
    best = [int(np.argmin(found.error))]
    axes.plot(found.h, found.error, label=dtype, **look.marked(role, ms=7 * look.scale, markevery=best, zorder=3))
    colour = look.colour(role)
    said = look.say(f"best: {scientific(error)}", f"最佳：{scientific(error)}")
    axes.annotate(said, (h, error), **look.beside(0, 24 if above else -14, ha="center", weight="bold", color=colour))
    axes.axhline(found.tolerance, **look.line("reference") | {"color": colour}, lw=1.4 * look.scale)
    said = look.say(f"tolerance {scientific(found.tolerance)}", f"容差 {scientific(found.tolerance)}")
    axes.annotate(said, (1e-9, found.tolerance), **look.beside(0, 9, color=colour))


def _slope(
    axes: Axes, look: Look, role: str, found: Errors, place: tuple[float, float], part: tuple[float, float]
) -> None:
    """Writes by the line, at h and so many points higher, the slope it has in a part of itself."""
    h, higher = place
    error = float(found.error[np.argmin(np.abs(found.h - h))])
    said = look.say("slope ", "斜率 ") + number(found.slope(*part), ".1f")
    side = "right" if h < found.best[0] else "left"
    aside = -8 if side == "right" else 0
    axes.annotate(said, (h, error), **look.beside(aside, higher, ha=side, color=look.colour(role)))
