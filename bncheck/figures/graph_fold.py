"""From the chain rule's equations to the closed form: one gradient is written out in each frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import PRESETS, About, Look, Words
from bncheck.layers import LAYERS, Layer

if TYPE_CHECKING:
    from bncheck.figures.studio.diagram import Diagram
    from bncheck.figures.studio.page import Page
    from bncheck.oracles.symbolic.derivation import Derivation

ABOUT = About(
    title=Words("All steps fold into one line", "所有步骤折叠成一行"),
    reading=Words(
        "Write each gradient on the way into the line of x, where every term keeps its place, and what is left is one"
        " line that needs no statistic's gradient at all.",
        "把途中的每个梯度代入 x 的那一行，各项保持原位，最后只剩一行，不再需要任何统计量的梯度。",
    ),
    caption=Words(
        r"$\sum$ runs over a group of $m$; every line is derived from the definition and proved.",
        r"$\sum$ 遍历一组，$m$ 为其大小；每一行都由定义推导并经过证明。",
    ),
)


@dataclass(frozen=True)
class Line:
    """The right-hand side of an equation: terms in their places, 0 where one is gone, in brackets behind a factor."""

    terms: tuple[Any, ...]
    factor: Any = 1

    @property
    def whole(self) -> Any:
        """The right-hand side as one expression."""
        import sympy as sp

        return self.factor * sp.Add(*self.terms)


@dataclass(frozen=True)
class Stage:
    """One frame: what is done, each line by the gradient it defines, and the gradients that no line needs any more.

    `changed` is the line that is another than in the frame before, if any; the terms of both stand in the same places.
    """

    words: Words
    lines: Mapping[str, Line]
    folded: frozenset[str] = frozenset()
    changed: str = ""


def stages(derivation: Derivation) -> list[Stage]:
    """The frames of a derivation, in each of which every line holds."""
    import sympy as sp

    from bncheck.figures.studio.computation import symbol
    from bncheck.oracles.symbolic.symbols import gradient_symbol, replace_indexed

    ordered = Writing(derivation).ordered
    frames = [Stage(Words("the chain rule, once for each step", "链式法则，每一步一次"),
                    {name: Line(ordered(right)) for name, right in derivation.chain_rule.items()})]  # fmt: skip

    def add(words: Words, name: str, line: Line, folded: str = "") -> None:
        last = frames[-1]
        frames.append(Stage(words, {**last.lines, name: line}, last.folded | {folded} - {""}, name))

    named = [f"d{step}" for step in derivation.steps if step != "y"]
    for name in named:
        gone = dict.fromkeys(_vanishing(derivation, derivation.chain_rule[name]), sp.S.Zero)
        if gone:
            words = Words("$=0$ by the definition of the mean", "由均值的定义 $=0$")
            add(words, name, Line(tuple(term.xreplace(gone) for term in frames[-1].lines[name].terms)))
    for name in named:
        of, right = gradient_symbol(derivation.symbol(name[1:])), frames[-1].lines[name].whole
        tex = rf"$\partial\ell/\partial {symbol(name[1:]).tex}$"
        line = Line(tuple(replace_indexed(term, of, right) for term in frames[-1].lines["dx"].terms))
        add(Words(f"{tex} written out", f"代入 {tex}"), "dx", line, name)
    steps = [name[1:] for name in named if derivation.closed["dx"].has(derivation.symbol(name[1:]).base)]
    tex = ", ".join(f"${symbol(name).tex}$" for name in steps)
    words = Words(f"the same with {tex}", f"用 {tex} 写出") if steps else Words("the same, shorter", "化简后")
    add(words, "dx", _closed(derivation, frames[-1].lines["dx"]))
    return frames


def _vanishing(derivation: Derivation, expression: Any) -> list[Any]:
    """The sums in an expression that are zero by the definition of the statistics in them."""
    import sympy as sp

    from bncheck.oracles.symbolic.symbols import has_gradient
    from bncheck.outcomes import Outcome

    sums = [s for s in expression.atoms(sp.Sum) if not has_gradient(s)]
    return [s for s in sums if derivation.vanishes(derivation.in_inputs(s)) is Outcome.PROVED]


def _closed(derivation: Derivation, line: Line) -> Line:
    """The closed form with each term in the place of the one that it equals; all of it in the first if that fails."""
    import sympy as sp

    from bncheck.oracles.symbolic.sums import is_zero
    from bncheck.oracles.symbolic.symbols import has_gradient

    closed = derivation.closed["dx"]
    brackets = [f for f in sp.Mul.make_args(closed) if isinstance(f, sp.Add) and has_gradient(f)]
    inner = brackets[0] if len(brackets) == 1 else closed
    factor = closed / inner
    terms, placed = list(sp.Add.make_args(inner)), []
    if len(terms) == len(line.terms):
        for place in map(derivation.in_inputs, line.terms):
            same = [term for term in terms if is_zero(derivation.in_inputs(factor * term) - place)]
            placed += same[:1]
            terms = [term for term in terms if term not in same[:1]]
    if len(placed) == len(line.terms):
        return Line(tuple(placed), factor)
    return Line((closed, *[sp.S.Zero] * (len(line.terms) - 1)))


class Writing:
    """Writes a derivation's expressions in mathtext: without indices, a group's size as m, roots by name."""

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
                return (r"\sum" if size == "m" else rf"\sum_{{{index}}}") + rf"\,{body}"

        self.derivation, self.writer = derivation, Writer(derivation, Bare())

    def ordered(self, expression: Any) -> tuple[Any, ...]:
        """The terms of an expression as they are written one after another."""
        import sympy as sp

        return tuple(sorted(sp.Add.make_args(expression), key=self.writer.rank))

    def sides(self, name: str, right: Any) -> tuple[str, str]:
        """A gradient, and what is on the right of its equation or a part of that."""
        import sympy as sp

        from bncheck.oracles.symbolic.symbols import gradient_symbol

        left = gradient_symbol(self.derivation.symbol(name[1:]))
        equation = self.writer.equation(name, left, self.derivation.named_roots(sp.sympify(right)))
        return _full(equation.left), _full(equation.right)

    def roots(self) -> list[str]:
        """What the roots are that the lines name."""
        derivation, bases = self.derivation, self.writer.roots
        symbols = {name: derivation.symbol(name) for name in derivation.saved}
        sides = ((bases[symbol.base][symbol.indices], 1 / derivation.saved[name]) for name, symbol in symbols.items())
        equations = (self.writer.equation("", *pair) for pair in sides)
        return [f"${left} = {right}$" for _, left, right in equations]


def _full(tex: str) -> str:
    return tex.replace(r"\frac", r"\dfrac").replace(r"\partial \ell", r"\partial\ell")


def frames(*, layer: Layer = LAYERS["batch_norm"]) -> int:
    """One frame for each stage."""
    from bncheck.oracles.symbolic.derivation import derive

    return len(stages(derive(layer)))


@figure
def draw(look: Look = Look(), seed: int = 0, *, layer: Layer = LAYERS["batch_norm"], frame: int = 1) -> Page:
    """One frame, counted from 1."""
    from bncheck.figures.studio import diagram
    from bncheck.figures.studio.page import checked_frame, new_page
    from bncheck.oracles.symbolic.derivation import derive

    derivation = derive(layer)
    every = stages(derivation)
    number = checked_frame(frame, len(every))
    note = f"{look.layer(layer.name)}  ·  {number}/{len(every)}"
    with new_page(ABOUT, look, seed, note) as page:
        sheet = _Sheet(page, derivation, every)
        left, low, wide, high = sheet.corner
        foot = 1.7 * NOTE * look.scale
        shown = steps(derivation, every[number - 1])
        diagram.draw(page, shown, (left, low + foot, wide, high - foot), like=steps(derivation, *every), largest=1.3)
        sheet.note(",  ".join(Writing(derivation).roots()), left + wide / 2, low + 0.65 * foot, "center")
        sheet.draw(number - 1)
    return page


def steps(derivation: Derivation, *shown: Stage) -> Diagram:
    """The named steps as a graph: there as they are computed, back as the lines of some stages need gradients."""
    import sympy as sp

    from bncheck.figures.studio.computation import symbol
    from bncheck.figures.studio.diagram import Arrow, Diagram, Vertex
    from bncheck.oracles.symbolic.symbols import is_gradient

    names = ["x", *derivation.steps]
    there = {
        (str(a.base.label), name)
        for name, step in derivation.steps.items()
        for a in step.expression.atoms(sp.Indexed)
        if str(a.base.label) in names
    }
    back = {
        (name[1:], str(a.base.label)[1:])
        for stage in shown
        for name, line in stage.lines.items()
        if name[1:] in names and name not in stage.folded
        for a in line.whole.atoms(sp.Indexed)
        if is_gradient(a)
    }
    roles = paths(derivation)
    arrows = [
        Arrow(*ends, role=_way(*ends, roles), forward=ends in there, backward=ends in back)
        for ends in sorted(there | back, key=lambda ends: [names.index(end) for end in ends])
    ]
    vertices = [
        Vertex(name, f"${symbol(name).tex}$", symbol(name).typed, "named", role=roles.get(name, "")) for name in names
    ]
    return Diagram(tuple(vertices), tuple(arrows), cells=_CELLS if set(_CELLS) == set(names) else {})


_CELLS = {"mean": (0, 0), "var": (1, 1), "xhat": (2, 1), "x": (0, 2), "y": (2, 2)}
"""Where the steps of batch norm and its family stand, so that no edge crosses another; others are arranged."""


def _way(tail: str, head: str, roles: Mapping[str, str]) -> str:
    """The role of an edge: the path of the statistic at one of its ends, or the direct one back from x̂."""
    return roles.get(head) or roles.get(tail) or ("backward" if head == "y" else "direct")


def paths(derivation: Derivation) -> dict[str, str]:
    """The role of each statistic: the path through it."""
    whole = derivation.inputs["x"].indices
    statistics = [name for name, step in derivation.steps.items() if step.symbol.indices != whole]
    roles = ("mean_path", "variance_path", "third", "fourth")
    return {name: roles[k % len(roles)] for k, name in enumerate(statistics)}


LARGEST, OF_X, NOTE = 15.0, 18.0, 9.5
"""The largest letters of the lines, those of the line of x, and those of a note, in points at beamer169."""

ASCENT, HEIGHT, SIGN, GAP, BRACKET, BESIDE = 1.85, 3.2, 1.6, 0.15, 2.2, 1.1
"""In letters: how far a fraction reaches above its line, how high it is with a bracket below it, the room for a sign,
what lies between two parts of a term, how large brackets around terms are, what lies between two lines in a row."""

CORNER, APART = 0.36, 14.0
"""The graph's share of the width, and what lies between it and the lines, in points at beamer169."""


class _Piece(NamedTuple):
    """A part of an equation: mathtext, the colour of a role, its size in letters."""

    text: str
    role: str
    size: float = 1.0

    @property
    def width(self) -> float:
        """In letters."""
        from bncheck.figures.studio.page import text_size

        return text_size(self.text, self.size).width


class _Place(NamedTuple):
    """What stands in one place of a line: a sign, and pieces; nothing where a term is gone."""

    sign: str = ""
    pieces: tuple[_Piece, ...] = ()

    @property
    def width(self) -> float:
        """In letters, without the sign."""
        return sum(piece.width + GAP for piece in self.pieces) - GAP * bool(self.pieces)


class _Sheet:
    """Where the lines stand, and in them their terms: the same in all frames.

    The line of x stands below, the others above it and right of the graph, for which `corner` is free: left, bottom,
    width and height in points.
    """

    def __init__(self, page: Page, derivation: Derivation, every: list[Stage]) -> None:
        self.page, self.look, self.axes, self.every = page, page.look, page.plane(), every
        self.writing, self.roles = Writing(derivation), paths(derivation)
        lines = every[0].lines
        roles = {name: self.roles.get(name[1:], "backward") for name in lines}
        self.left = {name: _Piece(f"${self.writing.sides(name, 1)[0]}\\,=$", role) for name, role in roles.items()}
        self.written = [{name: self._places(name, line) for name, line in stage.lines.items()} for stage in every]
        self.gaps, self.widths = {}, {}
        for name in lines:
            same = list(zip(*(written[name] for written in self.written), strict=True))
            self.widths[name] = [max(place.width for place in places) for places in same]
            first = 0.45 + SIGN * any(place.sign for place in same[0])
            self.gaps[name] = [first, *[SIGN] * (len(same) - 1)]
        named = [name for name in lines if name[1:] in derivation.steps]
        beside = [name for name in lines if name not in ("dx", *named)]
        self.rows = [[*named[:1], *beside], *([name] for name in named[1:])]
        self.noted = [any(stage.changed in row for stage in every) for row in self.rows]
        self.size, self.of_x = self._sizes()
        self._settle()

    def _places(self, name: str, line: Line) -> list[_Place]:
        """A line's terms as they are written."""
        places = []
        for k, term in enumerate(line.terms):
            tex = self.writing.sides(name, term)[1]
            sign = "−" if tex.startswith("-") else "+" if k else ""
            role = "backward" if name == "dx" and 0 in line.terms else self._role(name, k)
            piece = _Piece(f"${tex.removeprefix('-').strip()}$", role)
            places.append(_Place(sign, (piece,)) if term != 0 else _Place())
        if line.factor != 1:
            factor = _Piece(f"${self.writing.sides(name, line.factor)[1]}$", "backward")
            opening, closing = (_Piece(bracket, "backward", BRACKET) for bracket in "()")
            places[0] = places[0]._replace(pieces=(factor, opening, *places[0].pieces))
            places[-1] = places[-1]._replace(pieces=(*places[-1].pieces, closing))
        return places

    def _role(self, name: str, k: int) -> str:
        """The path that a term belongs to."""
        import sympy as sp

        if name != "dx":
            return self.roles.get(name[1:], "backward")
        gradients = (str(a.base.label)[1:] for a in self.every[0].lines["dx"].terms[k].atoms(sp.Indexed))
        return next((self.roles[of] for of in gradients if of in self.roles), "direct")

    def _flow(self, name: str, room: float = np.inf) -> tuple[list[tuple[float, int]], float, int]:
        """Where a line's terms stand, in letters and rows, how far they reach, and in how many rows."""
        start = x = self.left[name].width
        at, end, row = [], x, 0
        for k, (gap, width) in enumerate(zip(self.gaps[name], self.widths[name], strict=True)):
            if k and x + gap + width > room:
                x, row = start, row + 1
            at.append((x + gap, row))
            x += gap + width
            end = max(end, x)
        return at, end, row + 1

    def _sizes(self) -> tuple[float, float]:
        """The sizes of letters: as large as fit, with the line of x in as few rows as can be read."""
        scale, fits = self.look.scale, []
        for size in scale * LARGEST * 0.97 ** np.arange(130):
            for of_x in (min(share * size, scale * OF_X) for share in (1.5, 1.35, 1.2, 1.1, 1.0)):
                rows = self._fit(size, of_x)
                fits += [(rows, -size, -of_x)] if rows else []
        readable = [fit for fit in fits if -fit[1] >= PRESETS[self.look.preset].least]
        _, size, of_x = min(readable or fits)
        return -size, -of_x

    def _fit(self, size: float, of_x: float) -> int:
        """In how many rows the line of x fits the page with letters of two sizes; 0 where something does not fit."""
        width, height = self.page.body[2:]
        beside = max(sum(self._flow(name)[1] + BESIDE for name in row) - BESIDE for row in self.rows) * size
        _, end, rows = self._flow("dx", width / of_x - 1)
        high = self._needed(size, of_x, rows) <= height
        return rows * (high and beside <= width - self._beginning() and end <= width / of_x - 1)

    def _beginning(self) -> float:
        """Where the lines beside the graph begin."""
        return CORNER * self.page.body[2] + APART * self.look.scale

    def _needed(self, size: float, of_x: float, rows: int) -> float:
        """The height of all rows and notes."""
        return HEIGHT * (len(self.rows) * size + rows * of_x) + (sum(self.noted) + 1) * self._note

    @property
    def _note(self) -> float:
        """The height of a note."""
        return 1.9 * NOTE * self.look.scale

    def _settle(self) -> None:
        """Spreads the rows over the page: where each line begins and where its terms stand, in points."""
        width, height = self.page.body[2:]
        rows = self._fit(self.size, self.of_x)
        free = (height - self._needed(self.size, self.of_x, rows)) / (len(self.rows) + rows)
        self.begin: dict[str, tuple[float, float]] = {}
        self.at: dict[str, list[tuple[float, float]]] = {}

        def line(name: str, x: float, top: float, size: float, room: float = np.inf) -> float:
            at, end, _ = self._flow(name, room)
            y = top - free / 2 - ASCENT * size
            self.begin[name] = x, y
            self.at[name] = [(x + along * size, y - row * (HEIGHT * size + free)) for along, row in at]
            return x + (end + BESIDE) * size

        top = height
        for row, noted in zip(self.rows, self.noted, strict=True):
            x = self._beginning()
            for name in row:
                x = line(name, x, top, self.size)
            top -= HEIGHT * self.size + free + noted * self._note
        self.corner = 0.0, top, CORNER * width, height - top
        line("dx", self.of_x / 2, top, self.of_x, width / self.of_x - 1)

    def draw(self, k: int) -> None:
        """One frame's lines, and below what has changed in them what is said of it."""
        stage = self.every[k]
        for name in stage.lines:
            faint = name in stage.folded
            self._write(_Place("", (self.left[name],)), *self.begin[name], self._letters(name), faint)
            for place, at in zip(self.written[k][name], self.at[name], strict=True):
                self._write(place, *at, self._letters(name), faint)
        words = self.look.say(*stage.words)
        if k == len(self.every) - 1:
            self._box(k)
        if not stage.changed or k == len(self.every) - 1:
            self.note(words, self.begin["dx"][0], self.at["dx"][-1][1] - self._depth("dx") - self._note / 2, "left")
        else:
            self._bracket(words, stage.changed, k)

    def _letters(self, name: str) -> float:
        return self.of_x if name == "dx" else self.size

    def _depth(self, name: str) -> float:
        """How far below a line what is around it lies."""
        return (HEIGHT - ASCENT) * self._letters(name)

    def _write(self, place: _Place, x: float, y: float, size: float, faint: bool = False) -> None:
        """A sign, and pieces from x on; y is where letters stand."""
        style: Any = {"fontsize": size, "va": "baseline"}
        for piece in place.pieces:
            style["color"] = self.look.tint("muted", 0.5) if faint else self.look.colour(piece.role)
            if place.sign and piece is place.pieces[0]:
                self.axes.text(x - SIGN / 2 * size, y, place.sign, ha="center", **style)
            raised = {"fontsize": piece.size * size, "va": "center"} if piece.size != 1 else {}
            self.axes.text(x, y + 0.3 * size * bool(raised), piece.text, **{**style, **raised})
            x += (piece.width + GAP) * size

    def note(self, words: str, x: float, y: float, ha: str) -> None:
        """Words in small letters."""
        place: Any = {"ha": ha, "va": "center_baseline", "fontsize": NOTE * self.look.scale}
        self.axes.text(x, y, words, color=self.look.colour("muted"), **place)

    def _bracket(self, words: str, name: str, k: int) -> None:
        """Brackets below the terms that are others than in the frame before, and below them the words."""
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        from bncheck.figures.studio.page import text_size

        size, ends = self._letters(name), []
        for before, now, (x, y) in zip(self.written[k - 1][name], self.written[k][name], self.at[name], strict=True):
            if before == now:
                continue
            shown = now if now.pieces else before
            if not now.pieces:
                self._write(before, x, y, size, faint=True)
            left, right, low = x - 0.8 * SIGN * size * bool(shown.sign), x + shown.width * size, y - self._depth(name)
            path = Path([(left, low + 0.2 * size), (left, low), (right, low), (right, low + 0.2 * size)])
            style: Any = {"ec": self.look.colour(shown.pieces[0].role), "lw": 1.4 * self.look.scale, "gid": "edge"}
            self.axes.add_patch(PathPatch(path, fc="none", **style))
            ends += [left, right]
        half = text_size(words, NOTE * self.look.scale).width / 2
        middle = max(half, min((min(ends) + max(ends)) / 2, self.page.body[2] - half))
        self.note(words, middle, low - self._note / 2, "center")

    def _box(self, k: int) -> None:
        """A frame around the line of x."""
        from matplotlib.patches import Rectangle

        size, (x, y) = self.of_x, self.begin["dx"]
        places = zip(self.at["dx"], self.written[k]["dx"], strict=True)
        ends = [(along + place.width * size, level) for (along, level), place in places if place.pieces]
        right = max(end for end, _ in ends) + 0.4 * size
        low = min(level for _, level in ends) - self._depth("dx")
        left, high = x - 0.4 * size, y + ASCENT * size
        style: Any = {"ec": self.look.colour("backward"), "lw": 1.8 * self.look.scale, "gid": "edge"}
        self.axes.add_patch(Rectangle((left, low), right - left, high - low, fc="none", **style))
