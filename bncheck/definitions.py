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
from pathlib import Path
from types import MappingProxyType, ModuleType
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


def rms_norm(x: Any, gamma: Any = 1, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> dict[str, Any]:
    """Root-mean-square normalization: nothing is centred.

    Math
        ρ = mean x²;  x̂ = x / √(ρ + ε);  y = γ x̂
    Source
        Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019, equation 4, with ε inside the root.
    """
    mean_square = mean(x * x)
    xhat = x / sqrt(mean_square + eps)
    return {"mean_square": mean_square, "xhat": xhat, "y": gamma * xhat}


RESERVED = frozenset({"x", "y", "dy", "dx", "eps", "np", *"nick", *"NmCK"})
"""Names that mean something else in formulas and generated code: inputs, indices, sizes."""


@dataclass(frozen=True)
class Layer:
    """A definition together with the layouts it is used in: what every other module takes.

    Layers that differ only in which axes they reduce share a definition; `title` then tells them apart.

    Raises
        InvalidDefinition: the function's arguments do not follow the form that this module's docstring gives.

    >>> Layer(batch_norm, (Layout("NC", "N", "C"),)).parameters
    ('gamma', 'beta')
    """

    definition: Definition
    layouts: tuple[Layout, ...]
    title: str = ""
    source: str = ""  # where `find_layer` found it, for other processes to find it again

    def __reduce__(self) -> tuple[Any, ...]:
        return (find_layer, (self.source,)) if self.source else (Layer, (self.definition, self.layouts, self.title))

    def __post_init__(self) -> None:
        if not self.layouts:
            raise InvalidInput("layouts", "()", "at least one Layout", "Layout('NC', 'N', 'C'), for example.")
        arguments = inspect.signature(self.definition).parameters.values()
        operations = {a.name for a in arguments if a.kind is a.KEYWORD_ONLY}
        names = [a.name for a in arguments if a.kind is a.POSITIONAL_OR_KEYWORD]
        variadic = any(a.kind in (a.VAR_POSITIONAL, a.VAR_KEYWORD) for a in arguments)
        if variadic or len(names) < 2 or names[-1] != "eps" or not operations <= {"mean", "sqrt"}:
            raise InvalidDefinition(
                f"definition={self.name}{inspect.signature(self.definition)}, expected"
                " f(x, PARAMETERS..., eps, *, mean, sqrt). See bncheck.definitions.batch_norm for the form."
            )
        if not self.name.isidentifier():
            raise InvalidDefinition(f"definition={self.name}, expected a function with a name. Use def.")
        for name in names[1:-1]:
            if inspect.signature(self.definition).parameters[name].default is inspect.Parameter.empty:
                raise InvalidDefinition(
                    f"parameter={name}, expected a default that leaves it out of {self.name}. Write {name}=1, or =0."
                )
            if name in RESERVED:
                raise InvalidDefinition(f"parameter={name}, expected a name that formulas do not use. Rename it.")

    @property
    def name(self) -> str:
        """The title, or else the definition's own name."""
        return self.title or str(getattr(self.definition, "__name__", "definition"))

    @property
    def address(self) -> str:
        """What `find_layer` finds it by."""
        return self.source or self.name

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
                raise InvalidInput("parameters", name, f"names {self.name} has: {known}", "Leave out the others.")
        wanted = {name: operations[name] for name in self.operations}
        named = self.definition(x, **parameters, eps=eps, **wanted)
        if not isinstance(named, dict) or not named or list(named)[-1] != "y":
            returned = f"a dict of {', '.join(named) or 'nothing'}" if isinstance(named, dict) else "no dict"
            raise InvalidDefinition(
                f"{self.name} returned {returned}, expected a dict of named values with 'y' last. Return {{'y': ...}}."
            )
        return named


def find_layer(name: str) -> Layer:
    """The layer of that name, or the definition or `Layer` called NAME in a Python file, for ``FILE.py:NAME``.

    A plain function is taken with the layouts of batch norm.

    Raises
        InvalidInput: no such layer, file or name, or the file does not run.

    >>> find_layer("batch_norm").parameters
    ('gamma', 'beta')
    """
    if name in LAYERS:
        return LAYERS[name]
    path, colon, attribute = name.rpartition(":")
    if not colon or not path.endswith(".py"):
        raise InvalidInput.unknown("layer", name, LAYERS, "Or write FILE.py:NAME for a definition of your own.")
    found = _from_file(Path(path), attribute)
    if isinstance(found, Layer):
        return Layer(found.definition, found.layouts, found.title, name)
    if not callable(found):
        raise InvalidInput("layer", name, f"a function or a Layer, not {type(found).__name__}", "Name another.")
    return Layer(found, LAYERS["batch_norm"].layouts, source=name)


def _from_file(path: Path, attribute: str) -> Any:
    if not path.is_file():
        raise InvalidInput("layer", f"{path}:{attribute}", "a Python file that exists", f"Is {path} the right path?")
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), path, "exec"), module.__dict__)  # an import would leave bytecode behind
    except (Exception, SystemExit) as error:
        raised = f"{type(error).__name__}: {error}"
        raise InvalidInput(
            "layer", str(path), f"a file that runs; it raised {raised}", f"Run it with python {path}."
        ) from error
    if not hasattr(module, attribute):
        own = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
        names = f"a name it defines: {', '.join(own)}" if own else "a file that defines a function"
        raise InvalidInput("layer", f"{path}:{attribute}", names, "Name one of its functions after the colon.")
    return getattr(module, attribute)


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
            Layer(  # Ba, Kiros and Hinton, "Layer Normalization", 2016
                batch_norm,
                (
                    Layout("ND", reduced="D", affine="D"),
                    Layout("NLD", reduced="D", affine="D"),
                    Layout("NLD", reduced="LD", affine="LD"),
                    Layout("NCHW", reduced="CHW", affine="CHW"),
                ),
                "layer_norm",
            ),
            Layer(  # Ulyanov, Vedaldi and Lempitsky, "Instance Normalization", 2016
                batch_norm,
                (
                    Layout("NCL", reduced="L", affine="C"),
                    Layout("NCHW", reduced="HW", affine="C"),
                    Layout("NCDHW", reduced="DHW", affine="C"),
                ),
                "instance_norm",
            ),
            Layer(  # Wu and He, "Group Normalization", 2018; G groups of K channels, each channel with its own γ and β
                batch_norm,
                (
                    Layout("NGK", reduced="K", affine="GK"),
                    Layout("NGKL", reduced="KL", affine="GK"),
                    Layout("NGKHW", reduced="KHW", affine="GK"),
                ),
                "group_norm",
            ),
            Layer(
                rms_norm,
                (
                    Layout("ND", reduced="D", affine="D"),
                    Layout("NLD", reduced="D", affine="D"),
                    Layout("NCHW", reduced="CHW", affine="CHW"),
                ),
            ),
        )
    }
)
