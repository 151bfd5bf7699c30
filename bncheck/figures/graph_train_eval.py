"""Training against evaluation: in one the batch makes the statistics, in the other they come from a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bncheck.case import Array, Case
from bncheck.figures.studio.group import number, small_case
from bncheck.figures.studio.look import About, Look, Words
from bncheck.layers import LAYERS
from bncheck.oracles.graph import sweep

if TYPE_CHECKING:
    import graphviz

    from bncheck.figures.studio.diagram import Diagram, Vertex
    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Training and evaluation", "训练与评估"),
    reading=Words(
        "In training the batch makes its own statistics and leaves a trace of them in the store; in evaluation they are"
        " read from the store, no gradient goes through them, and ∂ℓ/∂x is another one.",
        "训练时统计量来自当前批次，并在存储中留下痕迹；评估时从存储中读取，没有梯度经过它们，∂ℓ/∂x 也随之不同。",
    ),
    caption=Words(
        r"Square corners: a store, $\bar{\mu}\leftarrow 0.9\,\bar{\mu}+0.1\,\mu$, $\bar{\sigma}^2\leftarrow"
        r" 0.9\,\bar{\sigma}^2+0.1\,\sigma^2 m/(m-1)$, from 0 and 1.",
        r"方角：存储，$\bar{\mu}\leftarrow 0.9\,\bar{\mu}+0.1\,\mu$，$\bar{\sigma}^2\leftarrow"
        r" 0.9\,\bar{\sigma}^2+0.1\,\sigma^2 m/(m-1)$，初值 0 和 1。",
    ),
)

NEW_WEIGHT = 0.1
"""Of the new batch in the running statistics; the variance that is stored is the unbiased one."""


class Statistics(NamedTuple):
    """A mean and a variance."""

    mean: float
    var: float


def training_case(seed: int) -> Case:
    """The small group, met by a store that is new."""
    store = {"running_mean": np.zeros(1), "running_var": np.ones(1)}
    settings = {"new_weight": NEW_WEIGHT, "ddof": 1}
    return replace(small_case(LAYERS["batch_norm_running"], seed), state=store, settings=settings)


def statistics(seed: int) -> Mapping[str, Statistics]:
    """The statistics of the small group, and what the store holds after it.

    >>> found = statistics(0)
    >>> abs(found["running"].mean - 0.1 * found["batch"].mean) < 1e-15
    True
    """
    done = sweep(LAYERS["batch_norm_running"], training_case(seed))
    return {
        which: Statistics(done.value(f"{prefix}mean").item(), done.value(f"{prefix}var").item())
        for which, prefix in (("batch", ""), ("running", "new_running_"))
    }


def gradients(seed: int) -> Mapping[str, Array]:
    """∂ℓ/∂x of the small group in training, and in evaluation with the statistics of the store."""
    case, stored = training_case(seed), statistics(seed)["running"]
    store = {f"running_{name}": np.array([value]) for name, value in stored._asdict().items()}
    frozen = replace(case, state=store, settings={})
    return {
        "training": sweep(LAYERS["batch_norm_running"], case).gradient("x").reshape(-1),
        "evaluation": sweep(LAYERS["batch_norm_eval"], frozen).gradient("x").reshape(-1),
    }


def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.page import new_page

    found, back = statistics(seed), gradients(seed)
    halves = [
        (look.say("training", "训练"), training(found), back["training"], 0.6),
        (look.say("evaluation", "评估"), evaluation(found), back["evaluation"], 0.4),
    ]
    with new_page(ABOUT, look, seed) as page:
        width, height = page.body[2:]
        left, heading, foot = 0.0, 16 * look.scale, 18 * look.scale
        for title, graph, dx, share in halves:
            wide = share * width
            area = left, foot, wide - 10 * look.scale, height - heading - foot
            axes = diagram.draw(page, graph, area, largest=0.8)
            place: dict[str, Any] = {"va": "top", "fontsize": 10 * look.scale, "color": look.colour("forward")}
            axes.text(left, height, title, **place)
            numbers = ",  ".join(number(value) for value in dx)
            place = {"va": "bottom", "fontsize": 8 * look.scale, "color": look.colour("backward")}
            axes.text(left, 3 * look.scale, rf"$\partial\ell/\partial x$:  {numbers}", **place)
            left += wide
    return page


def dot(look: Look = Look()) -> graphviz.Digraph:
    """The training graph of seed 0 in DOT."""
    from bncheck.figures.studio import diagram

    return diagram.dot_of(training(statistics(0)), "graph_train_eval")


def training(found: Mapping[str, Statistics]) -> Diagram:
    """The batch makes the statistics, which go to x̂ and, without a way back, to the store."""
    from bncheck.figures.studio.diagram import Arrow, Diagram, Vertex

    batch, running = found["batch"], found["running"]
    vertices = (
        Vertex("x", "$x$", "x", "named"),
        Vertex("mean", rf"$\mu={number(batch.mean, 3).replace('−', '-')}$", "μ", "named", role="mean_path"),
        Vertex("var", rf"$\sigma^2={number(batch.var, 3)}$", "σ²", "named", role="variance_path"),
        Vertex("xhat", r"$\hat{x}$", "x̂", "named"),
        Vertex("y", "$y$", "y", "named"),
        *_store(running),
    )
    arrows = (
        *(Arrow(*ends) for ends in (("x", "mean"), ("x", "var"), ("mean", "var"), ("x", "xhat"), ("mean", "xhat"))),
        *(Arrow(*ends) for ends in (("var", "xhat"), ("xhat", "y"))),
        *(Arrow(*ends, backward=False) for ends in (("mean", "running_mean"), ("var", "running_var"))),
    )
    return Diagram(vertices, arrows, columns=(("running_mean", "var"),))


def evaluation(found: Mapping[str, Statistics]) -> Diagram:
    """The statistics come from the store and are constants: x has one way, and one way back."""
    from bncheck.figures.studio.diagram import Arrow, Diagram, Vertex

    vertices = (
        Vertex("x", "$x$", "x", "named"),
        *_store(found["running"]),
        Vertex("xhat", r"$\hat{x}$", "x̂", "named"),
        Vertex("y", "$y$", "y", "named"),
    )
    arrows = (
        Arrow("x", "xhat"),
        *(Arrow(name, "xhat", backward=False) for name in ("running_mean", "running_var")),
        Arrow("xhat", "y"),
    )
    return Diagram(vertices, arrows, columns=(("running_mean", "x", "running_var"),))


def _store(running: Statistics) -> tuple[Vertex, Vertex]:
    from bncheck.figures.studio.diagram import Vertex

    mean, var = (number(value, 3).replace("−", "-") for value in running)
    return (
        Vertex("running_mean", rf"$\bar{{\mu}}={mean}$", "running μ", "store", role="mean_path"),
        Vertex("running_var", rf"$\bar{{\sigma}}^2={var}$", "running σ²", "store", role="variance_path"),
    )
