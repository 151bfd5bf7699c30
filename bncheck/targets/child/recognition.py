"""Finds in somebody's file what can be called as a normalization layer. Only the child process imports this."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

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

    Where it is not `sure`, nothing but its behaviour can tell whether it is a layer at all.
    """

    name: str
    style: Style
    hint: str
    sure: bool = True


@dataclass(frozen=True)
class Contents:
    """What can be called, in its own order, and what was remarked on the way.

    `in_vain` is about what was looked at and is no candidate, `loading` about what was amiss before; `names` are those
    that could have been asked for, where one was that is not there.
    """

    candidates: list[Candidate]
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
    found, in_vain = candidates_among(vars(module) if wanted else own, wanted)
    if found or not wanted or wanted in vars(module):
        return Contents(found, in_vain)
    likely = sorted(candidates_among(own)[0], key=lambda one: not one.sure)
    known = [name for one in likely for name in one.name.split("+")]
    return Contents([], names=list(dict.fromkeys(known)) or [name for name, thing in own.items() if callable(thing)])


def candidates_among(named: dict[str, Any], wanted: str = "") -> tuple[list[Candidate], list[str]]:
    """What can be called among some named objects, in their order, and remarks on what was looked at in vain.

    An object that cannot even be looked at is one of these remarks.
    """
    remarks: list[str] = []
    sound, found = dict[str, Any](), list[Candidate]()
    for name, thing in named.items():
        try:
            found += _things({name: thing}, wanted, remarks)
            list(_functions({name: thing}, name, []))
            sound[name] = thing
        except Exception as error:
            remarks.append(f"{name} {failure(error)['words']} when it was looked at")
    kinds = {name: kind for name, kind in sound.items() if isinstance(kind, type) and not _is_of_a_framework(kind)}
    for one in found:  # the backward may be another class's
        if type(one.style) is Spoken and isinstance(one.style.thing, type) and not one.style.has_backward:
            one.style.partners = {name: kind for name, kind in kinds.items() if kind is not one.style.thing}
    found += _functions(sound, wanted, remarks)
    if wanted:
        return [one for one in found if wanted in _names(one)], remarks
    order = list(named)
    found.sort(key=lambda one: order.index(re.split(r"[+.]", one.name)[0]))
    return found, remarks


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


def _things(named: dict[str, Any], wanted: str, remarks: list[str]) -> Iterator[Candidate]:
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
    style = Spoken(f"a class with forward and backward ({which})", thing=thing)
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


def _functions(named: dict[str, Any], wanted: str, remarks: list[str]) -> Iterator[Candidate]:
    """Forward functions, each with the backward functions whose names fit."""
    callables = {name: f for name, f in named.items() if callable(f) and not isinstance(f, type) and arguments(f)}
    callables |= _within_classes(named)
    rules = {id(rule) for f in callables.values() for rule in (getattr(f, "fwd", None), getattr(f, "bwd", None))}
    backwards = {name: f for name, f in callables.items() if _BACKWARD.search(name) and id(f) not in rules}
    forwards, sure = {}, set[str]()
    for name, f in callables.items():
        if name in backwards or id(f) in rules or (not inspect.isroutine(f) and _style(f, type(f)) is not None):
            continue
        forwards[name] = f
        words = {a.name.lower() for a in arguments(f)}
        options = "options" in roles_of(f, FORWARD, "x").values()
        if options or words & _OF_A_NORM or _NORM.search(name) or name == wanted:
            sure.add(name)
    partners = {name: _partner(name, forwards) for name in backwards}
    for name, f in forwards.items():
        if hasattr(f, "defvjp"):
            yield Candidate(name, Spoken("a JAX function with custom_vjp", forward=f), name)
            continue
        mine = [back for back, partner in partners.items() if partner == name]
        for back in mine:
            pair = Spoken("a pair of functions", forward=f, backward=backwards[back])
            yield Candidate(f"{name}+{back}", pair, name, sure=name in sure)
        if not mine:
            own = getattr(f, "__module__", "")
            others = {
                other: g
                for other, g in callables.items()
                if other != name and id(g) not in rules and getattr(g, "__module__", "") == own
            }
            ordered = sorted(others, key=lambda other: (partners.get(other, "") != "", other not in backwards))
            free = {other: others[other] for other in ordered if not partners.get(other)}
            yield Candidate(name, Spoken("a forward function", forward=f, partners=free), name, sure=name in sure)


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
