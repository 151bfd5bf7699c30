"""Every layer's forward pass, written once, as the papers write it.

A definition is a plain function from arrays to *named* arrays. Its first argument is x, the arguments that follow are
the parameters (with the value that leaves them out as default), then comes eps; `mean` and `sqrt` are handed in. So
whatever can add, multiply, divide and be averaged can flow through it: floats, complex numbers, midpoint-radius
arrays, Arb balls, and the recording nodes that become the computation graph and the SymPy formulas.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from bncheck.case import Layout
from bncheck.errors import InvalidDefinition, InvalidInput

Definition = Callable[..., Mapping[str, Any]]


def batch_norm(x: Any, gamma: Any = 1, beta: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> dict[str, Any]:
    """Batch normalization in training mode.

    Math
        μ = mean x;  σ² = mean (x − μ)²;  x̂ = (x − μ) / √(σ² + ε);  y = γ x̂ + β
    Source
        Ioffe and Szegedy, "Batch Normalization", 2015, algorithm 1.
    """
    mu = mean(x)
    centred = x - mu
    var = mean(centred * centred)
    xhat = centred / sqrt(var + eps)
    return {"mean": mu, "var": var, "xhat": xhat, "y": gamma * xhat + beta}


@dataclass(frozen=True)
class Layer:
    """A definition together with the layouts it is used in: what every other module takes.

    Raises
        InvalidDefinition: the function's arguments do not follow the form that this module's docstring gives.

    >>> Layer(batch_norm, (Layout("NC", "N", "C"),)).parameters
    ('gamma', 'beta')
    """

    definition: Definition
    layouts: tuple[Layout, ...]

    def __post_init__(self) -> None:
        if not self.layouts:
            raise InvalidInput("layouts", "()", "at least one Layout")
        arguments = inspect.signature(self.definition).parameters.values()
        operations = {a.name for a in arguments if a.kind is a.KEYWORD_ONLY}
        names = [a.name for a in arguments if a.kind is a.POSITIONAL_OR_KEYWORD]
        variadic = any(a.kind in (a.VAR_POSITIONAL, a.VAR_KEYWORD) for a in arguments)
        if variadic or len(names) < 2 or names[-1] != "eps" or not operations <= {"mean", "sqrt"}:
            raise InvalidDefinition(
                f"definition={self.name}{inspect.signature(self.definition)}, expected"
                " f(x, PARAMETERS..., eps, *, mean, sqrt). See bncheck.definitions.batch_norm for the form."
            )

    @property
    def name(self) -> str:
        """The definition's own name."""
        return str(getattr(self.definition, "__name__", "definition"))

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of the learnable parameters, in the definition's order."""
        arguments = inspect.signature(self.definition).parameters.values()
        return tuple(a.name for a in arguments if a.kind is a.POSITIONAL_OR_KEYWORD)[1:-1]

    @cached_property
    def operations(self) -> tuple[str, ...]:
        """Which of `mean` and `sqrt` the definition asks for."""
        arguments = inspect.signature(self.definition).parameters.values()
        return tuple(a.name for a in arguments if a.kind is a.KEYWORD_ONLY)

    def forward(self, x: Any, parameters: Mapping[str, Any], eps: Any, **operations: Any) -> dict[str, Any]:
        """Every named value of the forward pass, on whatever kind of number flows in.

        Raises
            InvalidDefinition: it does not return a dictionary of named values with ``y`` last.
            InvalidInput: a parameter that the definition does not have.
        """
        for name in parameters:
            if name not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                raise InvalidInput("parameters", name, f"names the definition {self.name} has: {known}")
        wanted = {name: operations[name] for name in self.operations}
        named = self.definition(x, **parameters, eps=eps, **wanted)
        if not isinstance(named, dict) or not named or list(named)[-1] != "y":
            raise InvalidDefinition(f"{self.name} returned {type(named).__name__}, expected a dict with 'y' last.")
        return named


LAYERS: Mapping[str, Layer] = MappingProxyType(
    {
        layer.name: layer
        for layer in (
            Layer(
                batch_norm,
                (
                    Layout("NC", reduced="N", affine="C"),
                    Layout("NCL", reduced="NL", affine="C"),
                    Layout("NCHW", reduced="NHW", affine="C"),
                    Layout("NCDHW", reduced="NDHW", affine="C"),
                    Layout("NHWC", reduced="NHW", affine="C"),
                    Layout("NCHW", reduced="N", affine="CHW"),
                ),
            ),
        )
    }
)
