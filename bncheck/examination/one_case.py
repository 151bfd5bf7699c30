"""Checks one implementation on one case: is it the layer, and is its backward the gradient of its own forward?"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from bncheck.bugs.planting import ESSENTIAL, OF_X, shown, unseen
from bncheck.case import Array, Case, Enclosure, Vjp
from bncheck.errors import InvalidInput
from bncheck.formats import is_float
from bncheck.layers import LAYERS, Layer
from bncheck.oracles import finite_difference
from bncheck.oracles.finite_difference import Forward
from bncheck.results import Check, findings
from bncheck.tolerances.bounds import computed_truth, tolerance, truth_of
from bncheck.tolerances.verdicts import Verdict, compare, told_apart


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
    conforms = told_apart(compare(got, truth, radii), vjp, layer, case)
    blind = unseen(shown(layer, case, truth, radii, ESSENTIAL, within=OF_X))
    if forward is None:
        return Check(findings(case, conforms), blind, got)
    grouped = "y" not in conforms or conforms["y"].verdict is not Verdict.WRONG
    estimates = finite_difference.vjp(forward, case, finite_difference.joined(case, radii), grouped=grouped)
    own = {name: Enclosure(e.value, np.zeros_like(e.value), e.error) for name, e in estimates.items()}
    gradients = {name: value for name, value in got.items() if name in own}
    return Check(findings(case, conforms, compare(gradients, own, radii)), blind, got)


def _arrays(answer: object, returned: tuple[str, ...]) -> dict[str, Array]:
    """What a suspect returned, if it keeps to the contract."""
    if not isinstance(answer, Mapping) or not answer or not set(answer) <= set(returned):
        names = ", ".join(map(str, answer)) if isinstance(answer, Mapping) else type(answer).__name__
        raise InvalidInput(
            "vjp(case)", names or "{}", f"a dict with some of {', '.join(returned)}", "Return {'dx': dx}."
        )
    arrays = {str(name): np.asarray(value) for name, value in answer.items()}
    for name, value in arrays.items():
        if not is_float(value.dtype):
            raise InvalidInput(f"vjp(case)[{name!r}].dtype", str(value.dtype), "real floating-point numbers")
    return arrays
