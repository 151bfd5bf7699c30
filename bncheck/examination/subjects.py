"""Whom one can ask: a target in its sandbox or a function of this process, and the cases that suit it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bncheck.case import Case, Layout, Vjp
from bncheck.inputs.probes import probes
from bncheck.inputs.sizes import FEW, TELLING, Sizes, shape_of
from bncheck.layers import Layer
from bncheck.oracles.finite_difference import Forward
from bncheck.targets.calls import TRIAL_EPS, Target

_TELLING_EPS = 0.5  # as large as the variances it is added to, so that no place of eps looks like another


@dataclass(frozen=True)
class Given:
    """A function of this process, to be examined as it is: `vjp(case) -> Gradients`, and perhaps its forward."""

    vjp: Vjp
    layouts: tuple[Layout, ...]
    forward: Forward | None = None
    dtypes: tuple[str, ...] = ("float64", "float32")
    recognised_as: str = "a function of a case"
    observations: Mapping[str, Any] = field(default_factory=dict)
    eps: float | None = None
    has_backward: bool = True

    @property
    def name(self) -> str:
        """The function's own name."""
        return str(getattr(self.vjp, "__qualname__", type(self.vjp).__name__))

    def fixed_sizes(self, layout: Layout | None = None) -> dict[str, int]:
        """None: it is asked in any sizes."""
        return {}

    def adapted(self, case: Case) -> Case:
        """The case, with the eps that the function keeps to."""
        return replace(case, eps=self.eps or case.eps)

    def forward_of(self, case: Case) -> Forward | None:
        """Its forward, where there is one."""
        return self.forward


Subject = Target | Given


def fitting(subject: Subject, layout: Layout, usual: Sizes) -> tuple[int, ...]:
    """A shape that a subject takes."""
    return shape_of(layout, usual, subject.fixed_sizes(layout), distinct=True)


def telling(
    subject: Subject, layer: Layer, layout: Layout, dtype: str, seed: int, eps: float | None = None
) -> tuple[Case, ...]:
    """Cases on which no two bugs look alike, in sizes and with an eps that the subject takes."""
    takes_eps = not isinstance(subject, Target) or subject.plan.takes_eps
    eps = eps or subject.eps or (_TELLING_EPS if takes_eps else TRIAL_EPS)
    shapes = [fitting(subject, layout, sizes) for sizes in (TELLING, FEW)]
    cases = probes(layer, layout, shapes, dtype=dtype, eps=eps, seed=seed)
    return tuple(map(subject.adapted, cases))
