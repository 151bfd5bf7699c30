"""Arrays that the caller has to make room for, in code that answers nothing and writes to what it is handed.

What is handed over for one is a role of its own: ``room x`` has the shape of x, ``room dgamma`` that of γ, ``room
dboth`` holds those of γ and β one after the other; ``room sample mean``, ``room group mean`` and ``room feature mean``
hold one number per sample, per group of one, or per feature; ``axis 0`` is the length of an axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

from bncheck.case import Array
from bncheck.targets.child.binding import TOGETHER
from bncheck.targets.child.roles import OUTPUTS, answers_nothing, arguments, gradient_role, role, simplified

ROOM = "room "


def forward_roles(function: Callable[..., Any], named: Mapping[str, str], axes: int) -> Iterator[dict[str, str]]:
    """The roles of a forward's arguments where it is to write to some; `named` are those that its names speak of."""
    asked = [a.name for a in arguments(function) if a.default is a.empty]
    counts = {name: "groups" for name in asked if name.isupper() and role(name, ("groups",))}
    lengths = [name for name in asked if name.isupper() and name not in counts]
    if not answers_nothing(function) or len(lengths) not in (0, axes):
        return
    told = {**named, **counts, **{name: f"axis {k}" for k, name in enumerate(lengths)}}
    rooms = [name for name in asked if name not in told]
    out = next((name for name in rooms if name.lower() in OUTPUTS), next(iter(rooms), ""))
    others = [name for name in rooms if name != out]
    wholes = ("parameters", *TOGETHER) if "parameters" in told.values() else ("parameters",)
    for kind, whole in product(("sample", "group", "feature") if others else ("sample",), wholes) if out else ():
        own = {name: whole if one == "parameters" else one for name, one in told.items()}
        yield {**own, out: f"{ROOM}x", **{name: f"{ROOM}{kind} {name}" for name in others}}


def backward_roles(function: Callable[..., Any]) -> dict[str, str]:
    """The arguments of a backward that are named after gradients, where it is to write to them."""
    asked = [a.name for a in arguments(function) if a.default is a.empty] if answers_nothing(function) else []
    named = {name: gradient_role(name) or _of_both(name) for name in asked}
    return {name: f"{ROOM}{told}" for name, told in named.items() if told}


def _of_both(name: str) -> str:
    """``dboth`` for the name of the gradients of γ and β in one array, such as ``dparams``."""
    whole = simplified(name).removeprefix("grad").removeprefix("d")
    return "dboth" if whole != simplified(name) and role(whole, ("parameters",)) else ""


def made(roles: Iterable[str], x: Array, values: Mapping[str, Any]) -> dict[str, Any]:
    """Zeros, and lengths of axes, for those of some roles that ask for them."""
    shapes = {"x": x.shape, "dx": x.shape, "sample": x.shape[:-1], "feature": tuple(values["features"])}
    shapes["group"] = (x.shape[0], values.get("groups", 1))
    shapes |= {f"d{name}": np.shape(values[name]) for name in ("gamma", "beta") if name in values}
    shapes["dboth"] = (2 * sum(np.size(values[name]) for name in ("gamma",) if name in values),)
    rooms: dict[str, Any] = {one: x.shape[int(one[5:])] for one in roles if one.startswith("axis ")}
    for one in (one for one in roles if one.startswith(ROOM)):
        rooms[one] = np.zeros(shapes[one.split()[1]], x.dtype)
    return rooms
