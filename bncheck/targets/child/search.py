"""Finds how an implementation is to be spoken to, by trying: names say only what is tried first.

What is looked for shows in behaviour. A parameter is what y follows: β, by which y moves the same whatever x is, or γ.
Training is the mode in which y does not follow a shift of x. A backward is what is linear in dy. Nothing here knows
what a normalization layer computes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, permutations, product
from typing import Any

import numpy as np

from bncheck.case import Array
from bncheck.targets.child import gradients
from bncheck.targets.child.binding import TOGETHER, Binding, Place
from bncheck.targets.child.families import NoGradient, NumPy, Tensors, family_of, inner, plain
from bncheck.targets.child.gradients import as_pool
from bncheck.targets.child.roles import (
    BACKWARD,
    FORWARD,
    OUTPUTS,
    Unbound,
    arguments,
    returned_names,
    role,
    roles_of,
)
from bncheck.targets.child.slots import Path, arrays_in, at, attributes, parts, put, shape, size
from bncheck.targets.child.spoken import (
    BACKWARDS,
    FORWARDS,
    MODES,
    Spoken,
    SpokenRun,
    backward_roles,
    constructor_roles,
)
from bncheck.targets.child.styles import PARAMETERS, Given, running_in

MOST = 400
"""How many calls one search may make."""

_DEAR = {"torch": 150, "jax": 40}
"""The same where a call costs more."""

_CLOSE = 1e-3


class _Enough(Exception):
    """A search has made all the calls that it may."""


def searched(style: Spoken, family: NumPy, given: Given) -> Binding:
    """The binding under which most of what a layer has was found, the first of equals.

    Raises
        Exception: what the implementation raised to the first way of calling it, where it answers to none.
    """
    return Search(style, family, given).best()


class Search:
    """Tries to speak to one implementation on one input."""

    def __init__(self, style: Spoken, family: NumPy, given: Given) -> None:
        self.style, self.family, self.given = style.interpreted, family, given
        self.calls = 0
        self.failure: Exception | None = None
        self._lacks_something = False
        self.x = np.asarray(given["x"])
        self.offered = [name for name in PARAMETERS if name in given]
        self.wants_gradients = "dy" in given

    def best(self) -> Binding:
        """See `searched`."""
        ranked: list[tuple[tuple[int, ...], Binding]] = []
        try:
            for forward in self._forwards():
                whole = self._complete(forward)
                found = sum(f"d{name}" in whole.gradients for name in self._bound(whole))
                ranked.append((("dx" in whole.gradients, found, len(self._bound(whole))), whole))
                if self._is_whole(whole):
                    return whole
        except _Enough:
            pass
        if not ranked:
            raise self.failure or NoGradient
        return max(ranked, key=lambda one: one[0])[1]

    def _bound(self, binding: Binding) -> list[str]:
        return [name for name in self.offered if name in binding.bound]

    def _is_whole(self, binding: Binding) -> bool:
        bound = self._bound(binding)
        owed = [f"d{name}" for name in bound] + ["dx"]
        answered = not self.wants_gradients or all(name in binding.gradients for name in owed)
        return answered and len(bound) == len(self.offered)

    # One trial.

    def _run(self, binding: Binding, **changed: Any) -> SpokenRun:
        self.calls += 1
        if self.calls > min(self.given.get("most", MOST), _DEAR.get(self.family.name, MOST)):
            raise _Enough
        given = {**self.given, **changed}
        return self.style.run(self.family, {k: _copied(v) for k, v in given.items()}, binding)

    def _y(self, binding: Binding, **changed: Any) -> Array | None:
        """What is answered to some input; None where nothing in the shape of x is."""
        try:
            run = self._run(binding, **changed)
            y = plain(run.forward(run.given["x"]))
        except _Enough:
            raise
        except Exception as error:
            self.failure = self.failure or error
            return None
        return y.copy() if y is not None and y.shape == self.x.shape else None

    # The forward.

    def _forwards(self) -> Iterator[Binding]:
        """Every way of building and calling forward that answers something in the shape of x."""
        for build in self._builds():
            for name in self._forward_names():
                for binding in self._taking(build.with_(forward=name)):
                    answering = list(self._answering(binding))
                    yield from answering
                    if (
                        not answering
                        and self._lacks_something
                        and name in FORWARDS
                        and isinstance(self.style.thing, type)
                    ):
                        yield from self._prepared(binding)

    def _builds(self) -> Iterator[Binding]:
        """Ways to construct, first by names."""
        if self.style.thing is None or not isinstance(self.style.thing, type):
            yield Binding()
            return
        named = constructor_roles(self.style.thing)
        made_around = roles_of(self.style.thing, FORWARD, "")
        asked = [a for a in arguments(self.style.thing) if a.default is a.empty]
        unknown = [
            a.name
            for a in asked
            if named.get(a.name) not in {*self.given, "training", "evaluating", "mode", "rate", "size"}
        ]
        ways: Iterable[dict[str, str]] = [named]
        if asked:
            trials = [_TRIED if a.name in unknown else [named[a.name], *_TRIED] for a in asked]
            others = islice(product(*trials), 200)
            around = [made_around] if "x" in made_around.values() else []
            ways = (
                around
                + ([] if unknown else [named])
                + [{**named, **dict(zip([a.name for a in asked], way, strict=True))} for way in others]
            )
        for roles in ways:
            binding = Binding(build=dict(roles))
            try:
                self._run(binding)
            except _Enough:
                raise
            except Exception as error:
                self.failure = self.failure or error
                continue
            yield binding

    def _prepared(self, binding: Binding) -> Iterator[Binding]:
        """The binding with one or two methods called first, where the forward misses what they make."""
        run = self._run(binding)
        ways: list[tuple[tuple[str, dict[str, str]], ...]] = []
        for name in self.style.methods():
            asked = [a.name for a in arguments(getattr(run.object, name)) if a.default is a.empty]
            if name not in {*FORWARDS, *BACKWARDS} and len(asked) <= 1:
                likely = [given for given in _PREPARING if asked and given.split()[0][:5] in asked[0].lower()]
                choices = (likely or _PREPARING) if asked else [""]
                ways += [((name, dict.fromkeys(asked, given)),) for given in choices]
        for way in [*ways, *(a + b for a, b in permutations(ways, 2) if a[0][0] != b[0][0])][:150]:
            yield from self._answering(binding.with_(prepared=way))

    def _forward_names(self) -> list[str]:
        """The methods that may be the forward, those of the usual names first."""
        if self.style.forward is not None:
            return [""]
        usual = [name for name in FORWARDS if self.style.holds(name)]
        return [*usual, *(name for name in self.style.methods() if name not in {*usual, *BACKWARDS})]

    def _taking(self, binding: Binding) -> Iterator[Binding]:
        """The ways in which a forward's arguments can be filled: by their names, then by trying."""
        function = self._forward_function(binding)
        named = roles_of(function, FORWARD, "x")
        asked = [a for a in arguments(function) if a.default is a.empty]
        known = {*self.given, *MODES, "size", "parameters", "running_mean", "running_var", "statistics"}
        unknown = [a.name for a in asked if named.get(a.name) not in known]
        if not unknown:
            yield binding.with_(takes=named)
            for whole in (
                TOGETHER if "parameters" in named.values() else ()
            ):  # an array or a tuple rather than a dictionary
                yield binding.with_(takes={a: whole if one == "parameters" else one for a, one in named.items()})
        spare = [a.name for a in arguments(function) if a.default is None and a.name not in named]
        left = [one for one in _ARGUMENTS if one not in named.values() and (one in known or one in _EXTRA)]
        if "parameters" in named.values():  # then γ and β are in there
            left = [one for one in left if one not in {*PARAMETERS, *TOGETHER}]
        for places in ([unknown] if unknown else []) + ([[*unknown, *spare]] if spare else []):
            for chosen in islice(permutations(left, len(places)), 60):
                yield binding.with_(takes={**named, **dict(zip(places, chosen, strict=True))})
        if 1 < len(asked) <= 5 and (unknown or not {"gamma", "beta"} <= set(named.values())):
            everything = [one for one in ("x", *_ARGUMENTS) if one in self.given or one in _EXTRA]
            for chosen in islice(permutations(everything, len(asked)), 80):
                if "x" in chosen:
                    yield binding.with_(takes=dict(zip([a.name for a in asked], chosen, strict=True)))

    def _forward_function(self, binding: Binding) -> Callable[..., Any]:
        if self.style.forward is not None:
            return self.style.forward
        owner = self.style.thing if not isinstance(self.style.thing, type) else self._run(binding).object
        function: Callable[..., Any] = getattr(owner, binding.forward)
        return function

    def _answering(self, binding: Binding, depth: int = 0) -> Iterator[Binding]:
        """The binding with the place of y, and of dictionary keys of unknown names."""
        try:
            run = self._run(binding.with_(y=("answer", ())))
            if run.differentiates:
                y = run.forward(run.given["x"])
                places: list[Place] = [("answer", ())] if y is not None and plain(y) is not None else []
                answer = y if places else run._answer(run.given["x"])
                places = places or self._places(answer, run)
            else:
                answer = run._answer(run.given["x"])
                places = self._places(answer, run)
        except _Enough:
            raise
        except Exception as error:
            unknown = [key for one in run.dictionaries for key in one.unknown] if "run" in locals() else []
            if isinstance(error, KeyError) and unknown and depth < 4:
                for one in ("gamma", "beta", "eps", "momentum", "training"):
                    if one in {*self.given, "training"} and one not in binding.keys.values():
                        yield from self._answering(binding.with_(keys={**binding.keys, unknown[-1]: one}), depth + 1)
                return
            self.failure = self.failure or error
            self._lacks_something = isinstance(error, AttributeError | TypeError | KeyError)
            return
        if not places:
            told = "nothing" if answer is None else type(answer).__name__
            array = plain(answer)
            told = f"an array of shape {array.shape}" if array is not None else told
            self.failure = self.failure or ValueError(
                f"its forward answers {told}, expected one of shape {self.x.shape}"
            )
        for place in places:
            yield binding.with_(y=place)

    def _places(self, answer: Any, run: SpokenRun) -> list[Place]:
        """Where y may be: what is called so first, then whatever has the shape of x, in order."""
        if plain(answer) is not None and not family_path(answer):
            return [("answer", ())] if shape(plain(answer)) == self.x.shape else []
        names = returned_names(self._plain_forward(run))
        found = [("answer", _of_wrapped(answer, p)) for p, a in arrays_in(answer).items() if shape(a) == self.x.shape]
        found = list(dict.fromkeys(found))

        def rank(place: Place) -> tuple[bool, int]:
            key = place[1][0][1] if place[1] else ""
            name = names[key] if isinstance(key, int) and key < len(names) and len(names) > 1 else str(key)
            return (name.lower() not in OUTPUTS or (key != 0 and name == ""), len(place[1]))

        usual: list[Place] = sorted(found, key=rank)  # stable: in order among equals
        if found and found[0][1] and found[0][1][0][1] == 0:
            usual = [found[0], *(p for p in usual if p != found[0])] if rank(usual[0])[0] or not names else usual
        if not usual and run.object is not None:
            inside = [(("self", p), a) for p, a in arrays_in(run.object).items() if shape(a) == self.x.shape]
            changed = [place for place, a in inside if not np.array_equal(np.asarray(plain(a)), self.x)]
            usual = sorted(changed, key=lambda place: str(place[1][-1][1]).lower() not in OUTPUTS)
        return usual

    def _plain_forward(self, run: SpokenRun) -> Any:
        return self.style.forward or getattr(run.object, run.binding.forward, None)

    # What else there is.

    def _complete(self, binding: Binding) -> Binding:
        """The binding with parameters, the training switch and the gradients, as far as they are found."""
        binding = self._with_switch(binding)
        if self.style.thing is not None:
            binding = self._with_slots(binding)
            binding = self._with_state(binding)
        if self.wants_gradients:
            binding = self._with_gradients(binding)
        return binding.with_(left_over=self._left_over(binding))

    def _left_over(self, binding: Binding) -> tuple[str, ...]:
        """Where a parameter may hide: arguments that default to nothing, arrays of its size that a function holds."""
        function = self._forward_function(binding)
        named = {**roles_of(function, FORWARD, "x"), **binding.takes}
        spare = [a.name for a in arguments(function) if a.default is None and a.name not in named]
        plain_function = getattr(function, "__func__", function)
        code, cells = getattr(plain_function, "__code__", None), getattr(plain_function, "__closure__", None) or ()
        free = dict(zip(code.co_freevars, cells, strict=True)) if code else {}
        held = {name: cell.cell_contents for name, cell in free.items()}
        held |= {name: plain_function.__globals__.get(name) for name in (code.co_names if code else ())}
        arrays = [name for name, value in held.items() if family_of(value) and size(value) == self._count > 1]
        return (*spare, *arrays)

    def _with_state(self, binding: Binding) -> Binding:
        """Where the instance keeps running statistics: what after a training step depends on what it was before.

        The mean is that which moves when x is shifted, the variance that which does not.
        """
        try:
            run = self._run(binding)
            run.forward(run.given["x"])
            if len(running_in(run.object)) == 2 or run.family.name not in ("numpy", "lists"):
                return binding
            slots = {path for path, a in arrays_in(run.object).items() if size(a) == self._count}
            once = {path: np.array(plain(at(run.object, path))) for path in slots}
            after = self._stepped(binding, {})
            found: dict[str, Path] = {}
            for path in sorted(slots & set(after), key=str):
                moved = self._stepped(binding, {path: _moved(after[path])})
                if _alike(after[path], once[path]) or path not in moved or _alike(moved[path], after[path]):
                    continue  # it stays as it is, or is made anew
                shifted = self._stepped(binding, {}, self.x + self.x.dtype.type(3))
                found.setdefault("running_var" if _alike(shifted[path], after[path]) else "running_mean", path)
        except _Enough:
            raise
        except Exception:
            return binding
        return binding.with_(state=found) if len(found) == 2 else binding

    def _stepped(self, binding: Binding, kept: dict[Path, Any], x: Array | None = None) -> dict[Path, Array]:
        """What an instance holds after two training steps, where something was put into it between them."""
        run = self._run(binding)
        run.forward(run.given["x"])
        for path, value in kept.items():
            put(run.object, path, value)
        run.forward(self.family.array((self.x if x is None else x).copy()))
        return {path: np.array(plain(a)) for path, a in arrays_in(run.object).items() if size(a) == self._count}

    @property
    def _count(self) -> int:
        return max((size(self.given[name]) for name in self.offered), default=0)

    def _with_slots(self, binding: Binding) -> Binding:
        """Where the instance keeps γ and β: by name, and where that moves nothing, by what y follows."""
        for warm in (False, True):
            wanted = [name for name in self.offered if name not in self._bound(binding)]
            if not wanted:
                return binding
            binding = binding.with_(warm=warm)
            held = self._held(binding)
            named = self._named_slots(held, wanted)
            candidate = binding.with_(slots={**binding.slots, **named})
            silent = [name for name in named if not self._follows(candidate, name)]
            missing = [name for name in wanted if name not in named or name in silent]
            others = self._following(candidate, held, missing) if missing else {}
            slots = {**{k: v for k, v in named.items() if k not in silent or (warm and k not in others)}, **others}
            binding = binding.with_(slots={**binding.slots, **slots})
        return binding.with_(warm=bool(binding.slots) and self._needs_warmth(binding))

    def _needs_warmth(self, binding: Binding) -> bool:
        """Whether parameters that are set before the first forward are lost in it."""
        cold = binding.with_(warm=False)
        try:
            return not all(self._follows(cold, name) for name in binding.slots)
        except _Enough:
            return True

    def _held(self, binding: Binding) -> dict[Path, Any]:
        """The arrays of an instance that may hold a parameter: of its size, or of two."""
        try:
            run = self._run(binding.with_(slots={}))
        except _Enough:
            raise
        except Exception:
            return {}
        count = max(size(self.given[name]) for name in self.offered)
        arrays = arrays_in(run.object)
        whole = {path: a for path, a in arrays.items() if size(a) == count}
        halves = {(*path, part): None for path, a in arrays.items() if size(a) == 2 * count for part in parts(a)}
        return {**whole, **{path: at(run.object, path) for path in halves}}

    def _named_slots(self, held: dict[Path, Any], wanted: list[str]) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for path in held:
            names = [str(key) for kind, key in path if kind != "part" and isinstance(key, str)]
            if any("grad" in name.lower() for name in names):
                continue
            one = next((r for name in reversed(names) if (r := role(name, tuple(wanted)))), "")
            if one and one not in found and path[-1][0] != "part":
                found[one] = path
        return found

    def _follows(self, binding: Binding, name: str) -> bool:
        """Whether y follows a parameter at all."""
        first = self._y(binding)
        second = self._y(binding, **{name: _moved(self.given[name])})
        return first is not None and second is not None and not _alike(first, second)

    def _following(self, binding: Binding, held: dict[Path, Any], wanted: list[str]) -> dict[str, Path]:
        """The places that y follows, as the parameters that they are by how it does."""
        found: dict[str, Path] = {}
        other = self._other_x()
        for path, value in held.items():
            if path in binding.slots.values():
                continue
            trial = binding.with_(slots={**binding.slots, "probe": path})
            still = _plainly(self.family, value)
            ys = [self._with_probe(trial, still), self._with_probe(trial, _moved(still))]
            if ys[0] is None or ys[1] is None or _alike(*ys):  # type: ignore[arg-type]
                continue
            others = [self._with_probe(trial, v, x=other) for v in (still, _moved(still))]
            if others[0] is None or others[1] is None:
                continue
            additive = _alike(ys[1] - ys[0], others[1] - others[0])
            one = "beta" if additive else "gamma"
            if one in wanted and one not in found:
                found[one] = path
            if len(found) == len(wanted):
                break
        return found

    def _with_probe(self, binding: Binding, value: Any, **changed: Any) -> Array | None:
        try:
            run = self._run(binding, **changed)
            run._place({"probe": value})
            y = plain(run.forward(run.given["x"]))
        except _Enough:
            raise
        except Exception:
            return None
        return y.copy() if y is not None and y.shape == self.x.shape else None

    def _other_x(self) -> Any:
        """Another input of the same shape, as spread out as the first but not a shift or a multiple of it."""
        moved = np.asarray(self.x) * np.cos(np.arange(self.x.size).reshape(self.x.shape)) + self.x[::-1]
        return moved.astype(self.x.dtype)

    def _with_switch(self, binding: Binding) -> Binding:
        """The flag that tells training from evaluation: in training y does not follow a shift of x."""
        function = self._forward_function(binding)
        named = roles_of(function, FORWARD, "x")
        flags = [
            ("argument", a.name, a.default)
            for a in arguments(function)
            if isinstance(a.default, bool) and a.name not in named
        ]
        if self.style.thing is not None:
            held = attributes(self._run(binding).object)
            flags += [("attribute", name, value) for name, value in held.items() if isinstance(value, bool)]
        if not flags or self._ignores_a_shift(binding) is None:
            return binding
        usual = self._ignores_a_shift(binding)
        for kind, name, value in flags:
            flipped = binding.with_(switch=(kind, name, not value))
            other = self._ignores_a_shift(flipped)
            if usual is False and other:
                return flipped
            known = kind == "attribute" and role(name, ("training", "evaluating"))
            if usual and other is False and not known:
                return binding.with_(switch=(kind, name, value))
        return binding

    def _ignores_a_shift(self, binding: Binding) -> bool | None:
        """Whether y is the same for x and for x shifted by a number; None where there is no y."""
        first = self._y(binding)
        second = self._y(binding, x=(self.x + self.x.dtype.type(3)))
        return None if first is None or second is None else _alike(first, second)

    # The backward.

    def _with_gradients(self, binding: Binding) -> Binding:
        """The first backward that answers to some way of calling, with the places of its gradients."""
        first: Binding | None = None
        for way in self._backwards(binding):
            found = self._gradients(way)
            if found is None:
                continue
            whole = way.with_(gradients=found)
            if self._is_whole_backward(whole):
                return whole
            first = first or whole
        return first or binding

    def _is_whole_backward(self, binding: Binding) -> bool:
        return "dx" in binding.gradients and all(f"d{name}" in binding.gradients for name in self._bound(binding))

    def _backwards(self, binding: Binding) -> Iterator[Binding]:
        """Ways to call a backward, those that names speak of first."""
        run = self._run(binding)
        try:
            run.forward(run.given["x"])
        except Exception:
            return
        if run.differentiates:
            yield binding
            return
        functions: list[tuple[str, Any]] = []
        if self.style.backward is not None:
            functions = [("", self.style.backward)]
        elif self.style.thing is not None:
            usual = [name for name in BACKWARDS if self.style.holds(name)]
            others = [n for n in self.style.methods() if n not in {*usual, *FORWARDS, binding.forward}]
            functions = [(name, getattr(run.object, name)) for name in (*usual, *others)]
        for kind, partner in self.style.partners.items() if self.style.thing is not None else ():
            for method in Spoken("", thing=partner).methods():
                with contextlib.suppress(Exception):  # it need not be made of what this one is made of
                    bound = self._run(binding.with_(backward=f"{kind}.{method}")).backward_function
                    functions.append((f"{kind}.{method}", bound))
        for name, function in functions:
            for wants in self._wants(function, run.kept, self._namesakes(binding)):
                yield binding.with_(backward=name, wants=wants)
        answer = run.saved[0]
        if not functions and isinstance(answer, tuple | list) and any(map(callable, answer)):
            yield binding.with_(backward="answer")
        if isinstance(self.family, Tensors):
            yield binding.with_(backward="y")

    def _namesakes(self, binding: Binding) -> dict[str, str]:
        """What the forward calls its arguments and its answers, which its backward may call the same."""
        where, path = binding.y
        names = returned_names(self.style.forward) if self.style.forward is not None else []
        if where != "answer" or not path or len(names) < 2:
            return dict(binding.takes)
        rest = [name for k, name in enumerate(names) if k != path[0][1]]
        return {**{name: f"kept {k}" for k, name in enumerate(rest) if name}, **binding.takes}

    def _wants(self, function: Any, kept: Any, namesakes: dict[str, str]) -> Iterator[dict[str, str]]:
        """The ways to fill a backward's arguments: by role, by what the forward calls the same, then by trying."""
        by_role = backward_roles(function, kept)
        called = {**by_role, **{a.name: namesakes[a.name] for a in arguments(function) if a.name in namesakes}}
        pieces = [f"kept {k}" for k in (range(len(kept)) if isinstance(kept, tuple | list) else kept or ())]
        filled = {*self.given, *pieces, "cache", "dy", "y", "options", "parameters", "rate", *MODES, *TOGETHER}
        asked = [a.name for a in arguments(function) if a.default is a.empty]
        for roles in (by_role, called) if called != by_role else (by_role,):
            if all(roles.get(name) in filled for name in asked):
                yield roles
        pool = ["dy", "cache", *pieces, "x", *self.offered, "y", "rate", "eps"]
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
                changed["x"] = self._other_x()
            for name in ("x", "dy", "gamma"):
                if name in changes and name in self.given:
                    changed[name] = self.given[name] * np.asarray(self.given[name]).dtype.type(changes[name])
            try:
                run = self._run(binding, **changed)
                run.forward(run.given["x"])
                return as_pool(run.pulled(run.given["dy"]))
            except _Enough:
                raise
            except Exception:
                return {}

        try:
            run = self._run(binding)
            y = run.forward(run.given["x"])
            if run.differentiates:
                pulled = run.backward(run.given["dy"])
                return dict.fromkeys(pulled, ("answer", ())) if y is not None else None
            pool = as_pool(run.pulled(run.given["dy"]))
        except _Enough:
            raise
        except Exception as error:
            self.failure = self.failure or error
            return None
        function = run.backward_function
        bound = {name: size(self.given[name]) for name in self._bound(binding)}
        found = gradients.found(pool, self.x.shape, bound, returned_names(function), again)
        if "dx" not in found:
            return None
        names = {**backward_roles(function, run.kept), **self._namesakes(binding)} if function is not None else {}
        first = binding.wants is None or all(names.get(name) == one for name, one in binding.wants.items())
        named = first and (self.style.backward is not None or binding.backward in BACKWARDS)
        if not named and not self._is_linear(found["dx"], pool, again):
            return None
        return found

    def _is_linear(
        self, place: Place, pool: dict[Place, Array], again: Callable[[dict[str, Any]], dict[Place, Array]]
    ) -> bool:
        doubled = again({"dy": 2.0})
        return place in doubled and bool(np.any(pool[place])) and _alike(doubled[place], 2 * pool[place])


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


def family_path(answer: Any) -> bool:
    """Whether an answer is a container, rather than an array or what wraps one."""
    return isinstance(answer, tuple | list | dict) or (hasattr(answer, "_fields"))


def _of_wrapped(answer: Any, path: Path) -> Path:
    """The path without the last step into an object that wraps a single array."""
    if path and path[-1][0] == "attr":
        holder = at(answer, path[:-1])
        if inner(holder) is not None:
            return path[:-1]
    return path


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def _moved(value: Any) -> Any:
    """Another value of a parameter, other in each element."""
    array = np.asarray(value)
    return (array + 0.5 + 0.25 * np.cos(np.arange(array.size)).reshape(array.shape)).astype(array.dtype)


def _plainly(family: NumPy, value: Any) -> Any:
    array = plain(value)
    assert array is not None
    return array.copy()


def _alike(first: Array, second: Array) -> bool:
    with np.errstate(all="ignore"):
        scale = float(np.abs(second).max(initial=0.0))
        return bool(np.allclose(first, second, rtol=_CLOSE, atol=_CLOSE * scale, equal_nan=True))


__all__ = ["BACKWARD", "Search", "Unbound", "searched"]
