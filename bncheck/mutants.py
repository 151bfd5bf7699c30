"""The catalogue of planted bugs: each a small change of the chain rule, as found in real code.

A check is worth as much as the bugs it catches. The campaign plants every mutant in every case and reports which ones
it would have caught; a case that cannot tell the essential ones from the truth is vacuous.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from bncheck.case import Array, Case, Enclosure, Gradients


@dataclass(frozen=True)
class Mutant:
    """A wrong backward pass: what is wrong, in words, and the knobs of the chain rule that differ.

    `needs` says what a layer must have for the bug to be one: gamma, centring, or gamma-in-group, a γ that varies
    within a group. `direct`, `mean_path` and `variance_path` scale the three ways by which x reaches y; `gamma_power`
    is how often dx is multiplied by γ, and `gamma_outside` does it after the group's sums; `ddof` is subtracted from
    the group's size; `eps_factor` scales eps; `dgamma_from` is what dy is multiplied by; `mean_of_parameters` averages
    dγ and dβ; `one_element` is added to a single element of dx, relative to the largest.
    """

    words: str
    needs: frozenset[str] = frozenset()
    direct: float = 1
    mean_path: float = 1
    variance_path: float = 1
    gamma_power: int = 1
    gamma_outside: bool = False
    ddof: int = 0
    eps_factor: float = 1
    dgamma_from: str = "xhat"
    mean_of_parameters: bool = False
    one_element: float = 0

    def vjp(self, case: Case, *, centred: bool = True) -> Gradients:
        """dx, dγ and dβ of a normalization layer with this bug, rounded as an oracle's; RMS norm is not centred."""
        given, case = case, case.widened()
        axes, layout = case.layout.reduced_axes, case.layout
        parameters = case.broadcast_parameters()
        gamma = parameters.get("gamma", np.ones((), case.dtype))
        with np.errstate(all="ignore"):
            deviation = case.x - case.x.mean(axis=axes, keepdims=True) if centred else case.x
            var = (deviation * deviation).mean(axis=axes, keepdims=True)
            inv_std = 1 / np.sqrt(var + case.eps * self.eps_factor)
            xhat = deviation * inv_std
            dxhat = case.dy if self.gamma_outside else case.dy * gamma**self.gamma_power
            count = max(case.count - self.ddof, 1)
            dmean = dxhat.sum(axis=axes, keepdims=True) / count if centred else np.zeros((), case.dtype)
            dvar = (dxhat * xhat).sum(axis=axes, keepdims=True) / count
            dx = inv_std * (self.direct * dxhat - self.mean_path * dmean - self.variance_path * xhat * dvar)
            if self.gamma_outside:
                dx = dx * gamma
            if self.one_element:
                dx[(0,) * dx.ndim] += self.one_element * max(abs(dx.min()), abs(dx.max()))
            factor = {"xhat": xhat, "x": case.x, "y": gamma * xhat + parameters.get("beta", 0)}[self.dgamma_from]
            average = np.mean if self.mean_of_parameters else np.sum
            found = {"dx": dx}
            if "gamma" in parameters:
                found["dgamma"] = average(case.dy * factor, axis=layout.shared_axes)
            if "beta" in parameters:
                found["dbeta"] = average(case.dy, axis=layout.shared_axes)
        return given.answered(found)


_GAMMA, _CENTRING, _IN_GROUP = (frozenset({need}) for need in ("gamma", "centring", "gamma-in-group"))

MUTANTS: Mapping[str, Mutant] = MappingProxyType(
    {
        "zero": Mutant("dx is zero", direct=0, mean_path=0, variance_path=0),
        "mean-path-missing": Mutant("the path through the mean is missing", _CENTRING, mean_path=0),
        "variance-path-missing": Mutant("the path through the variance is missing", variance_path=0),
        "statistics-constant": Mutant("mean and variance are taken for constants", mean_path=0, variance_path=0),
        "mean-path-doubled": Mutant("the path through the mean is subtracted twice", _CENTRING, mean_path=2),
        "path-sign": Mutant("the signs of the mean and variance paths are flipped", mean_path=-1, variance_path=-1),
        "gamma-missing": Mutant("dx is not multiplied by gamma", _GAMMA, gamma_power=0),
        "gamma-twice": Mutant("dx is multiplied by gamma twice", _GAMMA, gamma_power=2),
        "gamma-outside-sum": Mutant("gamma is pulled out of the group's sums", _IN_GROUP, gamma_outside=True),
        "ddof": Mutant("the backward pass divides by m - 1", ddof=1),
        "eps-mismatch": Mutant("the backward pass uses a tenth of eps", eps_factor=0.1),
        "one-element": Mutant("one element of dx is off by 1e-5 of the largest", one_element=1e-5),
        "dgamma-not-xhat": Mutant("dgamma is summed over dy·y", _GAMMA, dgamma_from="y"),
        "reduced-by-mean": Mutant("dgamma and dbeta are averaged, not summed", _GAMMA, mean_of_parameters=True),
    }
)


def mutants_for(case: Case, *, centred: bool = True) -> dict[str, Mutant]:
    """The mutants that are bugs on this case's layout, with its parameters.

    >>> from bncheck.case import Layout
    >>> case = Case(Layout("NC", "N", "C"), x=[[0.0], [2.0]], dy=[[1.0], [0.0]])
    >>> "ddof" in mutants_for(case), "gamma-missing" in mutants_for(case)
    (True, False)
    """
    has = {"centring"} if centred else set()
    if "gamma" in case.parameters:
        inside = set(case.layout.affine) & set(case.layout.reduced)
        has |= {"gamma", "gamma-in-group"} if inside else {"gamma"}
    return {name: mutant for name, mutant in MUTANTS.items() if mutant.needs <= has}


ESSENTIAL = ("zero", "mean-path-missing", "variance-path-missing", "gamma-missing")
"""A case on which one of these passes for the truth is vacuous."""


def unseen(case: Case, truth: Enclosure, limit: Array, *, centred: bool = True) -> tuple[str, ...]:
    """The essential bugs whose dx is within `limit` of the true one: this case cannot show them.

    For a layer of one's own whose gradient is another one, the mutants say nothing, and none is named.
    """

    def passes(got: Gradients) -> bool:
        return not (truth.distance(got["dx"]) > limit).any()

    if not passes(correct(case, centred=centred)):
        return ()
    mutants = mutants_for(case, centred=centred)
    return tuple(n for n in ESSENTIAL if n in mutants and passes(mutants[n].vjp(case, centred=centred)))


def correct(case: Case, *, centred: bool = True) -> Gradients:
    """The same code without a bug: what every mutant is a small change of."""
    return Mutant("nothing is wrong").vjp(case, centred=centred)
