"""Finds in somebody's file what can be called as a normalization layer. Only the child process imports this."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from bncheck.targets.child.factories import Made, made_by
from bncheck.targets.child.failures import failure, is_library
from bncheck.targets.child.families import NumPy, Tensors
from bncheck.targets.child.loading import load
from bncheck.targets.child.modules import FlaxModule, KerasLayer, OnnxModel, TorchModule
from bncheck.targets.child.roles import FORWARD, arguments, role, roles_of
from bncheck.targets.child.spoken import Spoken
from bncheck.targets.child.styles import Adapter, Style

_FORWARD = re.compile(r"(?<![a-z])(forward|fwd|fprop)(?![a-z])", re.IGNORECASE)
_BACKWARD = re.compile(r"(?<![a-z])(backward|bwd|backprop|bprop|back|grad|grads|gradient|gradients|vjp)(?![a-z])", re.I)
_VARIANT = re.compile(r"_?((alt|alternative|simple|simplified|naive|fast|slow|direct|closed|graph|final|v?\d+)_?)*")
_NORM = re.compile(r"norm|(?<![a-z])([blgir]n|rms)(?![a-z])", re.IGNORECASE)
_OF_A_NORM = frozenset({"gamma", "γ", "eps", "epsilon", "ε"})


_LIBRARIES = frozenset({"builtins", "functools", "jax", "jaxlib", "numba", "numpy", "torch"})
"""Whose objects are no layers unless they say so."""


@dataclass(frozen=True)
class Candidate:
    """Something callable, under the name by which it can be asked for; `hint` is what its layer may be read off.

    Where it is not `sure`, nothing but its behaviour can tell whether it is a layer at all; `helps` says that other
    code of its file calls it.
    """

    name: str
    style: Style
    hint: str
    sure: bool = True
    helps: bool = False


@dataclass(frozen=True)
class Contents:
    """What can be called, in its own order, and what was remarked on the way.

    `in_vain` is about what was looked at and is no candidate, `loading` about what was amiss before; `names` are those
    that could have been asked for, where one was that is not there. `unpaired` are the backward functions of a layer
    with which no forward goes by its name.
    """

    candidates: list[Candidate]
    unpaired: list[str] = field(default_factory=list)
    in_vain: list[str] = field(default_factory=list)
    loading: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def contents(address: str, wanted: str) -> Contents:
    """What can be called in a file or module.

    `wanted` is a name to look for alone, or "": then only what the file itself defines is looked at.
    """
    if address.endswith(".onnx"):
        return Contents([Candidate(Path(address).name, OnnxModel(address), Path(address).stem)])
    module, loading = load(address)
    return replace(contents_of(module, wanted), loading=loading)


def contents_of(module: ModuleType, wanted: str = "") -> Contents:
    """What can be called in a module that is loaded."""
    if not wanted and is_adapter(module):
        return Contents([Candidate("vjp", Adapter(module), str(getattr(module, "LAYER", "")))])
    own = {name: thing for name, thing in vars(module).items() if _is_own(module, name, thing)}
    held = candidates_among(vars(module) if wanted else own, wanted)
    if held.candidates or not wanted or wanted in vars(module):
        return held
    likely = sorted(candidates_among(own).candidates, key=lambda one: not one.sure)
    known = [name for one in likely for name in one.name.split("+")]
    return Contents([], names=list(dict.fromkeys(known)) or [name for name, thing in own.items() if callable(thing)])


def candidates_among(named: dict[str, Any], wanted: str = "") -> Contents:
    """What can be called among some named objects, in their order, and remarks on what was looked at in vain.

    An object that cannot even be looked at is one of these remarks.
    """
    remarks: list[str] = []
    sound, found = dict[str, Any](), list[Candidate]()
    for name, held in named.items():
        try:
            thing = (made_by(held) if inspect.isfunction(held) else None) or held
            found += _things({name: thing}, wanted)
            list(_functions(_Functions({name: thing}), name))
            sound[name] = thing
        except Exception as error:
            remarks.append(f"{name} {failure(error)['words']} when it was looked at")
    kinds = {name: kind for name, kind in sound.items() if isinstance(kind, type) and not _is_of_a_framework(kind)}
    for one in found:  # the backward may be another class's
        if type(one.style) is Spoken and isinstance(one.style.thing, type) and not one.style.has_backward:
            one.style.partners = {name: kind for name, kind in kinds.items() if kind is not one.style.thing}
    functions = _Functions(sound)
    found += _functions(functions, wanted)
    if wanted:
        alone = [name for name in functions.unpaired if name == wanted]
        return Contents([one for one in found if wanted in _names(one)], alone, remarks)
    order = list(named)
    found.sort(key=lambda one: order.index(re.split(r"[+.]", one.name)[0]))
    called = _called(sound)
    unpaired = [name for name in functions.unpaired if name not in called and _speaks_of_a_norm(name, sound.get(name))]
    return Contents([replace(one, helps=one.name in called) for one in found], unpaired, remarks)


def _called(named: Mapping[str, Any]) -> set[str]:
    """The names that the code of some objects calls, but for a function's own."""
    found: set[str] = set()
    for name, thing in named.items():
        methods = vars(thing).values() if isinstance(thing, type) else [thing]
        plain = [f.__func__ if isinstance(f, staticmethod | classmethod) else f for f in methods]
        left = [f.__code__ for f in plain if inspect.isfunction(f)]
        while left:
            code = left.pop()
            left += [one for one in code.co_consts if isinstance(one, CodeType)]
            found |= {*code.co_names} - {name}
    return found


def _modules(found: Iterable[Candidate]) -> list[ModuleType]:
    """The modules in which candidates were defined."""
    things = [getattr(one.style, "thing", None) or getattr(one.style, "forward", None) for one in found]
    kinds = [thing if isinstance(thing, type) or callable(thing) else type(thing) for thing in things]
    names = dict.fromkeys(str(getattr(kind, "__module__", "")) for kind in kinds)
    return [sys.modules[name] for name in names if name in sys.modules]


def knows_arrays(found: Iterable[Candidate]) -> bool:
    """Whether the code that holds some candidates uses a library of arrays at all."""
    held = [thing for module in _modules(found) for thing in list(vars(module).values())]
    roots = {
        str(getattr(t, "__name__" if isinstance(t, ModuleType) else "__module__", "")).partition(".")[0] for t in held
    }
    return not roots.isdisjoint({"numpy", "torch", "jax", "keras", "flax", "cupy", "onnx"}) or not held


def tensors_in(found: Iterable[Candidate]) -> dict[str, NumPy]:
    """The families of somebody's own tensors, in the modules of some candidates."""
    families: dict[str, NumPy] = {}
    for module in _modules(found):
        for name, own in list(vars(module).items()):
            if isinstance(own, type) and own.__module__ == module.__name__ and Tensors.fits(own):
                families[f"own {name}"] = Tensors(own)
    return families


def is_adapter(module: ModuleType) -> bool:
    """Whether a module speaks bncheck's own form: `vjp(case)`."""
    vjp = getattr(module, "vjp", None)
    return inspect.isfunction(vjp) and [a.name for a in arguments(vjp)] == ["case"]


def _is_own(module: ModuleType, name: str, thing: Any) -> bool:
    if type(thing).__module__.startswith("bncheck."):
        return False
    library = type(thing).__module__.partition(".")[0] in ("numpy", "builtins") and callable(thing)
    if (
        name.startswith("_")
        or isinstance(thing, ModuleType)
        or (library and not inspect.isroutine(thing) and not isinstance(thing, type))
    ):
        return False
    try:
        if isinstance(thing, type) or callable(getattr(thing, "__get__", None)) or hasattr(thing, "__wrapped__"):
            return bool(getattr(thing, "__module__", "") == module.__name__)
    except Exception:  # it is looked at again, and then remarked on
        return True
    return True


def _names(one: Candidate) -> set[str]:
    """What a candidate may be asked for by: its functions' names, or what they share."""
    parts = one.name.split("+")
    return {*parts, one.name, _stem(_FORWARD, parts[0]).strip("_")}


def _things(named: dict[str, Any], wanted: str) -> Iterator[Candidate]:
    """Classes and instances."""
    for name, thing in named.items():
        kind = thing if isinstance(thing, type) else type(thing)
        style = _style(thing, kind)
        if style is None:
            continue
        of_a_norm = bool(_NORM.search(name) or _NORM.search(kind.__name__) or _mentions(kind) or wanted == name)
        usual = not isinstance(style, Spoken) or (style.has_forward and style.has_backward) or style.family == "torch"
        yield Candidate(name, style, f"{name} {kind.__name__}", sure=of_a_norm and usual)


def _style(thing: Any, kind: type) -> Style | None:
    """How a class or an instance is called, by what it descends from."""
    which = "class" if isinstance(thing, type) else "instance"
    torch, linen, keras = (sys.modules.get(name) for name in ("torch", "flax.linen", "keras"))
    if keras is not None and issubclass(kind, keras.Layer):  # before torch, on which it may be built
        return KerasLayer(thing, f"a Keras layer ({which}) on {keras.backend.backend()}")
    if torch is not None and issubclass(kind, torch.nn.Module):
        return TorchModule(f"a torch nn.Module ({which}), differentiated by autograd", thing=thing)
    if torch is not None and issubclass(kind, torch.autograd.Function):
        return Spoken("a torch.autograd.Function", forward=_applied(kind)) if which == "class" else None
    if linen is not None and issubclass(kind, linen.Module):
        return FlaxModule(thing, f"a Flax module ({which}), differentiated by JAX")
    root = kind.__module__.partition(".")[0]
    if root in _LIBRARIES or root in sys.stdlib_module_names - {"__main__"} or _is_installed(kind):
        return None
    words = (
        "a function that makes a layer" if issubclass(kind, Made) else f"a class with forward and backward ({which})"
    )
    style = Spoken(words, thing=thing)
    own = {name: inspect.getattr_static(kind, name, None) for name in style.methods()}
    alone = all(isinstance(held, staticmethod | classmethod) for held in own.values())  # then they are functions
    return style if style.has_forward or (own and not alone) else None


def _is_installed(kind: type) -> bool:
    """Whether a class is an installed package's, such as a figure of Matplotlib's, rather than somebody's own."""
    try:
        return is_library(inspect.getfile(kind))
    except (TypeError, OSError):  # it was typed in, or stands in a notebook
        return False


def _applied(kind: Any) -> Callable[..., Any]:
    """The `apply` of a torch.autograd.Function, with the arguments that its forward shows."""

    def apply(*given: Any) -> Any:
        return kind.apply(*given)

    shown = list(inspect.signature(kind.forward).parameters.values())
    apply.__signature__ = inspect.Signature(shown[bool(shown and role(shown[0].name, ("cache",))) :])  # type: ignore[attr-defined]
    return apply


def _mentions(kind: type) -> bool:
    """Whether a class names γ, β or ε in its constructor or its forward."""
    codes = [getattr(getattr(kind, name, None), "__code__", None) for name in ("__init__", "forward", "__call__")]
    names = {name for code in codes if code for name in (*code.co_names, *code.co_varnames)}
    return any(role(name, ("gamma", "beta", "eps")) in ("gamma", "eps") for name in names if len(name) > 1)


def _speaks_of_a_norm(name: str, function: Any) -> bool:
    """Whether a function's name, or the words for its arguments, are those of a normalization layer."""
    words = {a.name.lower() for a in arguments(function)}
    return bool(words & _OF_A_NORM or _NORM.search(name)) or "options" in roles_of(function, FORWARD, "x").values()


class _Functions:
    """Some named functions: which are backward functions, and of which forwards."""

    def __init__(self, named: dict[str, Any]) -> None:
        callables = {name: f for name, f in named.items() if callable(f) and not isinstance(f, type) and arguments(f)}
        self.callables = callables | _within_classes(named)
        self.rules = {
            id(r) for f in self.callables.values() for r in (getattr(f, "fwd", None), getattr(f, "bwd", None))
        }
        owned = {name: f for name, f in self.callables.items() if id(f) not in self.rules}
        self.backwards = {name: f for name, f in owned.items() if _BACKWARD.search(name)}
        self.forwards = {name: f for name, f in owned.items() if name not in self.backwards and not _is_an_object(f)}
        self.partners = {name: _partner(name, self.forwards) for name in self.backwards}

    @property
    def unpaired(self) -> list[str]:
        """The backward functions whose name continues no forward's."""
        return [name for name, partner in self.partners.items() if not partner]

    def others(self, name: str) -> dict[str, Any]:
        """What may be a function's backward: the others of its module, those first that look like one."""
        module = getattr(self.callables[name], "__module__", "")
        fitting = [
            other
            for other, f in self.callables.items()
            if other != name and id(f) not in self.rules and getattr(f, "__module__", "") == module
        ]
        free = [other for other in fitting if not self.partners.get(other)]
        return {other: self.callables[other] for other in sorted(free, key=lambda one: one not in self.backwards)}


def _is_an_object(function: Any) -> bool:
    return not inspect.isroutine(function) and _style(function, type(function)) is not None


def _functions(held: _Functions, wanted: str) -> Iterator[Candidate]:
    """Forward functions, each with the backward functions whose names fit."""
    for name, f in held.forwards.items():
        if hasattr(f, "defvjp"):
            yield Candidate(name, Spoken("a JAX function with custom_vjp", forward=f), name)
            continue
        sure = name == wanted or _speaks_of_a_norm(name, f)
        mine = [back for back, partner in held.partners.items() if partner == name]
        for back in mine:
            pair = Spoken("a pair of functions", forward=f, backward=held.backwards[back])
            yield Candidate(f"{name}+{back}", pair, name, sure=sure)
        if not mine:
            alone = Spoken("a forward function", forward=f, partners=held.others(name))
            yield Candidate(name, alone, name, sure=sure)


def _within_classes(named: dict[str, Any]) -> dict[str, Any]:
    """Functions that a class only gives a name: its static and class methods, and what its own tensors can do."""
    found: dict[str, Any] = {}
    for name, kind in named.items():
        if not isinstance(kind, type) or _is_of_a_framework(kind):
            continue
        tensor = Tensors.fits(kind)
        for own, held in vars(kind).items():
            if isinstance(held, staticmethod | classmethod) and (not own.startswith("__")):
                found[f"{name}.{own}"] = getattr(kind, own)
            elif tensor and inspect.isfunction(held) and not own.startswith("_") and own != "backward":
                found[f"{name}.{own}"] = held
    return {name: f for name, f in found.items() if arguments(f)}


def _is_of_a_framework(kind: type) -> bool:
    return any(base.__module__.partition(".")[0] in ("torch", "flax", "keras") for base in kind.__mro__)


def _stem(word: re.Pattern[str], name: str) -> str:
    return re.sub(r"_+", "_", word.sub("", name.rpartition(".")[2])).strip("_").lower()


def _partner(backward: str, forwards: dict[str, Any]) -> str:
    """The forward function whose name a backward's continues furthest, but for words like ``alt``."""
    own = _stem(_BACKWARD, backward)
    fitting = {}
    for name in forwards:
        stem = _stem(_FORWARD, name)
        if own.startswith(stem) and _VARIANT.fullmatch(own[len(stem) :]):
            fitting[name] = (len(stem), bool(_FORWARD.search(name)))
    return max(fitting, key=lambda name: fitting[name], default="")
