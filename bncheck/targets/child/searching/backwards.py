"""The ways to call a backward, and where its gradients are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, permutations
from typing import Any

import numpy as np

from bncheck.case import Array
from bncheck.targets.child import gradients, rooms
from bncheck.targets.child.binding import TOGETHER, Binding, Place
from bncheck.targets.child.families import Tensors, alike
from bncheck.targets.child.gradients import as_pool
from bncheck.targets.child.roles import (
    arguments,
    returned_names,
)
from bncheck.targets.child.searching.trials import Enough, Trials
from bncheck.targets.child.slots import size
from bncheck.targets.child.spoken import (
    BACKWARDS,
    FORWARDS,
    MODES,
    Spoken,
    backward_roles,
)


class Backwards:
    """Finds a backward that answers to dy, by name, by trying, or on another class."""

    def __init__(self, trials: Trials) -> None:
        self.trials = trials

    def with_gradients(self, binding: Binding) -> Binding:
        """The first backward that answers to some way of calling, with the places of its gradients."""
        first: Binding | None = None
        for way in self._backwards(binding):
            found = self._gradients(way)
            if found and any(where.startswith("step ") for where, _ in found.values()):
                way = replace(way, steps=True)
                found = self._gradients(way)
            if found is None:
                continue
            whole = replace(way, gradients=found)
            if self._is_whole(whole):
                return whole
            first = first or whole
        return first or binding

    def _is_whole(self, binding: Binding) -> bool:
        return "dx" in binding.gradients and all(f"d{name}" in binding.gradients for name in self.trials.bound(binding))

    def _backwards(self, binding: Binding) -> Iterator[Binding]:
        """Ways to call a backward, those that names speak of first."""
        run = self.trials.run(binding)
        try:
            run.forward(run.given["x"])
        except Exception:
            return
        if run.differentiates:
            yield binding
            return
        functions: list[tuple[str, Any]] = []
        if self.trials.style.backward is not None:
            functions = [("", self.trials.style.backward)]
        elif self.trials.style.thing is not None:
            usual = [name for name in BACKWARDS if self.trials.style.holds(name)]
            others = [n for n in self.trials.style.methods() if n not in {*usual, *FORWARDS, binding.forward}]
            functions = [(name, getattr(run.object, name)) for name in (*usual, *others)]
        for kind, partner in self.trials.style.partners.items() if self.trials.style.thing is not None else ():
            for method in Spoken("", thing=partner).methods():
                trial = self.trials.run(replace(binding, backward=f"{kind}.{method}"))
                with contextlib.suppress(Exception):  # it need not be made of what this one is made of
                    functions.append((f"{kind}.{method}", trial.backward_function))
        for name, function in functions:
            for wants in self._wants(function, run.kept, self._namesakes(binding)):
                yield replace(binding, backward=name, wants=wants)
        answer = run.saved[0]
        if not functions and isinstance(answer, tuple | list) and any(map(callable, answer)):
            yield replace(binding, backward="answer")
        if isinstance(self.trials.family, Tensors):
            yield replace(binding, backward="y")

    def _namesakes(self, binding: Binding) -> dict[str, str]:
        """What the forward calls its arguments and its answers, which its backward may call the same."""
        where, path = binding.y
        names = returned_names(self.trials.style.forward) if self.trials.style.forward is not None else []
        if where != "answer" or not path or len(names) < 2:
            return dict(binding.takes)
        rest = [name for k, name in enumerate(names) if k != path[0][1]]
        return {**{name: f"kept {k}" for k, name in enumerate(rest) if name}, **binding.takes}

    def _wants(self, function: Any, kept: Any, namesakes: dict[str, str]) -> Iterator[dict[str, str]]:
        """The ways to fill a backward's arguments: by role, by what the forward calls the same, then by trying."""
        by_role = {**backward_roles(function, kept), **rooms.backward_roles(function)}
        called = {**by_role, **{a.name: namesakes[a.name] for a in arguments(function) if a.name in namesakes}}
        several = range(len(kept)) if isinstance(kept, tuple | list) else kept if isinstance(kept, dict) else ()
        pieces = [f"kept {k}" for k in several]
        filled = {*self.trials.given, *pieces, "cache", "dy", "y", "options", "parameters", "rate", *MODES, *TOGETHER}
        filled |= {one for one in called.values() if one.startswith((rooms.ROOM, "axis "))}
        asked = [a.name for a in arguments(function) if a.default is a.empty]
        for roles in (by_role, called) if called != by_role else (by_role,):
            if all(roles.get(name) in filled for name in asked):
                yield roles
        pool = ["dy", "cache", *pieces, "x", *self.trials.offered, "y", "rate", "eps"]
        unknown = [name for name in asked if called.get(name) not in filled]
        if unknown:
            left = [one for one in pool if one not in called.values()]
            for chosen in islice(permutations(left, len(unknown)), 60):
                yield {**called, **dict(zip(unknown, chosen, strict=True))}
        if 1 < len(asked) <= 4:
            for chosen in islice(permutations(pool, len(asked)), 60):
                if "dy" in chosen:
                    yield dict(zip(asked, chosen, strict=True))

    def _gradients(self, binding: Binding) -> dict[str, Place] | None:
        """Where the gradients are after a backward; None where it does not answer, or not to dy."""

        def again(changes: dict[str, Any]) -> dict[Place, Array]:
            """All that is there after a backward on changed input; nothing where that fails."""
            changed = {}
            if "other x" in changes:
                changed["x"] = self.trials.other_x()
            for name in ("x", "dy", "gamma"):
                if name in changes and name in self.trials.given:
                    changed[name] = self.trials.given[name] * np.asarray(self.trials.given[name]).dtype.type(
                        changes[name]
                    )
            try:
                run = self.trials.run(binding, **changed)
                run.forward(run.given["x"])
                return as_pool(run.pulled(run.given["dy"]))
            except Enough:
                raise
            except Exception:
                return {}

        try:
            run = self.trials.run(binding)
            y = run.forward(run.given["x"])
            if run.differentiates:
                pulled = run.backward(run.given["dy"])
                return dict.fromkeys(pulled, ("answer", ())) if y is not None else None
            pool = as_pool(run.pulled(run.given["dy"]))
        except Enough:
            raise
        except Exception as error:
            self.trials.note(error)
            return None
        function = run.backward_function
        bound = {name: size(self.trials.given[name]) for name in self.trials.bound(binding)}
        found = gradients.found(pool, self.trials.x.shape, bound, returned_names(function), again)
        if "dx" not in found:
            return None
        names = {**backward_roles(function, run.kept), **self._namesakes(binding)} if function is not None else {}
        first = binding.wants is None or all(names.get(name) == one for name, one in binding.wants.items())
        named = first and (self.trials.style.backward is not None or binding.backward in BACKWARDS)
        if not named and not self._is_linear(found["dx"], pool, again):
            return None
        return found

    def _is_linear(
        self, place: Place, pool: dict[Place, Array], again: Callable[[dict[str, Any]], dict[Place, Array]]
    ) -> bool:
        doubled = again({"dy": 2.0})
        return place in doubled and bool(np.any(pool[place])) and alike(doubled[place], 2 * pool[place])
