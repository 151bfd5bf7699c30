"""What is wrong with somebody's implementation, marked in the graph of the layer that it should be."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bncheck.bugs.diagnose import UNKNOWN, Diagnosis
from bncheck.bugs.expressions import Expression, Sum
from bncheck.bugs.programs import DY, Program, programs
from bncheck.case import Array, Case, Gradients
from bncheck.figures.studio.computation import Computation, computation, diagram
from bncheck.figures.studio.diagram import Arrow, Diagram, Vertex
from bncheck.figures.studio.group import HUGE, TINY
from bncheck.figures.studio.look import About, Look, Words
from bncheck.files import write
from bncheck.layers import LAYERS, Layer
from bncheck.results import Check, Examination, TargetReport
from bncheck.tolerances.bounds import tolerance
from bncheck.tolerances.intervals import Radius
from bncheck.trace import Node

if TYPE_CHECKING:
    from bncheck.figures.studio.page import Page

SHOWN = 8
"""How many elements of a group stand in a card at most."""

NAME, LONGEST = 24, 150
"""How many letters of a target's name and of a finding's sentence are written."""

Index = tuple[int, ...]


def illustrated(examination: Examination, folder: Path) -> Examination:
    """The same with a drawing in a folder of each bug of each target that failed, where its answer is known."""
    stems: list[str] = []
    reports = []
    for report in examination.reports:
        paths = []
        for bug, page in pages(report):
            stem = _stem(report.target, bug)
            stems.append(stem)
            again = f"-{stems.count(stem)}" if stems.count(stem) > 1 else ""
            paths.append(str(write(folder / f"{stem}{again}.svg", page.encoded("svg"))))
        reports.append(replace(report, figures=tuple(paths)))
    return replace(examination, reports=tuple(reports))


def _stem(target: str, bug: Diagnosis | None) -> str:
    """A file's name without its ending.

    >>> _stem("some/where/mine.py:Norm.backward", None)
    'mine-Norm.backward-wrong'
    """
    place, _, name = target.partition(":")
    return "-".join(
        re.sub(r"[^\w.-]+", "-", part) for part in (Path(place).stem, name, bug.id if bug else "wrong") if part
    )


def pages(report: TargetReport, look: Look = Look()) -> Iterator[tuple[Diagnosis | None, Page]]:
    """A drawing for each bug that shows in what was answered; one where none is known, none where nothing is wrong."""
    if report.witness is None:
        return
    suspicion = Suspicion(LAYERS[report.layer], *report.witness)
    if not suspicion.failing:
        return
    bugs: Sequence[Diagnosis | None] = [bug for bug in report.diagnosis if bug.gradient in suspicion.answer]
    for bug in bugs or [None]:
        yield bug, drawn(report.target, suspicion, bug, look)


@dataclass(frozen=True)
class Suspicion:
    """A case, what was answered and found there, and what is right."""

    layer: Layer
    case: Case
    found: Check

    @property
    def answer(self) -> Gradients:
        """What was answered."""
        return self.found.answer

    @cached_property
    def right(self) -> Mapping[str, Array]:
        """What is right, to double precision."""
        return {name: allowed.midpoint for name, allowed in self._allowed.items()}

    @cached_property
    def _allowed(self) -> Mapping[str, Radius]:
        return tolerance(self.layer, self.case)

    @cached_property
    def excess(self) -> Mapping[str, Array]:
        """How far each element of each array is off, in units of what rounding allows it and the truth together.

        Of arrays of the right shape.
        """
        excess = {}
        for name, got in self.answer.items():
            allowed = self._allowed[name]
            if got.shape == allowed.shape:
                with np.errstate(all="ignore"):
                    off = np.abs(got - allowed.midpoint)
                    excess[name] = np.nan_to_num(np.where(off == 0, 0.0, off / (2 * allowed.radius)), nan=np.inf)
        return excess

    @cached_property
    def failing(self) -> tuple[str, ...]:
        """The arrays that are not the layer's, as they were judged; dx first."""
        judged = self.found.gradients
        return tuple(name for name in dict.fromkeys(["dx", *judged]) if name in judged and judged[name].conforms.failed)

    def worst(self, name: str) -> Index:
        """The element of an array that is furthest off."""
        excess = self.excess[name]
        return tuple(int(k) for k in np.unravel_index(int(excess.argmax()), excess.shape))

    @cached_property
    def focus(self) -> str:
        """The array whose worst element is looked at; none where no shape is right."""
        return next((name for name in self.failing if name in self.excess), "")

    @cached_property
    def elements(self) -> list[Index]:
        """The elements of x that are shown: all of the group with the worst one, or those around it."""
        layout, x = self.case.layout, self.case.x
        place = [0] * x.ndim
        worst = self.worst(self.focus) if self.focus else tuple(place)
        for axis, k in zip(range(x.ndim) if self._is_large(self.focus) else layout.affine_axes, worst, strict=False):
            place[axis] = k
        group = tuple(slice(None) if k in layout.reduced_axes else slice(at, at + 1) for k, at in enumerate(place))
        every = np.stack(
            np.meshgrid(*(np.arange(n)[part] for n, part in zip(x.shape, group, strict=True)), indexing="ij")
        )
        places = [tuple(int(k) for k in at) for at in every.reshape(x.ndim, -1).T]
        first = min(max(places.index(tuple(place)) - SHOWN // 2, 0), max(len(places) - SHOWN, 0))
        return places[first : first + SHOWN]

    def _is_large(self, name: str) -> bool:
        return name in ("", "y", "dx")

    def places(self, name: str) -> list[Index]:
        """The elements of an array that belong to those; the worst one where none of these is wrong."""
        if self._is_large(name):
            return self.elements
        own = list(dict.fromkeys(tuple(at[k] for k in self.case.layout.affine_axes) for at in self.elements))
        return own if name not in self.failing or any(self.excess[name][at] > 1 for at in own) else [self.worst(name)]

    def columns(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What is right and what was answered, in as many digits as tell the worst of them apart."""
        places = self.places(name)
        furthest = max(range(len(places)), key=lambda k: self.excess[name][places[k]])
        right, got = ([float(values[name][at]) for at in places] for values in (self.right, self.answer))
        return apart(right, got, furthest)


def apart(right: list[float], got: list[float], k: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Numbers of which the largest has at least 3 digits, and all as many as it takes for the k-th of both to differ.

    >>> apart([0.5, 1.2345678], [0.5, 1.2345999], 1)
    (('0.50000', '1.23457'), ('0.50000', '1.23460'))
    """
    largest = max((abs(value) for value in (*right, *got) if math.isfinite(value)), default=0.0)
    place = math.floor(math.log10(largest)) if largest else 0
    form, least = ("f", max(2 - place, 0)) if TINY <= largest < HUGE else ("e", 2)

    def written(values: list[float], digits: int) -> tuple[str, ...]:
        rounded = (round(value, digits) + 0.0 if form == "f" else value for value in values)
        texts = (f"{value:.{digits}{form}}" for value in rounded)
        return tuple(re.sub(r"e\+?(-?)0*(?=\d)", r"e\1", text).replace("-", "−") for text in texts)

    several = ((written(right, digits), written(got, digits)) for digits in range(least, 18 + least))
    return next((both for both in several if both[0][k] != both[1][k]), (written(right, least), written(got, least)))


def drawn(target: str, suspicion: Suspicion, bug: Diagnosis | None, look: Look = Look()) -> Page:
    """The layer's graph, with what was answered beside what is right, and where the bug is."""
    from bncheck.figures.studio import diagram as graphs
    from bncheck.figures.studio.page import new_page

    layer, case = suspicion.layer, suspicion.case
    found = computation(layer, case.layout)
    place = where(found, bug)
    origin = f"{case.dtype}, {case.layout}"
    with new_page(_about(target, suspicion, bug, place), look, 0, look.layer(layer.name), origin) as page:
        graphs.draw(page, marked(found, suspicion, place, look))
    return page


def _about(target: str, suspicion: Suspicion, bug: Diagnosis | None, place: Place) -> About:
    """The name of the target and of the bug; the finding's sentence, and how the marks are read."""
    wrong = f"{bug.gradient}: {bug.id.replace('-', ' ')}" if bug else f"{', '.join(suspicion.failing)} wrong"
    name = re.split(r"[:+]", target)[-1 if ":" in target else 0].removesuffix(".py")
    title = f"{wrong}, in {name if len(name) <= NAME else name[: NAME - 1] + '…'}"
    said = f"{_sentence(bug, suspicion.case)} " if bug else ""
    marks = Words("", "")
    if place.framed:
        marks = Words("Framed: there. ", "加框：所在之处。")
    elif place.ways:
        marks = Words("✗ beside an edge: there. ", "边旁的 ✗：所在之处。")
    signs = Words("✓ right gradients, ✗ those returned", "✓ 正确的梯度，✗ 返回的梯度")
    if "y" in suspicion.failing:
        signs = Words(f"{signs.en}, and values of y", f"{signs.zh}，y 处为数值")
    group = Words("", "")
    if suspicion.focus:
        worst = f"{suspicion.focus}[{', '.join(map(str, suspicion.worst(suspicion.focus)))}]"
        shown, count = len(suspicion.elements), suspicion.case.count
        group = Words(f"; the group of {worst}", f"；{worst} 所在的组")
        if shown < count:
            group = Words(
                f"; {shown} of a group's {count} elements, around {worst}",
                f"；一组 {count} 个元素中 {worst} 附近的 {shown} 个",
            )
    return About(
        Words(title, title),
        Words("A gradient that was returned wrong stands beside the right one.", "返回的错误梯度写在正确梯度旁边。"),
        Words(f"{said}{marks.en}{signs.en}{group.en}.", f"{said}{marks.zh}{signs.zh}{group.zh}。"),
    )


def _sentence(bug: Diagnosis, case: Case) -> str:
    """What a diagnosis says first."""
    said = bug.explanation.partition("; ")[0] if bug.id == UNKNOWN else bug.explanation
    if said.split()[0] not in ("y", *case.gradient_names):
        said = said[:1].upper() + said[1:]
    short = textwrap.shorten(said, LONGEST, placeholder=" …")
    return short if short.endswith("…") else f"{short}."


def marked(found: Computation, suspicion: Suspicion, place: Place, look: Look = Look()) -> Diagram:
    """The layer's diagram with verdicts on what was answered; a bug's steps are framed, its ways back crossed out."""
    plain = diagram(found, look, derivatives=False)
    vertices = []
    for node, vertex in zip(found.nodes, plain.vertices, strict=True):
        name = "y" if node is found.graph.named["y"] else f"d{node.name}"
        role = "wrong" if node in place.framed else ""
        vertices.append(_answered(replace(vertex, cluster="", boxed=node in place.framed, role=role), name, suspicion))
    edges = {(found.keys[tail], found.keys[head]) for tail, head in place.ways}
    arrows = [
        _crossed(arrow) if (arrow.tail, arrow.head) in edges else replace(arrow, faint=bool(edges))
        for arrow in plain.arrows
    ]
    return replace(plain, vertices=tuple(vertices), arrows=tuple(arrows), clusters={})


def _crossed(arrow: Arrow) -> Arrow:
    return replace(arrow, role="wrong", label="✗", typed="✗")


def _answered(vertex: Vertex, name: str, suspicion: Suspicion) -> Vertex:
    if name not in suspicion.answer:
        return vertex
    if name not in suspicion.failing:
        return replace(vertex, signs=("✓",), role=vertex.role or "correct")
    if name not in suspicion.excess:
        return replace(vertex, signs=("✗",), role="wrong")
    right, got = suspicion.columns(name)
    return replace(vertex, signs=("✓", "✗"), values=right, gradients=got, role="wrong")


class Place(NamedTuple):
    """Where a bug is: the nodes whose step is another, and the edges back along which what comes is lost or another."""

    framed: tuple[Node, ...] = ()
    ways: tuple[tuple[Node, Node], ...] = ()


def where(found: Computation, bug: Diagnosis | None) -> Place:
    """The place of a bug in a layer's graph; nowhere where no program reproduces it.

    A bug of the forward pass is there; what the backward pass makes of it is not.
    """
    program = None if bug is None else bug.program
    if program is None or program.layer is not found.layer:
        return Place()
    right = programs(program.layer, program.layout, program.parameters).get(program.style, program)
    for mine, its in ((program.forward, right.forward), (program.saved, right.saved)):
        if first := next((label for label in its if mine.get(label) != its[label]), ""):
            node = _node(found, first)
            return Place((node,) if node else ())
    framed: list[Node] = []
    receivers: dict[Node, Node] = {}
    for label in (label for label in right.backward if program.backward.get(label) != right.backward[label]):
        node = _node(found, label.removeprefix("∂"))
        if node is None:
            continue
        senders = [_node(found, name) for name in sorted(_of_lost_terms(label, program, right))]
        for sender in filter(None, senders):
            if sender not in receivers or len(node.axes) > len(receivers[sender].axes):  # at μ they add up to 0
                receivers[sender] = node
        if not any(senders):
            framed.append(node)
    ways = [edge for sender, node in receivers.items() for edge in _way(found, node, sender)]
    return Place(tuple(framed), tuple(dict.fromkeys(ways)))


def _of_lost_terms(label: str, program: Program, right: Program) -> set[str]:
    """The names whose gradients are in terms of a sum that are lost or others, and in no term that is right."""
    terms, others = (_terms(steps[label]) for steps in (right.backward, program.backward))
    kept = [term for term in terms if term in others]
    return _gradients_in(term for term in terms if term not in kept) - _gradients_in(kept) if kept else set()


def _terms(expression: Expression) -> tuple[Expression, ...]:
    return expression.terms if isinstance(expression, Sum) else (expression,)


def _gradients_in(terms: Iterable[Expression]) -> set[str]:
    names = {name for term in terms for name in term.names}
    return {"y" if name == DY else name[1:] for name in names if name.startswith("∂") or name == DY}


def _node(found: Computation, label: str) -> Node | None:
    """The node of a step, by its name or by what it is: a difference, a root."""
    named = {**found.graph.inputs, **found.graph.named}
    if label in named:
        return named[label]
    kind, _, later = label.removeprefix("inv_").partition(" ")
    operation = {"centred": "subtract", "std": "sqrt"}.get(kind, "")
    alike = [node for node in found.nodes if node.operation == operation]
    k = int(later or 1) - 1
    return alike[k] if k < len(alike) else None


def _way(found: Computation, node: Node, sender: Node) -> list[tuple[Node, Node]]:
    """The edges of the shortest way from a node to one that sends it a gradient."""
    ways: list[list[Node]] = [[node]]
    for way in ways:
        if way[-1] is sender:
            return list(pairwise(way))
        ways += [[*way, head] for tail, head in found.edges() if tail is way[-1]]
    return []
