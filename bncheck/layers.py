"""Layers: a definition together with the layouts it is used in, and the table of those that bncheck knows."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from keyword import iskeyword
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from bncheck.case import Layout
from bncheck.definitions import Definition, batch_norm, batch_norm_eval, batch_norm_running, rms_norm
from bncheck.errors import InvalidDefinition, InvalidInput
from bncheck.tangents import SUFFIX, forward_mode

RESERVED = frozenset({"x", "y", "eps", "np", *"nick", *"NmCK"})
"""Names that mean something else in formulas and generated code: inputs, indices, sizes."""

OPERATIONS = ("mean", "sqrt", "count")
"""What a definition may ask to be handed."""


@dataclass(frozen=True)
class Layer:
    """A definition together with the layouts it is used in: what every other module takes.

    Layers that differ only in which axes they reduce share a definition; `title` then tells them apart. `outputs` are
    the named results that the layer hands back, each of which may get an upstream gradient of its own; y is the last.

    Shapes
        x: the axes of a layout; parameters and state: its affine axes; other outputs: the axes that are not reduced.

    Raises
        InvalidDefinition: the function's arguments do not follow the form that `bncheck.definitions` gives.

    >>> Layer(batch_norm, (Layout("NC", "N", "C"),)).parameters
    ('gamma', 'beta')
    """

    definition: Definition
    layouts: tuple[Layout, ...]
    title: str = ""
    source: str = ""  # where `find_layer` found it, for other processes to find it again
    outputs: tuple[str, ...] = ("y",)
    primal: Layer | None = None  # of a jvp, the layer it is the jvp of

    def __reduce__(self) -> tuple[Any, ...]:
        if self.source or LAYERS.get(self.name) == self:
            return (find_layer, (self.address,))
        if self.primal is not None:  # its definition is made anew, for it has no address
            return (Layer.forward_mode, (self.primal,))
        return (Layer, (self.definition, self.layouts, self.title, "", self.outputs, self.primal))

    def __post_init__(self) -> None:
        if not self.layouts:
            raise InvalidInput("layouts", "()", "at least one Layout", "Layout('NC', 'N', 'C'), for example.")
        if not self.name.isidentifier():
            raise InvalidDefinition(f"definition={self.name}, expected a function with a name. Use def.")
        arguments = self._arguments.values()
        names = [a.name for a in arguments if a.kind is a.POSITIONAL_OR_KEYWORD]
        variadic = any(a.kind in (a.VAR_POSITIONAL, a.VAR_KEYWORD) for a in arguments)
        if variadic or len(names) < 2 or "eps" not in names[1:] or not set(self.operations) <= set(OPERATIONS):
            raise InvalidDefinition(
                f"definition={self.name}{inspect.signature(self.definition)}, expected"
                " f(x, PARAMETERS..., eps, *, mean, sqrt). See bncheck.definitions.batch_norm for the form."
            )
        for name in (*self.parameters, *self.state):
            if self._arguments[name].default is inspect.Parameter.empty:
                raise InvalidDefinition(
                    f"parameter={name}, expected a default that leaves it out of {self.name}. Write {name}=1, or =0."
                )
        for name in (*self.parameters, *self.state, *self.settings):
            if not self.may_name(name):
                raise InvalidDefinition(f"parameter={name}, expected a name that formulas do not use. Rename it.")

    @property
    def is_plain(self) -> bool:
        """Whether it takes x and parameters and returns y: no mode with a state, no other output, no jvp."""
        return self.outputs == ("y",) and not self.state and self.primal is None

    @property
    def name(self) -> str:
        """The title, or else the definition's own name."""
        return self.title or str(getattr(self.definition, "__name__", "definition"))

    @property
    def address(self) -> str:
        """What `find_layer` finds it by."""
        return self.source or self.name

    @cached_property
    def _arguments(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.definition).parameters

    @cached_property
    def _positional(self) -> tuple[str, ...]:
        return tuple(a.name for a in self._arguments.values() if a.kind is a.POSITIONAL_OR_KEYWORD)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of the learnable parameters, in the definition's order."""
        return self._positional[1 : self._positional.index("eps")]

    def default(self, parameter: str) -> Any:
        """The value that leaves a parameter out."""
        return self._arguments[parameter].default

    @cached_property
    def state(self) -> tuple[str, ...]:
        """The names of what is given and not learned, such as running statistics."""
        return self._positional[self._positional.index("eps") + 1 :]

    @cached_property
    def operations(self) -> tuple[str, ...]:
        """Which of `mean`, `sqrt` and `count` the definition asks for."""
        keyword = [a for a in self._arguments.values() if a.kind is a.KEYWORD_ONLY]
        return tuple(a.name for a in keyword if a.default is a.empty)

    @cached_property
    def settings(self) -> Mapping[str, float]:
        """The plain numbers that the definition takes beside eps, with their defaults."""
        keyword = [a for a in self._arguments.values() if a.kind is a.KEYWORD_ONLY]
        return MappingProxyType({a.name: a.default for a in keyword if a.default is not a.empty})

    @cached_property
    def gradient_names(self) -> frozenset[str]:
        """The names under which gradients are handed in and out, beside the named results."""
        arriving = (f"d{name}_out" for name in self.outputs[:-1])
        return frozenset({"dy", "dx", *(f"d{name}" for name in self.parameters), *arriving})

    def may_name(self, name: str) -> bool:
        """Whether an argument or a result may have this name: formulas and generated code do not use it themselves."""
        free = name not in RESERVED | self.gradient_names and (self.primal is not None or not name.endswith(SUFFIX))
        return free and name.isidentifier() and not iskeyword(name)

    def returned(self, named: Iterable[str]) -> list[str]:
        """Those of the named results that the caller gets: the outputs, and the state after the step, ``new_...``."""
        updates = {f"new_{name}" for name in self.state}
        return [name for name in named if name in self.outputs or name in updates]

    def forward(self, x: Any, given: Mapping[str, Any], eps: Any, **operations: Any) -> dict[str, Any]:
        """Every named value of the forward pass, on whatever kind of number flows in.

        `given` holds parameters, state and settings by name; what is left out keeps its default.

        Raises
            InvalidDefinition: it does not return a dictionary of named values with ``y`` last.
            InvalidInput: a parameter that the definition does not have.
        """
        known = (*self.parameters, *self.state, *self.settings)
        for name in given:
            if name not in known:
                names = f"names {self.name} has: {', '.join(known) or 'none'}"
                raise InvalidInput("parameters", name, names, "Leave out the others.")
        wanted = {name: operations[name] for name in self.operations}
        named = self.definition(x, **given, eps=eps, **wanted)
        if not isinstance(named, dict) or not named or list(named)[-1] != "y":
            returned = f"a dict of {', '.join(named) or 'nothing'}" if isinstance(named, dict) else "no dict"
            raise InvalidDefinition(
                f"{self.name} returned {returned}, expected a dict of named values with 'y' last. Return {{'y': ...}}."
            )
        return named

    def forward_mode(self) -> Layer:
        """The layer of its Jacobian-vector product."""
        source = f"{self.source}{_JVP}" if self.source else ""
        return Layer(forward_mode(self.definition), self.layouts, f"{self.name}{_JVP}", source, primal=self)


_JVP = "_jvp"


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
    if name.endswith(_JVP) and (":" in name or name.removesuffix(_JVP) in LAYERS):
        return find_layer(name.removesuffix(_JVP)).forward_mode()
    path, colon, attribute = name.rpartition(":")
    if not colon or not path.endswith(".py"):
        raise InvalidInput.unknown("layer", name, LAYERS, "Or write FILE.py:NAME for a definition of your own.")
    found = _from_file(Path(path), attribute)
    if isinstance(found, Layer):
        return replace(found, source=name)
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


_BATCH = (
    Layout("NC", reduced="N", affine="C"),
    Layout("NCL", reduced="NL", affine="C"),
    Layout("NCHW", reduced="NHW", affine="C"),
    Layout("NCDHW", reduced="NDHW", affine="C"),
    Layout("NHWC", reduced="NHW", affine="C"),
    Layout("NCHW", reduced="N", affine="CHW"),
)

_LAYERS = (
    Layer(batch_norm, _BATCH),
    Layer(batch_norm, _BATCH, "batch_norm_statistics", outputs=("mean", "var", "y")),
    Layer(batch_norm_running, _BATCH),
    Layer(batch_norm_eval, _BATCH),
    Layer(  # Ba, Kiros and Hinton, "Layer Normalization", 2016, arXiv:1607.06450
        batch_norm,
        (
            Layout("ND", reduced="D", affine="D"),
            Layout("NLD", reduced="D", affine="D"),
            Layout("NLD", reduced="LD", affine="LD"),
            Layout("NCHW", reduced="CHW", affine="CHW"),
        ),
        "layer_norm",
    ),
    Layer(  # Ulyanov, Vedaldi and Lempitsky, "Instance Normalization", 2016, arXiv:1607.08022
        batch_norm,
        (
            Layout("NCL", reduced="L", affine="C"),
            Layout("NCHW", reduced="HW", affine="C"),
            Layout("NCDHW", reduced="DHW", affine="C"),
        ),
        "instance_norm",
    ),
    Layer(  # Wu and He, "Group Normalization", 2018, arXiv:1803.08494; G groups of K channels, each with own γ and β
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

_TWICE = ("batch_norm", "batch_norm_eval", "layer_norm", "instance_norm", "group_norm", "rms_norm")

LAYERS: Mapping[str, Layer] = MappingProxyType(
    {layer.name: layer for layer in (*_LAYERS, *(layer.forward_mode() for layer in _LAYERS if layer.name in _TWICE))}
)
"""Every layer and mode by name, and for `_TWICE` the jvp, whose gradients are the second order."""
