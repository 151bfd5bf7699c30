"""Training against evaluation: in one the batch makes the statistics, in the other they come from a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

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
        " read from the store, and no gradient goes through them.",
        "训练时统计量来自当前批次，并在存储中留下痕迹；评估时从存储中读取，没有梯度经过它们。",
    ),
    caption=Words(
        r"Square corners: a store, $\bar{\mu}\leftarrow 0.9\,\bar{\mu}+0.1\,\mu$, $\bar{\sigma}^2\leftarrow"
        r" 0.9\,\bar{\sigma}^2+0.1\,\sigma^2 m/(m-1)$, from 0 and 1.",
        r"方角：存储，$\bar{\mu}\leftarrow 0.9\,\bar{\mu}+0.1\,\mu$，$\bar{\sigma}^2\leftarrow"
        r" 0.9\,\bar{\sigma}^2+0.1\,\sigma^2 m/(m-1)$，初值 0 和 1。",
    ),
)

NEW_WEIGHT = 0.1
"""The weight of the new batch in the running statistics."""


class Statistics(NamedTuple):
    """A mean and a variance."""

    mean: float
    var: float


def statistics(seed: int) -> Mapping[str, Statistics]:
    """The statistics of the small group, and what the store holds after it, begun at 0 and 1.

    >>> found = statistics(0)
    >>> abs(found["running"].mean - 0.1 * found["batch"].mean) < 1e-15
    True
    """
    case = small_case(LAYERS["batch_norm"], seed)
    done = sweep(LAYERS["batch_norm"], case)
    batch = Statistics(done.value("mean").item(), done.value("var").item())
    unbiased = batch.var * case.count / (case.count - 1)
    running = Statistics(NEW_WEIGHT * batch.mean, (1 - NEW_WEIGHT) + NEW_WEIGHT * unbiased)
    return {"batch": batch, "running": running}


def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.page import new_page

    found = statistics(seed)
    halves = [
        (look.say("training", "训练"), training(found), 0.6),
        (look.say("evaluation", "评估"), evaluation(found), 0.4),
    ]
    with new_page(ABOUT, look, seed) as page:
        width, height = page.body[2:]
        left, heading = 0.0, 16 * look.scale
        for title, graph, share in halves:
            wide = share * width
            axes = diagram.draw(page, graph, (left, 0, wide - 10 * look.scale, height - heading), largest=0.8)
            place: dict[str, Any] = {"va": "top", "fontsize": 10 * look.scale, "color": look.colour("forward")}
            axes.text(left, height, title, **place)
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
        Vertex("mean", rf"$\mu={number(batch.mean).replace('−', '-')}$", "μ", "named", role="mean_path"),
        Vertex("var", rf"$\sigma^2={number(batch.var)}$", "σ²", "named", role="variance_path"),
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

    mean, var = (number(value).replace("−", "-") for value in running)
    return (
        Vertex("running_mean", rf"$\bar{{\mu}}={mean}$", "running μ", "store", role="mean_path"),
        Vertex("running_var", rf"$\bar{{\sigma}}^2={var}$", "running σ²", "store", role="variance_path"),
    )
