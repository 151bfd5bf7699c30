"""Two layers of one neuron each: every factor of the chain rule, as a symbol and as a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bncheck.figures.studio.chain import Chain
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import About, Look, Words

if TYPE_CHECKING:
    import graphviz

    from bncheck.figures.studio.diagram import Diagram
    from bncheck.figures.studio.page import Page

ABOUT = About(
    title=Words("Each sigmoid passes back at most a quarter", "每个 sigmoid 至多传回四分之一的梯度"),
    reading=Words(
        "The gradient of a weight is the product of the factors between it and the cost; every sigmoid on the way"
        " contributes one that is at most a quarter.",
        "权重的梯度是它与代价之间各因子的乘积；途中每个 sigmoid 贡献一个不超过四分之一的因子。",
    ),
    caption=Words(
        r"$z=w\,a+b$, $a=\sigma(z)$, $C=(a_2-t)^2$ with $t=0$. On a card: the value, below it $\partial C/\partial$."
        r" Shaded: $\sigma'\leq 1/4$, true of the sigmoid alone; the other factors may be large.",
        r"$z=w\,a+b$，$a=\sigma(z)$，$C=(a_2-t)^2$，$t=0$。卡片上：数值，其下为 $\partial C/\partial$。"
        r"底纹：$\sigma'\leq 1/4$，仅对 sigmoid 成立；其他因子可以很大。",
    ),
)


CHOSEN = ("x", "w1", "b1", "w2", "b2")
"""What the network is given; the answer that is wanted, t, is 0."""

SIGMOIDS = (("z1", "a1"), ("z2", "a2"))
"""The edges that go through a sigmoid."""

_TEX = {"x": "a_0", "w1": "w_1", "b1": "b_1", "z1": "z_1", "a1": "a_1", "w2": "w_2", "b2": "b_2", "z2": "z_2",
        "a2": "a_2", "C": "C"}  # fmt: skip

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


_CELLS = {"b1": (0, 0), "w1": (1, 0), "b2": (2, 0), "w2": (3, 0), "C": (4, 0),
          "x": (0, 1), "z1": (1, 1), "a1": (2, 1), "z2": (3, 1), "a2": (4, 1)}  # fmt: skip


@figure
def draw(look: Look = Look(), seed: int = 0) -> Page:
    """The figure."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.page import new_page

    chain = Chain.of(seed)
    with new_page(ABOUT, look, seed) as page:
        width, height = page.body[2:]
        room = 4 * LINE * look.scale
        diagram.draw(page, network(chain), (0, room, width, height - room), largest=1.15)
        _products(page, chain, room)
    return page


def dot(look: Look = Look()) -> graphviz.Digraph:
    """The network of seed 0 in DOT."""
    from bncheck.figures.studio import diagram

    return diagram.dot_of(network(Chain.of(0)), "graph_two_neurons")


def network(chain: Chain) -> Diagram:
    """The network with its numbers: inputs as they were chosen, all others in three digits."""
    from bncheck.figures.studio.diagram import Arrow, Diagram, Vertex
    from bncheck.figures.studio.group import number

    def vertex(name: str) -> Vertex:
        kind = "input" if name == "x" else "named" if name[0] in "wb" else "step"
        value = number(chain.values[name], 1 if name in CHOSEN else 3)
        gradient = number(chain.gradients[name], 3)
        return Vertex(name, f"${_TEX[name]}$", name, kind, "", (value,), (gradient,), stacked=True)

    arrows = [Arrow(*ends, f"${tex}$", tex) for ends, tex in _FACTORS.items()]
    return Diagram(tuple(map(vertex, _CELLS)), tuple(arrows), cells=_CELLS)


LETTERS, LINE = 10.0, 16.5
"""The size of the products' letters and the height of their lines, in points at beamer169."""


def _products(page: Page, chain: Chain, height: float) -> None:
    """∂C/∂w of both weights, each as a row of factors over a row of their numbers; what a sigmoid gives is shaded."""
    from matplotlib.patches import Rectangle

    from bncheck.figures.studio.group import number

    look, axes = page.look, page.axes[0]
    place: Any = {"ha": "center", "va": "center_baseline", "fontsize": LETTERS * look.scale, "zorder": 3}
    column, line = page.body[2] / 6, height / 4
    for row, weight in enumerate(("w2", "w1")):
        way = chain.way(weight)
        words = [(rf"$\partial C/\partial {_TEX[weight]}$", number(chain.gradients[weight], 4))]
        words += [(f"${_FACTORS[step]}$", number(chain.factors[step], 4)) for step in way]
        top = height - 2 * row * line
        for k, pair in enumerate(words):
            middle, role = (k + 0.5) * column, "forward" if k else "gradient"
            for y, text in zip((top - 0.55 * line, top - 1.45 * line), pair, strict=True):
                axes.text(middle, y, text, color=look.colour(role), **place)
                if k:
                    axes.text(k * column, y, "=" if k == 1 else "×", color=look.colour("muted"), **place)
            if k and way[k - 1] in SIGMOIDS:
                corner = middle - 0.4 * column, top - 1.94 * line
                shade = Rectangle(corner, 0.8 * column, 1.88 * line, fc=look.tint("backward"), ec="none", zorder=1)
                axes.add_patch(shade)
