"""The ways to build an implementation and to call its forward, those that names speak of first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, permutations, product
from typing import Any

import numpy as np

from bncheck.targets.child import rooms
from bncheck.targets.child.binding import TOGETHER, Binding, Place
from bncheck.targets.child.families import family_of, inner, plain
from bncheck.targets.child.roles import (
    FORWARD,
    OUTPUTS,
    arguments,
    returned_names,
    roles_of,
)
from bncheck.targets.child.searching.trials import Enough, Trials
from bncheck.targets.child.slots import Path, arrays_in, at, shape
from bncheck.targets.child.spoken import (
    BACKWARDS,
    FORWARDS,
    MODES,
    SpokenRun,
    constructor_roles,
)
from bncheck.targets.child.styles import PARAMETERS

_PREPARING = ["shape without N", "size", "optimizer", "shape", "sizes"]
"""What a method is given that has to be called before the first forward."""

_TRIED = [
    "size",
    "sizes",
    "shape",
    "shape without N",
    "eps",
    "momentum",
    "yes",
    "no",
    "rate",
    "gamma",
    "beta",
    "groups",
    "ndim",
    "x",
    "optimizer",
]
"""What a constructor's argument is given where its name says nothing."""

_ARGUMENTS = [
    "gamma",
    "beta",
    "eps",
    "parameters",
    *TOGETHER,
    "training",
    "momentum",
    "running_mean",
    "running_var",
    "size",
    "nothing",
]
"""What a forward's argument is given where its name says nothing."""

_EXTRA = frozenset({*TOGETHER, "parameters", "training", "running_mean", "running_var", "nothing", "size"})


class Forwards:
    """Finds a constructor, a forward, its arguments and y."""

    def __init__(self, trials: Trials) -> None:
        self.trials = trials
        self._lacks_something = False

    def ways(self) -> Iterator[Binding]:
        """Every way of building and calling forward that answers something in the shape of x.

        Of a method that is called as forwards are, all at once; of the others first what their names say.
        """
        for tried in (slice(0, 1), slice(1, None)):
            for build in self._builds():
                for name in self._forward_names():
                    taking = self._taking(replace(build, forward=name))
                    usual = not name or name in FORWARDS
                    first, last = ((0, None) if tried.start == 0 else (0, 0)) if usual else (tried.start, tried.stop)
                    for binding in islice(taking, first, last):
                        answering = list(self._answering(binding))
                        yield from answering
                        lacks = not answering and self._lacks_something and isinstance(self.trials.style.thing, type)
                        if lacks and name in FORWARDS:
                            yield from self._prepared(binding)

    def _builds(self) -> Iterator[Binding]:
        """Ways to construct, first by names."""
        if self.trials.style.thing is None or not isinstance(self.trials.style.thing, type):
            yield Binding()
            return
        named = constructor_roles(self.trials.style.thing)
        made_around = roles_of(self.trials.style.thing, FORWARD, "")
        asked = [a for a in arguments(self.trials.style.thing) if a.default is a.empty]
        unknown = [
            a.name
            for a in asked
            if named.get(a.name) not in {*self.trials.given, "training", "evaluating", "mode", "rate", "size"}
        ]
        trials = [_TRIED if a.name in unknown else [named[a.name], *_TRIED] for a in asked]
        others = islice(product(*trials), 200) if asked else ()
        ways = ([] if unknown else [named]) + [
            {**named, **dict(zip([a.name for a in asked], way, strict=True))} for way in others
        ]
        if "groups" in self.trials.given and "groups" not in named.values():  # a number by default may be theirs
            counts = [a.name for a in arguments(self.trials.style.thing) if type(a.default) is int]
            own = [count for count in counts if count not in named]
            ways = [{**way, count: "groups"} for way in ways[:3] for count in own] + ways
        if asked and "x" in made_around.values():
            ways = [made_around, *ways]
        for roles in ways:
            binding = Binding(build=dict(roles))
            try:
                self.trials.run(binding)
            except Enough:
                raise
            except Exception as error:
                self.trials.note(error)
                continue
            yield binding

    def _prepared(self, binding: Binding) -> Iterator[Binding]:
        """The binding with one or two methods called first, where the forward misses what they make."""
        run = self.trials.run(binding)
        ways: list[tuple[tuple[str, dict[str, str]], ...]] = []
        for name in self.trials.style.methods():
            asked = [a.name for a in arguments(getattr(run.object, name)) if a.default is a.empty]
            if name not in {*FORWARDS, *BACKWARDS} and len(asked) <= 1:
                likely = [given for given in _PREPARING if asked and given.split()[0][:5] in asked[0].lower()]
                choices = (likely or _PREPARING) if asked else [""]
                ways += [((name, dict.fromkeys(asked, given)),) for given in choices]
        for way in [*ways, *(a + b for a, b in permutations(ways, 2) if a[0][0] != b[0][0])][:150]:
            yield from self._answering(replace(binding, prepared=way))

    def _forward_names(self) -> list[str]:
        """The methods that may be the forward, those of the usual names first."""
        if self.trials.style.forward is not None:
            return [""]
        usual = [name for name in FORWARDS if self.trials.style.holds(name)]
        return [*usual, *(name for name in self.trials.style.methods() if name not in {*usual, *BACKWARDS})]

    def _taking(self, binding: Binding) -> Iterator[Binding]:
        """The ways in which a forward's arguments can be filled: by their names, then by trying."""
        function = self.trials.forward_function(binding)
        named = roles_of(function, FORWARD, "x")
        asked = [a for a in arguments(function) if a.default is a.empty]
        known = {*self.trials.given, *MODES, "size", "parameters", "running_mean", "running_var", "statistics"}
        unknown = [a.name for a in asked if named.get(a.name) not in known]
        for roles in rooms.forward_roles(function, named, self.trials.x.ndim):
            yield replace(binding, takes=roles)
        if not unknown:
            yield replace(binding, takes=named)
            wholes = TOGETHER if "parameters" in named.values() else ()
            for whole in wholes:  # an array or a tuple rather than a dictionary
                yield replace(binding, takes={a: whole if one == "parameters" else one for a, one in named.items()})
        if "gamma" in named.values() and "beta" not in named.values():  # weights may be all of them
            yield replace(binding, takes={a: "parameters" if one == "gamma" else one for a, one in named.items()})
        spare = [a.name for a in arguments(function) if a.default is None and a.name not in named]
        left = [one for one in _ARGUMENTS if one not in named.values() and (one in known or one in _EXTRA)]
        if "parameters" in named.values():  # then γ and β are in there
            left = [one for one in left if one not in {*PARAMETERS, *TOGETHER}]
        for places in ([unknown] if unknown else []) + ([[*unknown, *spare]] if spare else []):
            if len(places) > 3:  # then running statistics are likelier than eps
                left = sorted(left, key=lambda one: not one.startswith("running_") and one not in PARAMETERS)
            for chosen in islice(permutations(left, len(places)), 60):
                yield replace(binding, takes={**named, **dict(zip(places, chosen, strict=True))})
        if 1 < len(asked) <= 5 and (unknown or not {"gamma", "beta"} <= set(named.values())):
            everything = [one for one in ("x", *_ARGUMENTS) if one in self.trials.given or one in _EXTRA]
            for chosen in islice(permutations(everything, len(asked)), 80):
                if "x" in chosen:
                    yield replace(binding, takes=dict(zip([a.name for a in asked], chosen, strict=True)))

    def _answering(self, binding: Binding, depth: int = 0) -> Iterator[Binding]:
        """The binding with the place of y, and of dictionary keys of unknown names."""
        try:
            run = self.trials.run(replace(binding, y=("answer", ())))
            if run.differentiates:
                y = run.forward(run.given["x"])
                places: list[Place] = [("answer", ())] if y is not None and plain(y) is not None else []
                answer = y if places else run._answer(run.given["x"])
                places = places or self._places(answer, run)
            else:
                answer = run._answer(run.given["x"])
                places = self._places(answer, run)
        except Enough:
            raise
        except Exception as error:
            unknown = run.values.unknown if "run" in locals() else []
            if isinstance(error, KeyError) and unknown and depth < 4:
                for one in ("gamma", "beta", "eps", "momentum", "training"):
                    if one in {*self.trials.given, "training"} and one not in binding.keys.values():
                        yield from self._answering(replace(binding, keys={**binding.keys, unknown[-1]: one}), depth + 1)
                return
            self.trials.note(error)
            self._lacks_something = isinstance(error, AttributeError | TypeError | KeyError)
            return
        if not places:
            told = "nothing" if answer is None else type(answer).__name__
            array = plain(answer)
            told = f"an array of shape {array.shape}" if array is not None else told
            expected = f"expected one of shape {self.trials.x.shape}"
            self.trials.note(ValueError(f"its forward answers {told}, {expected}"))
        for place in places:
            yield replace(binding, y=place)

    def _places(self, answer: Any, run: SpokenRun) -> list[Place]:
        """Where y may be: what is called so first, then whatever has the shape of x, in order."""
        room: Place = (f"{rooms.ROOM}x", ())
        if answer is None and room[0] in run.binding.takes.values():
            return [room]
        if plain(answer) is not None and not _is_container(answer):
            return [("answer", ())] if shape(plain(answer)) == self.trials.x.shape else []
        names = returned_names(self._plain_forward(run))
        arrays = arrays_in(answer).items()
        paths = dict.fromkeys(_of_wrapped(answer, path) for path, a in arrays if shape(a) == self.trials.x.shape)
        beside = [k for k, one in enumerate(answer) if family_of(one)] if isinstance(answer, tuple | list) else []
        found: list[Place] = [("answer", path) for path in paths if len(path) == 1 or not beside]
        if beside and not found:  # what it answers is no y, and will be told so
            return [("answer", (("item", beside[0]),))]

        def rank(place: Place) -> tuple[bool, int]:
            key = place[1][0][1] if place[1] else ""
            name = names[key] if isinstance(key, int) and key < len(names) and len(names) > 1 else str(key)
            return (name.lower() not in OUTPUTS or (key != 0 and name == ""), len(place[1]))

        usual: list[Place] = sorted(found, key=rank)  # stable: in order among equals
        if found and found[0][1] and found[0][1][0][1] == 0:
            usual = [found[0], *(p for p in usual if p != found[0])] if rank(usual[0])[0] or not names else usual
        if not usual and run.object is not None:
            inside = [(("self", p), a) for p, a in arrays_in(run.object).items() if shape(a) == self.trials.x.shape]
            changed = [place for place, a in inside if not np.array_equal(np.asarray(plain(a)), self.trials.x)]
            usual = sorted(changed, key=lambda place: str(place[1][-1][1]).lower() not in OUTPUTS)
        return usual

    def _plain_forward(self, run: SpokenRun) -> Any:
        return self.trials.style.forward or getattr(run.object, run.binding.forward, None)


def _is_container(answer: Any) -> bool:
    """Whether an answer is a container, rather than an array or what wraps one."""
    return isinstance(answer, tuple | list | dict) or (hasattr(answer, "_fields"))


def _of_wrapped(answer: Any, path: Path) -> Path:
    """The path without the last step into an object that wraps a single array."""
    if path and path[-1][0] == "attr":
        holder = at(answer, path[:-1])
        if inner(holder) is not None:
            return path[:-1]
    return path
