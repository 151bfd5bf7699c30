"""Finds gradients by what they are called, else by their shapes and by what they follow.

dx is linear in dy and has the shape of x; dβ, a sum over dy, knows neither x nor γ; dγ knows x̂, which is the same for x
and for a multiple of x, and does not know γ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bncheck.case import Array
from bncheck.targets.child.binding import Place
from bncheck.targets.child.families import alike, plain
from bncheck.targets.child.roles import gradient_named, gradient_role, role
from bncheck.targets.child.rooms import ROOM
from bncheck.targets.child.slots import size
from bncheck.targets.child.styles import PARAMETERS

Pool = Mapping[Place, Array]
"""All that may be a gradient after a backward, in order, as plain arrays."""

Again = Callable[[dict[str, Any]], Pool]
"""The pool after another backward, with some of what is given changed: factors of x, γ, dy, and a new x."""


def found(
    pool: Pool, shape: tuple[int, ...], parameters: Mapping[str, int], names: list[str], again: Again
) -> dict[str, Place]:
    """The places of dx and of the parameters' gradients.

    Shapes
        `shape` is that of x, `parameters` the sizes of the parameters. `names` are those of what a backward returns.
    """
    named = _named(pool, names)
    x_shaped = [place for place, array in pool.items() if array.shape == shape]
    result: dict[str, Place] = {}
    if named.get("dx") in x_shaped:
        result["dx"] = named["dx"]
    else:
        others = [place for place in x_shaped if place not in named.values()]
        if others:
            result["dx"] = _first_linear(others, pool, again)
    for name, count in parameters.items():
        place = named.get(f"d{name}")
        fits = place is not None and (pool[place].size in (count, 1) or place[0] == "answer")
        if place is not None and fits and place not in result.values():
            result[f"d{name}"] = place
    owed = [name for name in parameters if f"d{name}" not in result]
    if owed:
        free = [
            p for p, a in pool.items() if a.size == parameters[owed[0]] and p not in {*result.values(), *named.values()}
        ]
        result |= _told_apart(owed, free, pool, again)
    owed = [name for name in parameters if f"d{name}" not in result]
    rest = [place for place in pool if place[0] == "answer" and place not in result.values()]
    if owed and len(rest) == len(owed):  # of whatever shape, there is nothing else that they may be
        result |= {f"d{name}": place for name, place in zip(owed, rest, strict=True)}
    return result


def _named(pool: Pool, names: list[str]) -> dict[str, Place]:
    """Places whose names, or whose place among what a backward returns, speak of a gradient; the first of each."""
    result: dict[str, Place] = {}
    for place in pool:
        where, path = place
        spoken = gradient_named(path)
        if where.startswith("step "):
            spoken = f"d{where.removeprefix('step ')}"
        elif where.startswith(ROOM):
            spoken = where.removeprefix(ROOM)
        elif where not in ("answer", "self") and path and "grad" in str(path[-1][1]).lower():
            spoken = f"d{where}"
        elif where == "answer" and not spoken and path and isinstance(path[-1][1], str):
            one = role(path[-1][1], ("x", *PARAMETERS))
            spoken = f"d{one}" if one else ""
        elif where == "answer" and not spoken and len(names) > 1 and len(path) == 1 and isinstance(path[0][1], int):
            spoken = gradient_role(names[path[0][1]]) if path[0][1] < len(names) else ""
        if spoken and spoken not in result:
            result[spoken] = place
    return result


def _first_linear(places: list[Place], pool: Pool, again: Again) -> Place:
    """The first that is linear in dy, those that a backward returned first; the first of all where none is."""
    ordered = sorted(places, key=lambda place: place[0] != "answer")
    if len(ordered) == 1 or ordered[0][0] == "answer":
        return ordered[0]
    doubled = again({"dy": 2.0})
    return next((p for p in ordered if p in doubled and alike(doubled[p], 2 * pool[p])), ordered[0])


def _told_apart(owed: list[str], free: list[Place], pool: Pool, again: Again) -> dict[str, Place]:
    """Which of some arrays of the parameters' size are their gradients, by what they follow."""
    if not free:
        return {}
    returned = [place for place in free if place[0] == "answer"]
    if returned and len(returned) <= len(owed):
        free = returned
    elsewhere, scaled, doubled, steeper = (
        again(change) for change in ({"other x": 1}, {"x": 2.0}, {"dy": 2.0}, {"gamma": 3.0})
    )

    def same(place: Place, other: Pool, factor: float = 1.0) -> bool:
        return place in other and alike(other[place], factor * pool[place])

    def sign(place: Place, name: str) -> int:
        linear = same(place, doubled, 2.0)
        flat = same(place, steeper)
        of_x = not same(place, elsewhere)
        fitting = not of_x if name == "beta" else of_x and same(place, scaled)
        return 4 * linear + 2 * flat + fitting

    result: dict[str, Place] = {}
    for name in sorted(owed, key=lambda one: one != "beta"):  # a sum over dy is told more surely
        left = [place for place in free if place not in result.values()]
        best = max(left, key=lambda place: sign(place, name), default=None)
        if best is None:
            continue
        certain = sign(best, name) == 7
        if certain or best in returned:
            result[f"d{name}"] = best
    if len(result) == len(owed) == 2 and not all(sign(p, n.removeprefix("d")) == 7 for n, p in result.items()):
        in_order = [place for place in free if place in result.values()]
        if not any(sign(place, "beta") == 7 for place in in_order):  # neither is told: in the usual order
            result = dict(zip((f"d{name}" for name in owed), in_order, strict=True))
    return result


def as_pool(arrays: Mapping[Place, Any]) -> dict[Place, Array]:
    """Plain copies of arrays of any library."""
    return {
        place: copied.copy() for place, value in arrays.items() if (copied := plain(value)) is not None and size(copied)
    }
