"""Suspects: each answers a case as an oracle does, and says which cases it takes, and what is amiss with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bncheck.case import Case, Gradients, Vjp
from bncheck.formats import Format, working
from bncheck.frameworks.asking.conventions import Framework, Posed, fits
from bncheck.layers import LAYERS, Layer

Takes = Callable[[Case], bool]


def every(case: Case) -> bool:
    """Whatever the case."""
    return True


@dataclass(frozen=True)
class Known:
    """Something really amiss in somebody's code, found by bncheck and kept here instead of a looser tolerance."""

    words: str
    shows: Takes


@dataclass(frozen=True)
class Suspect:
    """Somebody's implementation of one layer, the framework it belongs to, and which cases it takes.

    `forward_only` says that it has no gradient: it answers y, and the running statistics where there are any.
    `rounds_once` names the results that it computes in float32 where a case has a half type, and rounds at the end.
    """

    name: str
    vjp: Vjp
    layer: Layer | None = None
    framework: str = ""
    takes: Takes = every
    known: tuple[Known, ...] = ()
    forward_only: bool = False
    rounds_once: tuple[str, ...] = ()

    def known_on(self, case: Case) -> str:
        """What is known to be amiss with it on this case, in words; nothing where it should be right."""
        return next((known.words for known in self.known if known.shows(case)), "")


def suspect(
    framework: Framework,
    answer: Callable[[str, Posed], Gradients],
    name: str,
    layer: Layer,
    way: str = "",
    takes: Takes = every,
    known: tuple[Known, ...] = (),
    *,
    forward_only: bool = False,
    rounds_once: tuple[str, ...] = (),
) -> Suspect:
    """A suspect of a framework, which `answer` asks in one of the ways in which it can be."""

    def vjp(case: Case) -> Gradients:
        return answer(way, framework.pose(case, layer))

    def taken(case: Case) -> bool:
        return fits(case, layer) and case.settings.get("ddof", framework.ddof) == framework.ddof and takes(case)

    return Suspect(name, vjp, layer, framework.name, taken, known, forward_only, rounds_once)


def jvp_of(layer: Layer) -> Layer:
    """The layer of the Jacobian-vector product, as the table has it."""
    return next(each for each in LAYERS.values() if each.primal == layer)


def narrow(case: Case) -> bool:
    """Whether a case is in float32 or float16, which alone some implementations are asked in."""
    return case.dtype in (np.float32, np.float16)


def _cube_underflows(case: Case) -> bool:
    """Near 1e13 in float32, in which half types are computed, and 1e102 in float64."""
    largest, normal = float(np.abs(case.x).max()), Format.of(working(case.dtype)).normal
    return bool(largest > normal ** (-1 / 3))


def _mean_outweighs(case: Case) -> bool:
    """In some group E[x²] loses a bit or more when E[x]² is taken away."""
    x, axes = case.x.astype(np.float64), case.layout.reduced_axes
    return bool((x.mean(axis=axes) ** 2 > x.var(axis=axes)).any())


CUBE = Known("its backward cubes the inverse root, which underflows for large x", _cube_underflows)
ONE_PASS = Known("its variance is E[x²] − E[x]², which cancels where the mean outweighs the spread", _mean_outweighs)
