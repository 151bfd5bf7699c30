"""From the chain rule's equations to the closed form: a statistic is folded away in each frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bncheck.figures.studio.look import About, Look, Words
from bncheck.layers import LAYERS, Layer

if TYPE_CHECKING:
    from bncheck.figures.studio.diagram import Diagram
    from bncheck.figures.studio.page import Page
    from bncheck.oracles.symbolic.derivation import Derivation

ABOUT = About(
    title=Words("From the chain rule to one line", "从链式法则到一行"),
    reading=Words(
        "Write each statistic's gradient into the next equation, and what is left is one line that needs no statistic's"
        " gradient at all.",
        "把每个统计量的梯度代入下一个方程，最后只剩一行，不再需要任何统计量的梯度。",
    ),
    caption=Words(
        r"$\sum$ runs over a group of $m$; every line is derived from the definition and proved.",
        r"$\sum$ 遍历一组，$m$ 为其大小；每一行都由定义推导并经过证明。",
    ),
)


@dataclass(frozen=True)
class Stage:
    """One frame: what is done, the equations as (gradient's name, right-hand side), and what is folded by then."""

    words: Words
    equations: tuple[tuple[str, Any], ...]
    folded: frozenset[str]


def stages(derivation: Derivation) -> list[Stage]:
    """The frames of a derivation, each equal to the one before it."""
    import sympy as sp

    from bncheck.figures.studio.computation import symbol
    from bncheck.oracles.symbolic.symbols import gradient_symbol, replace_indexed

    named = [name for name in derivation.steps if name != "y"]
    whole = derivation.inputs["x"].indices
    statistics = frozenset(name for name in named if derivation.steps[name].symbol.indices != whole)
    found = [Stage(Words("the chain rule, once for each step", "链式法则，每一步一次"),
                   tuple(derivation.chain_rule.items()), frozenset())]  # fmt: skip
    chained = dict(derivation.chain_rule)
    for name in named:
        gone = _vanishing(derivation, chained[f"d{name}"])
        if gone:
            chained[f"d{name}"] = chained[f"d{name}"].xreplace(dict.fromkeys(gone, sp.S.Zero))
            tex = Writing(derivation).expression(gone[0])
            words = Words(f"${tex} = 0$, by the definition of the mean", f"由均值的定义，${tex} = 0$")
            found.append(Stage(words, ((f"d{name}", chained[f"d{name}"]),), frozenset()))
    gradient = chained["dx"]
    for k, name in enumerate(named):
        gradient = replace_indexed(gradient, gradient_symbol(derivation.symbol(name)), chained[f"d{name}"])
        tex = rf"$\partial\ell/\partial {symbol(name).tex}$"
        words = Words(f"{tex} written out", f"代入 {tex}")
        found.append(Stage(words, (("dx", gradient),), frozenset(named[: k + 1]) & statistics))
    roots = ", ".join(f"${tex}$" for tex in Writing(derivation).roots())
    words = Words(rf"$\hat{{x}}$ put in, and {roots}", rf"代入 $\hat{{x}}$ 和 {roots}")
    return [*found, Stage(words, (("dx", derivation.closed["dx"]),), statistics)]


def _vanishing(derivation: Derivation, expression: Any) -> list[Any]:
    """The sums in an expression that are zero by the definition of the statistics in them."""
    import sympy as sp

    from bncheck.oracles.symbolic.symbols import has_gradient
    from bncheck.outcomes import Outcome

    sums = [s for s in expression.atoms(sp.Sum) if not has_gradient(s)]
    return [s for s in sums if derivation.vanishes(derivation.in_inputs(s)) is Outcome.PROVED]


class Writing:
    """Writes a derivation's expressions in mathtext, for slides: without indices, the group's size as m."""

    def __init__(self, derivation: Derivation) -> None:
        from bncheck.report.notations import Latex
        from bncheck.report.writer import Shown, Writer

        sizes = {} if "i" in derivation.roles else {"K": "m"}

        class Bare(Latex):
            def size(self, name: str) -> str:
                return super().size(sizes.get(name, name))

            def value(self, shown: Shown, indices: list[str]) -> str:
                return super().value(shown, [])

            def sum_over(self, index: str, size: str, body: str) -> str:
                return rf"\sum\,{body}"

        self.derivation, self.writer = derivation, Writer(derivation, Bare())

    def expression(self, expression: Any) -> str:
        """An expression."""
        return self.writer.expression(expression, {i: i.name for i in expression.free_symbols if not i.is_Indexed})

    def roots(self) -> list[str]:
        """The equations of the roots that the closed form names."""
        roots = self.writer.equations("closed")[0][len(self.derivation.steps) :]
        return [f"{left} = {self.writer.notation.terms(right)}" for left, right in roots]

    def equation(self, name: str, right: Any) -> tuple[str, list[str]]:
        """The left side of an equation, and the terms of its right side, each with its sign."""
        from bncheck.oracles.symbolic.symbols import gradient_symbol

        left, signed = self.writer.equation(gradient_symbol(self.derivation.symbol(name[1:])), right)
        terms = [("-" if negative else "+" if k else "") + text for k, (negative, text) in enumerate(signed)]
        return left, terms


def frames(*, layer: Layer = LAYERS["batch_norm"]) -> int:
    """One frame for each stage."""
    from bncheck.oracles.symbolic.derivation import derive

    return len(stages(derive(layer)))


def draw(look: Look = Look(), seed: int = 0, *, layer: Layer = LAYERS["batch_norm"], frame: int = 1) -> Page:
    """One frame, counted from 1."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.page import checked_frame, new_page
    from bncheck.oracles.symbolic.derivation import derive

    derivation = derive(layer)
    every = stages(derivation)
    stage = every[checked_frame(frame, len(every)) - 1]
    note = f"{look.layer(layer.name)}  ·  {frame}/{len(every)}"
    with new_page(ABOUT, look, seed, note) as page:
        width, height = page.body[2:]
        below = 0.55 * height
        whole = steps(derivation, frozenset())
        axes = diagram.draw(page, steps(derivation, stage.folded), (0, below, width, height - below), like=whole)
        size = 10 * look.scale
        axes.text(0, below - size, look.say(*stage.words), fontsize=size, va="center", color=look.colour("muted"))
        writing = Writing(derivation)
        _write(page, [writing.equation(*each) for each in stage.equations], below - 2.2 * size)
    return page


def _write(page: Page, equations: list[tuple[str, list[str]]], top: float) -> None:
    """Equations in as few lines as their widths allow, long ones broken between terms, as large as fits."""
    from bncheck.figures.studio.page import text_size

    look, axes = page.look, page.axes[0]
    for size in (14.0, 13.0, 12.0, 11.0, 10.0, 9.0, 8.0, 7.0, 6.0, 5.0):
        letters = size * look.scale
        lines = _lines(equations, letters, page.body[2])
        step = 2.35 * letters
        widths = [sum(indent + text_size(text, letters).width for text, indent in line) for line in lines]
        if len(lines) * step <= top and max(widths) <= page.body[2]:
            break
    free = (top - len(lines) * step) / 3
    for k, line in enumerate(lines):
        x, y = 0.0, top - free - (k + 0.5) * step
        for text, indent in line:
            axes.text(x + indent, y, text, fontsize=letters, va="center", color=look.colour("backward"))
            x += indent + text_size(text, letters).width


def _lines(equations: list[tuple[str, list[str]]], size: float, width: float) -> list[list[tuple[str, float]]]:
    """Texts with the space before each, line by line."""
    from bncheck.figures.studio.page import text_size

    lines: list[list[tuple[str, float]]] = [[]]
    used = 0.0
    for left, terms in equations:
        pieces = [f"{left} = {terms[0]}"]
        for term in terms[1:]:
            if text_size(f"${pieces[-1]} {term}$", size).width <= width - 2 * size:
                pieces[-1] += f" {term}"
            else:
                pieces.append(rf"{{}}{term}")
        for k, piece in enumerate(pieces):
            text = f"${piece}$"
            needed = text_size(text, size).width
            indent = 2 * size if k or (lines[-1] and not k) else 0.0
            if (k and lines[-1]) or used + indent + needed > width:
                lines.append([])
                used, indent = 0.0, 2 * size if k else 0.0
            lines[-1].append((text, indent))
            used += indent + needed
    return [line for line in lines if line]


def steps(derivation: Derivation, folded: frozenset[str]) -> Diagram:
    """The named steps as a graph; what is folded stays behind faintly, and x hears from what it folded into."""
    import sympy as sp

    from bncheck.figures.studio.computation import symbol
    from bncheck.figures.studio.diagram import Arrow, Diagram, Vertex

    names = ["x", *derivation.steps]
    vertices = [
        Vertex(name, f"${symbol(name).tex}$", symbol(name).typed, "named", faint=name in folded) for name in names
    ]
    last = next(name for name in derivation.steps if name not in folded)
    arrows = []
    for name, step in derivation.steps.items():
        sources = {str(a.base.label) for a in step.expression.atoms(sp.Indexed)}
        for source in (s for s in names if s in sources):
            gone = bool({source, name} & folded)
            merged = bool(folded) and (source, name) == ("x", last)
            arrows += [Arrow(source, name, faint=gone, backward=not gone, forward=not merged)]
    return Diagram(tuple(vertices), tuple(arrows))
