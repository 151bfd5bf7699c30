"""Training against evaluation: in one the batch makes the statistics, in the other they come from a store."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.case import Array, Case
from bncheck.figures.studio.computation import computation
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.group import COUNT, column, small_case, worked
from bncheck.figures.studio.look import About, Look, Words
from bncheck.layers import LAYERS

if TYPE_CHECKING:
    import graphviz

    from bncheck.figures.studio.diagram import Diagram
    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("In evaluation no gradient goes through the statistics", "评估时没有梯度经过统计量"),
    reading=Words(
        "In training the batch makes its own statistics and leaves a trace of them in the store; in evaluation they are"
        " read from the store, no gradient goes through them, and from the same ∂ℓ/∂y comes another ∂ℓ/∂x.",
        "训练时统计量来自当前批次，并在存储中留下痕迹；评估时从存储中读取，没有梯度经过它们，"
        "同样的 ∂ℓ/∂y 得到不同的 ∂ℓ/∂x。",
    ),
    caption=Words(
        r"Right: $\partial\ell/\partial$ of each. The store, as in PyTorch:"
        r" $\bar{\mu}\leftarrow 0.9\,\bar{\mu}+0.1\,\mu$,"
        r" $\bar{\sigma}^2\leftarrow 0.9\,\bar{\sigma}^2+0.1\,\sigma^2 m/(m-1)$, from 0 and 1.",
        r"右侧：各自的 $\partial\ell/\partial$。存储按 PyTorch 的约定："
        r"$\bar{\mu}\leftarrow 0.9\,\bar{\mu}+0.1\,\mu$，"
        r"$\bar{\sigma}^2\leftarrow 0.9\,\bar{\sigma}^2+0.1\,\sigma^2 m/(m-1)$，初值 0 和 1。",
    ),
)

NEW_WEIGHT = 0.1
"""Of the new batch in the running statistics; the variance that is stored is the unbiased one."""


class Pass(NamedTuple):
    """One way there and back.

    `x`, `dy` and `dx` have a number for each element; `batch`, the statistics of the batch, `back`, the gradients that
    come back to them, none in evaluation, and `store`, which a step of training leaves and evaluation reads, have two:
    for the mean and the variance.
    """

    x: Array
    dy: Array
    dx: Array
    batch: Array
    back: Array
    store: Array


def training(group: Case) -> Pass:
    """A group, met by a store that is new.

    >>> step = training(small_case(LAYERS["batch_norm"], 0))
    >>> bool(abs(step.store[0] - 0.1 * step.batch[0]) < 1e-15)
    True
    """
    sizes = group.layout.parameter_shape(group.x.shape)
    fresh = {"running_mean": np.zeros(sizes), "running_var": np.ones(sizes)}
    settings = {"new_weight": NEW_WEIGHT, "ddof": 1}
    case = replace(group, state=fresh, settings=settings)
    done = worked(computation(LAYERS["batch_norm_running"], case.layout), case)
    batch, store = (np.array([done.value(f"{of}{name}").item() for name in NAMES]) for of in ("", "new_running_"))
    back = np.array([done.gradient(name).item() for name in NAMES])
    return Pass(case.x.ravel(), case.dy.ravel(), done.gradient("x").ravel(), batch, back, store)


def evaluation(group: Case) -> Pass:
    """The same group and ∂ℓ/∂y, with the statistics of the store."""
    step = training(group)
    sizes = group.layout.parameter_shape(group.x.shape)
    store = {f"running_{name}": np.full(sizes, value) for name, value in zip(NAMES, step.store, strict=True)}
    case = replace(group, state=store)
    dx = worked(computation(LAYERS["batch_norm_eval"], case.layout), case).gradient("x").ravel()
    return step._replace(dy=case.dy.ravel(), dx=dx, back=np.empty(0))


@figure
def draw(look: Look = Look(), seed: int = 0, *, case: Case | None = None) -> Page:
    """The figure, for a case of one group if one is given."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.page import new_page

    group = case or small_case(LAYERS["batch_norm"], seed)
    halves = (
        (look.say("training: from the batch", "训练：来自当前批次"), training(group)),
        (look.say("evaluation: from the store", "评估：来自存储"), evaluation(group)),
    )
    with new_page(ABOUT, look, seed, origin=case.origin if case else "") as page:
        width, height = page.body[2:]
        between, heading = 14 * look.scale, 17 * look.scale
        wide = (width - between) / 2
        for k, (title, step) in enumerate(halves):
            left = k * (wide + between)
            area = left, 0.0, wide, height - heading
            axes = diagram.draw(page, graph(step), area, like=graph(halves[0][1]), largest=1.2)
            axes.text(left + wide / 2, height, title, va="top", ha="center", fontsize=10 * look.scale)
    return page


def dot(look: Look = Look(), *, case: Case | None = None) -> graphviz.Digraph:
    """The training graph of seed 0, or of a case, in DOT."""
    from bncheck.figures.studio import diagram

    return diagram.dot_of(graph(training(case or small_case(LAYERS["batch_norm"], 0))), "graph_train_eval")


def graph(step: Pass) -> Diagram:
    """One pass. What only the other one has stands faintly in its place.

    In training the batch's statistics go to x̂ and, without a way back, to the store; in evaluation they come from it.
    """
    from bncheck.figures.studio.diagram import Arrow, Diagram, Vertex

    written = partial(column, noise=0)
    trains = step.back.size > 0
    batch = Vertex("batch", r"$\mu,\ \sigma^2$", "μ, σ²", faint=True)
    if trains:
        batch = replace(
            batch, kind="named", role="mean_path", faint=False, values=written(step.batch), gradients=written(step.back)
        )
    vertices = (
        Vertex("x", "$x$", "x", "named", values=written(step.x), gradients=written(step.dx)),
        batch,
        Vertex(
            "store", r"$\bar{\mu},\ \bar{\sigma}^2$", "μ̄, σ̄²", "store", values=written(step.store), role="mean_path"
        ),
        Vertex("xhat", r"$\hat{x}$", "x̂", "named"),
        Vertex("y", "$y$", "y", "named", gradients=written(step.dy)),
    )
    arrows = (
        Arrow("x", "xhat"),
        Arrow("xhat", "y"),
        Arrow("x", "batch", faint=not trains),
        Arrow("batch", "xhat", faint=not trains),
        Arrow("batch", "store", backward=False, faint=not trains),
        Arrow("store", "xhat", backward=False, faint=trains),
    )
    away = 1 if step.x.size <= COUNT else 2  # from x, which would hide the edge to x̂ where its card is high
    cells = {"x": (0, 0), "xhat": (away, 0), "y": (away + 1, 0), "batch": (0, 1), "store": (1, 1)}
    return Diagram(vertices, arrows, cells=cells)


NAMES = ("mean", "var")
