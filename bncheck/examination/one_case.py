"""Checks one implementation on one case: is it the layer, and is its backward the gradient of its own forward?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bncheck.bugs.mutants import ESSENTIAL, shown, unseen
from bncheck.case import Array, Case, Enclosure
from bncheck.errors import InvalidInput
from bncheck.formats import is_float
from bncheck.layers import LAYERS, Layer
from bncheck.oracles import finite_difference
from bncheck.oracles.finite_difference import Forward
from bncheck.tolerance.verdicts import (
    Comparison,
    Verdict,
    Vjp,
    compare,
    computed_truth,
    tolerance,
    truth_of,
    wrong_or_unstable,
)


@dataclass(frozen=True)
class Check:
    """Two questions, two answers, each by gradient.

    `conforms` holds every element against the layer's definition; `consistent` holds every gradient against finite
    differences of the implementation's own forward, and is empty where no forward was given. `unseen` names the
    essential bugs of `bncheck.bugs.mutants` that would have passed on this case.
    """

    conforms: Mapping[str, Comparison]
    consistent: Mapping[str, Comparison] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The verdict on the whole; where nothing failed, that of dx, and vacuous if an essential bug went unseen."""
        told = Verdict.worst([c.verdict for c in (*self.conforms.values(), *self.consistent.values())])
        if told.failed or "dx" not in self.conforms:
            return told
        if self.conforms["dx"].verdict is not Verdict.CORRECT:
            return self.conforms["dx"].verdict
        return Verdict.VACUOUS if self.unseen else Verdict.CORRECT

    def __bool__(self) -> bool:
        return self.verdict is Verdict.CORRECT


def check(
    vjp: Vjp,
    case: Case,
    *,
    forward: Forward | None = None,
    layer: Layer = LAYERS["batch_norm"],
    rounds_once: Collection[str] = (),
) -> Check:
    """Holds all that `vjp` returns for a case against the layer, within the computed tolerance, element by element.

    `rounds_once` names the results that are computed in float32 where the case has a half type, and rounded to it only
    at the end, as the frameworks do for some: their tolerance is that much narrower.

    Raises
        InvalidInput: `vjp` does not return a dict of real arrays named y, dx, dgamma or dbeta. What it raises itself
            passes through. Or `rounds_once` names what the layer does not return.

    A backward that forgets the path through the mean:

    >>> import numpy as np
    >>> from bncheck.case import Layout
    >>> rng = np.random.default_rng(0)
    >>> case = Case(Layout("NC", "N", "C"), x=rng.normal(size=(8, 4)), dy=rng.normal(size=(8, 4)))
    >>> def backward(case):
    ...     xhat = (case.x - case.x.mean(0)) / np.sqrt(case.x.var(0) + case.eps)
    ...     return {"dx": (case.dy - xhat * (case.dy * xhat).mean(0)) / np.sqrt(case.x.var(0) + case.eps)}
    >>> str(check(backward, case).verdict)
    'wrong'
    """
    allowed = tolerance(layer, case, rounds_once)
    got = _arrays(vjp(case), tuple(allowed))
    for name in rounds_once:
        if name not in allowed:
            raise InvalidInput("rounds_once", name, f"names among {', '.join(allowed)}", "Leave it out for none.")
    radii = {name: radius.radius for name, radius in allowed.items()}
    truth = truth_of(allowed) if case.dtype == np.float64 else computed_truth(layer, case)
    conforms = compare(got, truth, radii)
    blind = unseen(shown(layer, case, truth, radii, ESSENTIAL))
    for name, comparison in conforms.items():
        if comparison.verdict is Verdict.WRONG:
            told = wrong_or_unstable(vjp, layer, case, name)
            conforms[name] = replace(comparison, verdict=told)
    if forward is None:
        return Check(conforms, unseen=blind)
    grouped = "y" not in conforms or conforms["y"].verdict is not Verdict.WRONG
    estimates = finite_difference.vjp(forward, case, finite_difference.joined(case, radii), grouped=grouped)
    own = {name: Enclosure(e.value, np.zeros_like(e.value), e.error) for name, e in estimates.items()}
    gradients = {name: value for name, value in got.items() if name in own}
    return Check(conforms, compare(gradients, own, radii), blind)


def _arrays(answer: object, known: tuple[str, ...]) -> dict[str, Array]:
    """What a suspect returned, if it keeps to the contract."""
    if not isinstance(answer, Mapping) or not answer or not set(answer) <= set(known):
        told = ", ".join(map(str, answer)) if isinstance(answer, Mapping) else type(answer).__name__
        raise InvalidInput("vjp(case)", told or "{}", f"a dict with some of {', '.join(known)}", "Return {'dx': dx}.")
    found = {str(name): np.asarray(value) for name, value in answer.items()}
    for name, value in found.items():
        if not is_float(value.dtype):
            raise InvalidInput(f"vjp(case)[{name!r}].dtype", str(value.dtype), "real floating-point numbers")
    return found
