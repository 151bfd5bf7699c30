"""Two layers of one neuron each: every factor of the chain rule, as a symbol and as a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, prod
from typing import TYPE_CHECKING

import numpy as np

from bncheck.figures.studio.look import About, Look, Words

if TYPE_CHECKING:
    import graphviz

    from bncheck.figures.studio.diagram import Diagram
    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Two neurons, one chain", "两个神经元，一条链"),
    reading=Words(
        "The gradient of a weight is the product of the factors between it and the cost; every sigmoid on the way"
        " contributes one that is at most a quarter.",
        "权重的梯度是它与代价之间各因子的乘积；途中每个 sigmoid 贡献一个不超过四分之一的因子。",
    ),
    caption=Words(
        r"$z=w\,a+b$, $a=\sigma(z)$, $C=(a_2-t)^2$. Above: values; below: $\partial C/\partial$ of each.",
        r"$z=w\,a+b$，$a=\sigma(z)$，$C=(a_2-t)^2$。上方：数值；下方：各自的 $\partial C/\partial$。",
    ),
)


@dataclass(frozen=True)
class Chain:
    """The numbers of one forward and one backward pass.

    `values` and `gradients` are by node; `factors` are the local derivatives, by (from, to).

    >>> chain = Chain.of(0)
    >>> chain.gradients["w1"] == prod(chain.factors[step] for step in chain.way("w1"))
    True
    """

    values: Mapping[str, float]
    gradients: Mapping[str, float]
    factors: Mapping[tuple[str, str], float]

    @classmethod
    def of(cls, seed: int) -> Chain:
        """Weights, biases, input and target in tenths, drawn from a seed."""
        rng = np.random.default_rng(seed)
        x, w1, b1, w2, b2 = (float(v) for v in rng.choice(np.arange(2, 16), 5, replace=False) / 10)
        values = {"x": x, "w1": w1, "b1": b1, "w2": w2, "b2": b2, "t": 0.0}
        values["z1"] = w1 * x + b1
        values["a1"] = _sigmoid(values["z1"])
        values["z2"] = w2 * values["a1"] + b2
        values["a2"] = _sigmoid(values["z2"])
        values["C"] = (values["a2"] - values["t"]) ** 2
        factors = {
            ("w1", "z1"): x,
            ("b1", "z1"): 1.0,
            ("x", "z1"): w1,
            ("z1", "a1"): values["a1"] * (1 - values["a1"]),
            ("a1", "z2"): w2,
            ("w2", "z2"): values["a1"],
            ("b2", "z2"): 1.0,
            ("z2", "a2"): values["a2"] * (1 - values["a2"]),
            ("a2", "C"): 2 * (values["a2"] - values["t"]),
        }
        unfinished = cls(values, {}, factors)
        gradients = {name: prod(factors[step] for step in unfinished.way(name)) for name in values if name != "t"}
        return cls(values, gradients, factors)

    def way(self, name: str) -> list[tuple[str, str]]:
        """The edges from a node to the cost, the cost's first, in which order they are multiplied."""
        steps = []
        while name != "C":
            step = next(step for step in self.factors if step[0] == name)
            steps.append(step)
            name = step[1]
        return steps[::-1]


def _sigmoid(z: float) -> float:
    return 1 / (1 + exp(-z))


_TEX = {"x": "a_0", "w1": "w_1", "b1": "b_1", "z1": "z_1", "a1": "a_1", "w2": "w_2", "b2": "b_2", "z2": "z_2",
        "a2": "a_2", "t": "t", "C": "C"}  # fmt: skip

_FACTORS = {
    ("b1", "z1"): "1",
    ("x", "z1"): "w_1",
    ("w1", "z1"): "a_0",
    ("z1", "a1"): r"\sigma'(z_1)",
    ("b2", "z2"): "1",
    ("a1", "z2"): "w_2",
    ("w2", "z2"): "a_1",
    ("z2", "a2"): r"\sigma'(z_2)",
    ("a2", "C"): "2(a_2-t)",
}


def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.page import new_page

    chain = Chain.of(seed)
    with new_page(ABOUT, look, seed) as page:
        width, height = page.body[2:]
        room = 74 * look.scale
        diagram.draw(page, network(chain), (0, room, width, height - room))
        _product(page, chain, "w2", room * 0.75)
        _product(page, chain, "w1", room * 0.25)
    return page


def dot(look: Look = Look()) -> graphviz.Digraph:
    """The network of seed 0 in DOT."""
    from bncheck.figures.studio import diagram

    return diagram.dot_of(network(Chain.of(0)), "graph_two_neurons")


def network(chain: Chain) -> Diagram:
    """The network with its numbers."""
    from bncheck.figures.studio.diagram import Arrow, Diagram, Vertex
    from bncheck.figures.studio.group import number

    def vertex(name: str) -> Vertex:
        kind = "input" if name in ("x", "t") else "named" if name[0] in "wb" else "step"
        below = number(chain.gradients[name], 3) if name in chain.gradients else ""
        return Vertex(name, f"${_TEX[name]}$", name, kind, above=number(chain.values[name], 3), below=below)

    names = ("x", "w1", "b1", "z1", "a1", "w2", "b2", "z2", "a2", "t", "C")
    far = {"minlen": "2"}  # room for a label between the lines that meet at z
    arrows = [Arrow(*ends, f"${tex}$", tex, extra=far if ends[1][0] == "z" else {}) for ends, tex in _FACTORS.items()]
    arrows.append(Arrow("t", "C", "", "", backward=False))
    columns = (("w1", "x", "b1"), ("w2", "a1", "b2"))
    return Diagram(tuple(vertex(name) for name in names), tuple(arrows), columns=columns)


def _product(page: Page, chain: Chain, weight: str, y: float) -> None:
    """∂C/∂w as a row of factors over a row of their numbers."""
    from bncheck.figures.studio.group import number

    look, axes = page.look, page.axes[0]
    way = chain.way(weight)
    tops = [f"$\\partial C/\\partial {_TEX[weight]}$", *(f"${_FACTORS[step]}$" for step in way)]
    bottoms = [number(chain.gradients[weight], 4), *(number(chain.factors[step], 4) for step in way)]
    signs = ["", "=", *[r"$\cdot$"] * (len(way) - 1)]
    step = page.body[2] / 6.6
    for k, (top, bottom, sign) in enumerate(zip(tops, bottoms, signs, strict=True)):
        x = (k + 0.6) * step
        colour = look.colour("backward" if k == 0 else "forward")
        for text, shift in ((top, 8), (bottom, -8)):
            axes.text(x, y + shift * look.scale, text, ha="center", va="center_baseline", color=colour,
                      fontsize=9.5 * look.scale)  # fmt: skip
            if sign:
                axes.text(x - step / 2, y + shift * look.scale, sign, ha="center", va="center_baseline",
                          color=look.colour("muted"), fontsize=9.5 * look.scale)  # fmt: skip
