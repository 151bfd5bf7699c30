"""What people call things: a table from names to roles, and calls and answers read with it.

A name is looked up in small letters and without underscores, so that ``num_features`` and ``numFeatures`` are one.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

_NAMES = {
    "x": "x input inputs inp xin data z h features activations u",
    "gamma": "gamma gammas weight weights scale gain w g γ",
    "beta": "beta betas bias biases shift offset b β",
    "eps": "eps epsilon ε varianceepsilon epsi",
    "dy": "dy dout doutput grad gradoutput gradoutputs gradout gradouts gradients gy dldy dlout delta upstream dz g",
    "cache": "cache caches saved ctx context residuals res memory intermediates tape stash",
    "options": "bnparam bnparams lnparam lnparams gnparam gnparams inparam inparams rmsparam normparam config cfg",
    "groups": "groups g numgroups ngroups group",
    "training": "training train istraining istrain trainflg trainflag trainingmode trainmode learning",
    "evaluating": "eval evaluate evaluation evalmode iseval test testing istest testmode inference isinference infer "
    "predict prediction deterministic frozen userunningaverage userunning useglobalstats",
    "mode": "mode phase",
    "parameters": "params parameters param learnableparams p theta θ paramdict",
    "statistics": "running state stats statistics runningstats runningstatistics buffers bnstate ema",
    "rate": "lr learningrate eta η rate stepsize alpha",
    "momentum": "momentum decay alpha rho",
    "running_mean": "runningmean movingmean runmean rmean meanrunning movingavgmean emamean avgmean popmean "
    "runningmu globalmean meanema runningaverage",
    "running_var": "runningvar movingvar movingvariance runvar rvar varrunning movingavgvar emavar avgvar popvar "
    "runningvariance globalvar varema",
    "size": "numfeatures nfeatures features numchannels nchannels channels normalizedshape size dim dims d c n "
    "numfeature inputdim inputsize inputshape indim nin nout units hiddensize dmodel nneurons shape featuredim",
}

_GRADIENT_WORDS = ("gradient", "grad", "delta", "d")
_GRADIENT_CONTAINERS = frozenset({"grads", "gradients", "grad", "gradient", "dparams", "paramgrads", "gradparams"})

OUTPUTS = frozenset(
    {"y", "out", "output", "outputs", "yhat", "z", "result", "res", "a", "top", "o", "normed", "normalized"}
)
"""What people call what a forward answers."""


def role(name: str, among: Iterable[str] = tuple(_NAMES)) -> str:
    """The role that a name plays among some roles, or "".

    >>> role("gamma"), role("num_groups"), role("bn_param"), role("G", ["groups", "gamma"])
    ('gamma', 'groups', 'options', 'groups')
    """
    plain = simplified(name)
    found = next((one for one in among if plain in _WORDS[one]), "")
    numbered = plain.rstrip("0123456789")
    return role(numbered, among) if not found and numbered not in ("", plain) else found


def gradient_role(name: str) -> str:
    """Which gradient a name stands for: ``dx``, ``dgamma``, ``dbeta``, or "".

    >>> gradient_role("dgamma"), gradient_role("gamma_grad"), gradient_role("dL_dbeta"), gradient_role("gamma")
    ('dgamma', 'dgamma', 'dbeta', '')
    """
    plain = simplified(name).rstrip("0123456789").removeprefix("dl").removeprefix("dj")
    for word in _GRADIENT_WORDS:
        for stripped in (plain.removeprefix(word), plain.removesuffix(word)):
            found = role(stripped, ("x", "gamma", "beta")) if stripped != plain else ""
            if found:
                return f"d{found}"
    return ""


class Unbound(TypeError):
    """A function asks for an argument that has no known role; its name is the text."""


_MODES = ("training", "evaluating", "mode")
FORWARD = (
    "x",
    "gamma",
    "beta",
    "eps",
    "options",
    "parameters",
    "statistics",
    "groups",
    *_MODES,
    "size",
    "momentum",
    "rate",
)
"""The roles that a forward's and a constructor's arguments may have, and likewise below a backward's."""
BACKWARD = ("dy", "cache", "x", "gamma", "beta", "eps", "options", "parameters", "groups", *_MODES, "rate")
RUNNING = ("running_mean", "running_var")
_ARRAYS = frozenset({"x", "gamma", "beta", "dy", "cache"})
ONLY_WHEN_ASKED = frozenset({"momentum", "size", *RUNNING})


def arguments(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The named arguments of a callable; none where Python cannot tell.

    A method that passes on whatever it is given, as ``__call__(*inputs)``, has those of the object's forward.
    """
    if getattr(type(function), "__hash__", None) is None:  # a dataclass that can be called
        function = getattr(function, "__call__")  # noqa: B004, B009  # mypy knows of none
    plain = getattr(function, "__func__", None)
    found = _shown(plain)[1:] if inspect.isfunction(plain) else _shown(function)
    named = [a for a in found if a.kind not in (a.VAR_POSITIONAL, a.VAR_KEYWORD)]
    forward = getattr(getattr(function, "__self__", None), "forward", None)
    if found and not named and forward is not None and plain is not getattr(forward, "__func__", None):
        return arguments(forward)
    return named


@lru_cache(maxsize=1024)
def _shown(function: Callable[..., Any]) -> tuple[inspect.Parameter, ...]:
    try:
        return tuple(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return ()


def roles_of(function: Callable[..., Any], among: tuple[str, ...], first: str = "") -> dict[str, str]:
    """The role of each argument, by its name; `first` is that of an unnamed first one, and no role is given twice.

    >>> roles_of(lambda inp, g, b, G, eps=1e-5: 0, FORWARD, "x")
    {'inp': 'x', 'g': 'gamma', 'b': 'beta', 'G': 'groups', 'eps': 'eps'}
    """
    found: dict[str, str] = {}
    named = arguments(function)
    free = [*among, *RUNNING]
    if first and named and first not in {role(a.name, free) for a in named}:
        unnamed = [a.name for a in named if not role(a.name, free)]
        array = role(named[0].name, free) in ("gamma", "beta", "eps")  # parameters before x
        found[unnamed[0] if array and unnamed else named[0].name] = first
        free.remove(first)
    for argument in named:
        switch = isinstance(argument.default, bool)  # bias=True is a switch, no parameter
        fitting = ["training", "evaluating"] if switch else free
        if isinstance(argument.default, int | float) and len(argument.name) == 1 and not switch:  # G=2 is no array
            fitting = [one for one in free if one not in _ARRAYS]
        if argument.name not in found and (one := role(argument.name, [r for r in fitting if r in free])):
            found[argument.name] = one
            free.remove(one)
    return found


def assigned(
    function: Callable[..., Any],
    roles: Mapping[str, str],
    values: Mapping[str, Any],
    insisted: Iterable[str] = (),
) -> tuple[Any, set[str]]:
    """Calls a function with a value for each argument that has a role; returns its answer and the roles that were used.

    Arguments without a role or a value take their defaults; so do those of some roles, such as momentum, unless they
    are `insisted` on.

    Raises
        Unbound: an argument has neither.
    """
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    used: set[str] = set()
    left = ONLY_WHEN_ASKED.difference(insisted)
    skipped = False
    for argument in arguments(function):
        one = roles.get(argument.name, "")
        awaited = one == "size" and argument.default is None and len(argument.name) > 1  # such as input_shape=None
        if one not in values or (argument.default is not argument.empty and one in left and not awaited):
            if argument.default is argument.empty:
                raise Unbound(argument.name)
            skipped = True
            continue
        used.add(one)
        if argument.kind is argument.KEYWORD_ONLY or skipped:
            keywords[argument.name] = values[one]
        else:
            positional.append(values[one])
    return function(*positional, **keywords), used


@lru_cache(maxsize=1024)
def returned_names(function: Any) -> list[str]:
    """What a function calls the values that it returns last, "" where an expression has no one name; [] if not seen.

    >>> returned_names(returned_names)
    ['']
    """
    answers = _returned(function)
    if not answers:
        return []
    last = answers[-1]
    return [_one_name(value) for value in (last.elts if isinstance(last, ast.Tuple | ast.List) else [last])]


@lru_cache(maxsize=1024)
def answers_nothing(function: Any) -> bool:
    """Whether a function returns no value anywhere, as far as its source can be seen."""
    return _returned(function) == []


def _returned(function: Any) -> list[ast.expr] | None:
    """What a function returns, in order; None where that cannot be seen."""
    shown = getattr(function, "py_func", function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(shown)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    defined = next((n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)), None)
    if defined is None:
        return None
    return [n.value for n in _own_nodes(defined) if isinstance(n, ast.Return) and n.value is not None]


def _own_nodes(defined: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function, in order, without those of functions within it."""
    for node in ast.iter_child_nodes(defined):
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            yield node
            yield from _own_nodes(node)


def _one_name(value: ast.expr) -> str:
    if isinstance(value, ast.Attribute):
        return value.attr
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):  # dx.reshape(shape)
        return _one_name(value.func.value) if value.func.attr in ("reshape", "astype", "copy", "transpose") else ""
    return value.id if isinstance(value, ast.Name) else ""


def gradient_named(path: Iterable[tuple[str, Any]]) -> str:
    """Which gradient the names on a path speak of: ``.dgamma``, ``.grads['gamma']``, ``.gamma.grad``; else "".

    >>> gradient_named([("attr", "grads"), ("item", "beta")]), gradient_named([("attr", "weight"), ("attr", "grad")])
    ('dbeta', 'dgamma')
    """
    names = [str(key) for kind, key in path if kind in ("attr", "item") and isinstance(key, str)]
    for name in reversed(names):
        found = gradient_role(name)
        if found:
            return found
    of_gradients = any(simplified(name) in _GRADIENT_CONTAINERS for name in names)
    found = next((one for name in reversed(names) if (one := role(name, ("gamma", "beta")))), "")
    return f"d{found}" if of_gradients and found else ""


def simplified(name: object) -> str:
    """A name as it is looked up: in small letters, without underscores."""
    return str(name).lower().replace("_", "")


_WORDS: Mapping[str, frozenset[str]] = MappingProxyType({one: frozenset(n.split()) for one, n in _NAMES.items()})
