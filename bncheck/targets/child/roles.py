"""What people call things: a table from names to roles, and calls and answers read with it.

A name is looked up in small letters and without underscores, so that ``num_features`` and ``numFeatures`` are one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

_NAMES = {
    "x": "x input inputs inp xin data z h features activations u",
    "gamma": "gamma gammas weight weights scale g γ",
    "beta": "beta betas bias biases shift offset b β",
    "eps": "eps epsilon ε varianceepsilon epsi",
    "dy": "dy dout doutput grad gradoutput gradoutputs gradout gradouts gradients gy dldy dlout delta upstream dz g",
    "cache": "cache caches saved ctx context residuals res memory intermediates tape stash",
    "options": "bnparam bnparams lnparam lnparams gnparam gnparams inparam inparams rmsparam normparam config cfg",
    "groups": "groups g numgroups ngroups group",
    "training": "training train istraining istrain trainflg trainflag trainingmode trainmode",
    "mode": "mode phase",
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
PARAMETER_CONTAINERS = frozenset({"params", "parameters", "param", "learnableparams"})


def role(name: str, among: Iterable[str] = tuple(_NAMES)) -> str:
    """The role that a name plays among some roles, or "".

    >>> role("gamma"), role("num_groups"), role("bn_param"), role("G", ["groups", "gamma"])
    ('gamma', 'groups', 'options', 'groups')
    """
    plain = _plain(name)
    return next((one for one in among if plain in _WORDS[one]), "")


def gradient_role(name: str) -> str:
    """Which gradient a name stands for: ``dx``, ``dgamma``, ``dbeta``, or "".

    >>> gradient_role("dgamma"), gradient_role("gamma_grad"), gradient_role("dL_dbeta"), gradient_role("gamma")
    ('dgamma', 'dgamma', 'dbeta', '')
    """
    plain = _plain(name).removeprefix("dl").removeprefix("dj")
    for word in _GRADIENT_WORDS:
        for stripped in (plain.removeprefix(word), plain.removesuffix(word)):
            found = role(stripped, ("x", "gamma", "beta")) if stripped != plain else ""
            if found:
                return f"d{found}"
    return ""


class Unbound(TypeError):
    """A function asks for an argument that has no known role; its name is the text."""


FORWARD = ("x", "gamma", "beta", "eps", "options", "groups", "training", "mode", "size", "momentum")
"""The roles that a forward's and a constructor's arguments may have, and likewise below a backward's."""
BACKWARD = ("dy", "cache", "x", "gamma", "beta", "eps", "options", "groups", "training", "mode")
_RUNNING = ("running_mean", "running_var")
_ONLY_WHEN_ASKED = frozenset({"momentum", "size", *_RUNNING})


def arguments(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The named arguments of a callable; none where Python cannot tell."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [a for a in found if a.kind not in (a.VAR_POSITIONAL, a.VAR_KEYWORD)]


def roles_of(function: Callable[..., Any], among: tuple[str, ...], first: str = "") -> dict[str, str]:
    """The role of each argument, by its name; `first` is that of an unnamed first one, and no role is given twice.

    >>> roles_of(lambda inp, g, b, G, eps=1e-5: 0, FORWARD, "x")
    {'inp': 'x', 'g': 'gamma', 'b': 'beta', 'G': 'groups', 'eps': 'eps'}
    """
    found: dict[str, str] = {}
    named = arguments(function)
    free = [*among, *_RUNNING]
    if first and named and first not in {role(a.name, free) for a in named}:
        found[named[0].name] = first
        free.remove(first)
    for argument in named:
        fitting = ["training"] if isinstance(argument.default, bool) else free  # bias=True is a switch, no parameter
        if argument.name not in found and (one := role(argument.name, [r for r in fitting if r in free])):
            found[argument.name] = one
            free.remove(one)
    return found


def call(
    function: Callable[..., Any],
    given: Mapping[str, Any],
    among: tuple[str, ...],
    first: str = "",
    unnamed: tuple[Any, ...] = (),
) -> tuple[Any, set[str]]:
    """Calls a function with what it asks for by role; returns its answer and the roles that were used.

    Arguments of no known role take their defaults, or, where exactly as many lack one, the `unnamed` values in order;
    so do those of some roles, such as momentum, unless ``given["insisted"]`` names them.

    Raises
        Unbound: an argument has neither.
    """
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    by_name = roles_of(function, among, first)
    named = arguments(function)
    unknown = [a.name for a in named if by_name.get(a.name) not in given and a.default is a.empty]
    rest = dict(zip(unknown, unnamed, strict=True)) if len(unknown) == len(unnamed) else {}
    used: set[str] = set()
    skipped = False
    for argument in named:
        one = by_name.get(argument.name, "")
        left = _ONLY_WHEN_ASKED.difference(given.get("insisted", ()))
        asked = one in given and (argument.default is argument.empty or one not in left)
        if not asked and argument.name not in rest:
            if argument.default is argument.empty:
                raise Unbound(argument.name)
            skipped = True
            continue
        value = given[one] if asked else rest[argument.name]
        used |= {one} if asked else set()
        if argument.kind is argument.KEYWORD_ONLY or skipped:
            keywords[argument.name] = value
        else:
            positional.append(value)
    return function(*positional, **keywords), used


def gradients_in(answer: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """What a backward returned, by name: dx alone, a sequence in the order dx, dgamma, dbeta, or a mapping."""
    if isinstance(answer, tuple) and hasattr(answer, "_asdict"):
        answer = answer._asdict()
    if isinstance(answer, dict):
        return {gradient_role(k) or f"d{role(k, ('x', 'gamma', 'beta'))}": v for k, v in answer.items()}
    if isinstance(answer, list | tuple):
        return dict(zip(("dx", *names), answer, strict=False))
    return {"dx": answer}


def gradients_left(thing: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The parameters' gradients that an object keeps: in attributes, in containers, or at the parameters themselves."""
    found: dict[str, Any] = {}
    for name, value in vars(thing).items():
        if _plain(name) in _GRADIENT_CONTAINERS and isinstance(value, dict):
            found |= {gradient_role(k) or f"d{role(k, ('gamma', 'beta'))}": v for k, v in value.items()}
        elif _plain(name) in _GRADIENT_CONTAINERS and isinstance(value, list | tuple) and len(value) == len(names):
            found |= dict(zip(names, value, strict=True))
        elif gradient_role(name) in names:
            found[gradient_role(name)] = value
        elif f"d{role(name, ('gamma', 'beta'))}" in names and getattr(value, "grad", None) is not None:
            found[f"d{role(name, ('gamma', 'beta'))}"] = value.grad
    return {name: value for name, value in found.items() if name in names and value is not None}


def _plain(name: object) -> str:
    return str(name).lower().replace("_", "")


_WORDS: Mapping[str, frozenset[str]] = MappingProxyType({one: frozenset(n.split()) for one, n in _NAMES.items()})
