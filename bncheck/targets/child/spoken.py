"""A class, an instance or some functions in anybody's words, spoken to by a `Binding`."""

from __future__ import annotations

import copy
import random
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from bncheck.targets.child import rooms
from bncheck.targets.child.binding import TOGETHER, Binding, Place
from bncheck.targets.child.families import NoGradient, NumPy, Pull, Tensors, plain
from bncheck.targets.child.gradients import as_pool
from bncheck.targets.child.roles import BACKWARD, FORWARD, arguments, assigned, role, roles_of
from bncheck.targets.child.slots import arrays_in, at, attributes, parts, put, size, unwrapped
from bncheck.targets.child.slots import shape as shape_of
from bncheck.targets.child.styles import (
    PARAMETERS,
    Given,
    NoEvaluation,
    Run,
    Style,
    default_of,
    evaluating,
    fixed_sizes,
    momentum_in,
    running_in,
    set_eps,
)
from bncheck.targets.child.values import Values

FORWARDS = ("forward", "__call__", "call", "fprop", "forward_pass", "forward_prop", "apply")
_CLEARING, _MOST_CLEARING = re.compile(r"zero|clear|flush|reset|begin", re.IGNORECASE), 6
BACKWARDS = ("backward", "bprop", "backward_pass", "backprop", "backward_prop", "grad", "vjp")


class Spoken(Style):
    """Forward and backward, as methods of `thing` or as functions; without a backward, a family may find one."""

    def __init__(
        self,
        words: str,
        *,
        thing: Any = None,
        forward: Callable[..., Any] | None = None,
        backward: Callable[..., Any] | None = None,
        partners: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
    ) -> None:
        self.words, self.thing, self.forward, self.backward = words, thing, forward, backward
        self.partners: Mapping[str, Any] = partners

    def with_partner(self, name: str) -> Spoken:
        """The pair that a forward function makes with another function."""
        return Spoken("a pair of functions", forward=self.forward, backward=self.partners[name])

    @property
    def interpreted(self) -> Spoken:
        """The same without compilation, for the many calls of a search."""
        forward, backward = (getattr(f, "py_func", f) for f in (self.forward, self.backward))
        if (forward, backward) == (self.forward, self.backward):
            return self
        return Spoken(self.words, thing=self.thing, forward=forward, backward=backward, partners=self.partners)

    @property
    def has_forward(self) -> bool:
        """Whether there is one by its name."""
        return self.forward is not None or any(map(self.holds, FORWARDS))

    @property
    def has_backward(self) -> bool:
        """Whether there is one by its name; others are found by trying."""
        return self.backward is not None or any(map(self.holds, BACKWARDS))

    @property
    def is_pair(self) -> bool:
        """Whether what a forward keeps for the backward passes through the caller's hands."""
        return self.forward is not None and self.backward is not None

    def holds(self, name: str) -> bool:
        """Whether the class of an object has a method."""
        return any(name in vars(base) for base in self.bases())

    def bases(self) -> list[type]:
        """The classes of an object whose methods are somebody's own, rather than those of every object."""
        kinds = [] if self.thing is None else _kind(self.thing).__mro__
        return [kind for kind in kinds if kind.__module__ not in ("builtins", "typing", "enum")]

    def methods(self) -> list[str]:
        """The public methods of an object's class, in their order, but for those of every object."""
        names = dict.fromkeys(name for base in self.bases() for name in vars(base) if not name.startswith("_"))
        return [name for name in names if callable(getattr(_kind(self.thing), name, None))]

    def clears(self) -> list[str]:
        """The methods that may begin anew, as ``zero_grad()`` does: those that ask for nothing, usual names first."""
        others = [name for name in self.methods() if name not in {*FORWARDS, *BACKWARDS, "train", "eval"}]
        asked = {name: arguments(getattr(_kind(self.thing), name))[1:] for name in others}
        free = [name for name in others if not any(a.default is a.empty for a in asked[name])]
        return sorted(free, key=lambda name: not _CLEARING.search(name))[:_MOST_CLEARING]

    def copied(self) -> Any:
        """An instance of its own, as it was handed over."""
        return copy.deepcopy(self.thing)

    def sizes(self) -> Mapping[str, Any]:
        """The sizes that an instance is fixed to."""
        return {} if self.thing is None or isinstance(self.thing, type) else fixed_sizes(self.thing)

    def begin(self, family: NumPy, given: Given) -> SpokenRun:
        """A fresh instance that is spoken to by names alone."""
        return self.run(family, given, Binding())

    def run(self, family: NumPy, given: Given, binding: Binding) -> SpokenRun:
        """A fresh instance that is spoken to by a binding."""
        return SpokenRun(self, family, given, binding)


def _kind(thing: Any) -> type:
    return thing if isinstance(thing, type) else type(thing)


class SpokenRun(Run):
    """One instance, or one call of functions, at work."""

    def __init__(self, style: Spoken, family: NumPy, given: Given, binding: Binding) -> None:
        super().__init__(family, {k: v for k, v in given.items() if k != "binding"})
        self.style, self.binding = style, binding
        self.neutral: set[str] = set()
        self.spent = False
        self.answered: Any = None
        self.room: Given = {}
        self.object: Any = None
        word = evaluating(self._function)[0]
        self.values = Values(family, self.given, binding.keys, word, keeps_statistics=style.thing is None)
        if style.thing is not None:
            self._set_up()

    def _set_up(self) -> None:
        """A fresh instance with its parameters in place, in training mode."""
        self.object = self._built()
        if "eps" not in self.used:
            self.used |= set_eps(self.object, self.given)
        for name, roles in self.binding.prepared:
            assigned(getattr(self.object, name), roles, self.values)
        if self.binding.steps:
            self._set_rate()
        self._switch(training=True)
        if self.binding.warm:
            self._answer(self.given["x"])
        self._place(self.parameters)
        self.used |= set(self.binding.slots) & set(PARAMETERS)

    @property
    def _function(self) -> Callable[..., Any]:
        """The forward, as far as it can be looked at before there is an instance."""
        if self.style.forward is not None:
            return self.style.forward
        named = self.binding.forward or next((n for n in FORWARDS if self.style.holds(n)), "")
        found = getattr(self.style.thing, named, None)
        return found if callable(found) else (lambda: None)

    @property
    def is_whole(self) -> bool:
        """Whether every parameter that was offered has a place, and every gradient of these."""
        owed = ["dx", *(f"d{name}" for name in self.parameters)]
        placed = set(self.parameters) <= self.binding.bound
        return placed and (self.differentiates or all(name in self.binding.gradients for name in owed))

    @property
    def hands_over(self) -> bool:
        """Whether the backward is given what the forward kept."""
        wants = self.binding.wants or {}
        return any(one == "cache" or one.startswith("kept ") for one in wants.values())

    # The instance.

    def _built(self) -> Any:
        thing = self.style.thing
        seed_everything()
        if not isinstance(thing, type):
            return self.style.copied()
        roles = constructor_roles(thing) if self.binding.build is None else self.binding.build
        if not self.binding.steps:  # what is called a rate may be that of an average
            own = {a.name for a in arguments(thing) if a.default is not a.empty}
            roles = {argument: one for argument, one in roles.items() if one != "rate" or argument not in own}
        built, used = assigned(thing, roles, self.values)
        self._count_as_used(used)
        return built

    def _count_as_used(self, used: set[str]) -> None:
        """Takes note of what was read; parameters that nobody offered are neutral."""
        stray = {one for one in used if one in PARAMETERS and one not in self.given}
        self.used |= used - stray
        self.neutral |= stray

    def _set_rate(self) -> None:
        for name, value in attributes(self.object).items():
            if role(name, ("rate",)) and isinstance(value, float) and not role(name, ("momentum",)):
                setattr(self.object, name, self.values.rate)

    def _place(self, parameters: Mapping[str, Any]) -> None:
        """Puts parameters where the instance keeps them, in the shape in which it does."""
        for one, path in self.binding.slots.items():
            if one not in parameters:
                continue
            held, value = at(self.object, path), unwrapped(parameters[one])
            array = unwrapped(held)
            same = array is not None and size(array) == size(value)
            value = value.reshape(shape_of(array)) if same and hasattr(value, "reshape") else value
            put(self.object, path, value.copy() if isinstance(value, np.ndarray) else value)

    def _switch(self, *, training: bool) -> bool:
        """Puts the object in a mode by its own means, if it has any."""
        if self.binding.switch is not None:
            kind, name, value = self.binding.switch
            if kind == "argument":
                self.values[f"switch {name}"] = value is training
            else:
                setattr(self.object, name, value is training)
            return True
        switch = getattr(self.object, "train" if training else "eval", None)
        if callable(switch) and not any(a.default is a.empty for a in arguments(switch)):
            switch()
            return True
        for name, value in attributes(self.object).items():
            if isinstance(value, bool) and (one := role(name, ("training", "evaluating"))):
                setattr(self.object, name, training is (one == "training"))
                return True
            if role(name, ("mode",)) and isinstance(value, str):
                setattr(self.object, name, "train" if training else self.values.word)
                return True
        return False

    # Forward and backward.

    def _answer(self, x: Any) -> Any:
        """What the forward answers to x; a generator's first answer stands for its own."""
        self.values["x"] = x
        self.given["x"] = x
        if self.object is not None and self.binding.build and "x" in self.binding.build.values():
            self.object = self._built()  # a node of a graph, which is made around its input
        function = self.style.forward or self._method(self.binding.forward or self._named(FORWARDS))
        roles = self.binding.takes or roles_of(function, FORWARD, "x")
        if self.binding.switch and self.binding.switch[0] == "argument":
            roles = {**roles, self.binding.switch[1]: f"switch {self.binding.switch[1]}"}
        self.values |= self._rooms(roles)
        answer, used = assigned(function, roles, self.values, self.given.get("insisted", ()))
        used = used.union(self.values.read, PARAMETERS if used & set(TOGETHER) else ())
        self._count_as_used(used)
        if isinstance(answer, types.GeneratorType):
            answer = (next(answer), answer.send)
        return answer

    def _rooms(self, roles: Mapping[str, str]) -> Given:
        """Arrays for the roles of those that are written to."""
        return rooms.made(roles.values(), self.given["x"], self.given) if self.family.name == "numpy" else {}

    def _method(self, name: str) -> Any:
        """The forward by its name, as it is called."""
        return getattr(self.object, name)

    def _named(self, names: tuple[str, ...]) -> str:
        return next((name for name in names if self.style.holds(name)), names[0])

    def sources(self, answer: Any) -> Given:
        """Whose arrays may be looked at after a call."""
        handed = {name: self.values[name] for name in ("x", *PARAMETERS) if name in self.values}
        module = {} if self.style.thing is not None else own_globals(self.style.backward or self.style.forward)
        handed |= {role: value for role, value in self.values.items() if role.startswith(rooms.ROOM)}
        return {"answer": answer, "self": self.object, "module": module, **handed}

    @property
    def differentiates(self) -> bool:
        """Whether the family finds the gradients: there is no backward, and it can."""
        return self.family.differentiates and not self.binding.backward and not self.style.has_backward

    def forward(self, x: Any) -> Any:
        """The output, in training mode."""
        if self.differentiates:
            y = self.differentiated(self._function_of, x)
            self._hand_over(self.parameters)  # what was traced is of no use afterwards
            self.values["x"] = self.given["x"] = x
            if self._returns_state:
                self._keep_state(self._answer(x))
            return y
        answer = self._answer(x)
        self.saved, self.spent = (answer, x), False
        if self._returns_state:
            self._keep_state(answer)
        return self._y(answer)

    def _function_of(self, x: Any, parameters: Given) -> Any:
        """y as a function of x and the parameters."""
        self._hand_over(parameters)
        return self._y(self._answer(x))

    def twice(self, x: Any, dy: Any, along: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """The gradients of its gradients along some directions, see `bncheck.targets.child.families.NumPy.twice`.

        Raises
            NoGradient: it has none.
        """
        if not self.differentiates:
            raise NoGradient
        return self.family.twice(self._function_of, x, self.parameters, dy, along)

    def without_parameters(self) -> Iterator[tuple[str, Binding]]:
        """The ways to have it without some of its parameters: switches of a constructor, arguments left out."""
        function, takes = self.style.forward, self.binding.takes
        if function is not None:
            spare = [a for a in arguments(function) if a.default is None and takes.get(a.name) in PARAMETERS]
            if spare:
                left = {name: one for name, one in takes.items() if name not in {a.name for a in spare}}
                yield f"{' and '.join(a.name for a in spare)} left out", replace(self.binding, takes=left)
        elif isinstance(self.style.thing, type):
            build = self.binding.build or {}
            for switch in (a.name for a in arguments(self.style.thing) if a.default is True and a.name not in build):
                yield f"{switch}=False", replace(self.binding, build={**build, switch: "no"})

    def _hand_over(self, parameters: Given) -> None:
        """Has the next call find other parameters, wherever it looks for them."""
        self.values |= parameters
        own = self.values.learned
        own.update({name: value for name, value in parameters.items() if own.holds(name)})
        if self.object is not None:
            self._place(parameters)

    @property
    def _returns_state(self) -> bool:
        """Whether running statistics are handed to a function, and handed back by it."""
        return self.object is None and bool(self.binding.state) and bool(self.values["training"])

    def _keep_state(self, answer: Any) -> None:
        """Hands the next call what this one made of the running statistics."""
        for name, path in self.binding.state.items():
            self.values[name] = at(answer, path)
            holder = at(answer, path[:-1])
            if isinstance(holder, Mapping):
                self.values.statistics.update(holder)

    def _y(self, answer: Any) -> Any:
        where, path = self.binding.y
        return at(self.sources(answer)[where], path)

    @property
    def kept(self) -> Any:
        """What a forward hands to its backward: all that it answers besides y."""
        answer, _ = self.saved
        where, path = self.binding.y
        if where != "answer" or not path:
            return () if where == "answer" else answer
        first = path[0][1]
        if isinstance(answer, dict):
            return answer
        rest = tuple(value for k, value in enumerate(answer) if k != first) if isinstance(answer, tuple | list) else ()
        return rest[0] if len(rest) == 1 or (rest and isinstance(rest[0], tuple | list | dict)) else rest

    def _pulled(self, dy: Any) -> Any:
        """What the backward answers."""
        name = self.binding.backward
        if name == "answer":
            return self._callable_kept()(dy)
        if isinstance(self.family, Tensors) and name == "y":
            if self.spent:
                raise NoEvaluation  # a graph of tensors is gone through once
            self.spent = True
            return self.family.pull(self._y(self.saved[0]), dy)
        function = self.backward_function
        if function is None:
            raise NoGradient
        if not arguments(function) and hasattr(y := self._y(self.saved[0]), "grad"):
            y.grad = unwrapped(dy)
        kept = self.kept
        values = {**self.values, "x": self.saved[1], "dy": dy, "cache": kept, "y": self._y(self.saved[0])}
        if isinstance(kept, tuple | list):
            values |= {f"kept {k}": value for k, value in enumerate(kept)}
        elif isinstance(kept, dict):
            values |= {f"kept {k}": value for k, value in kept.items()}
        roles = self.binding.wants if self.binding.wants is not None else backward_roles(function, kept)
        own = {argument: one for argument, one in roles.items() if one not in self.values}
        self.room = self._rooms(own)
        answer, _ = assigned(function, roles, {**values, **self.room})
        return answer

    @property
    def backward_function(self) -> Any:
        """The backward: a function, a method of the object, or of another class that is made with what it shares."""
        name = self.binding.backward
        kind, _, method = name.rpartition(".")
        if not kind:
            return self.style.backward or getattr(self.object, name or self._named(BACKWARDS), None)
        shared = {**constructor_roles(self.style.thing), **(self.binding.build or {})}
        asked = [a.name for a in arguments(self.style.partners[kind]) if a.default is a.empty]
        roles = {argument: shared.get(argument, "self") for argument in asked}
        other, _ = assigned(self.style.partners[kind], roles, {**self.values, "self": self.object})
        return getattr(other, method)

    def _callable_kept(self) -> Callable[..., Any]:
        kept: Callable[..., Any] = next(one for one in self.saved[0] if callable(one) and not isinstance(one, type))
        return kept

    def pulled(self, dy: Any) -> dict[Place, Any]:
        """All that may be a gradient after the backward: what it answers, what it leaves or moves."""
        before = self._left()
        moved = {one: plain(at(self.object, path)) for one, path in self.binding.slots.items() if one in PARAMETERS}
        held = {one: plain(self.values[one]) for one in PARAMETERS if one in self.used and one not in moved}
        kept = {one: value.copy() for one, value in {**moved, **held}.items() if value is not None}
        answer = self.answered = self._pulled(dy)
        pool: dict[Place, Any] = {("answer", path): value for path, value in arrays_in(answer).items()}
        pool |= {(one, ()): value for one, value in self.room.items() if one.startswith(rooms.ROOM)}
        count = size(unwrapped(self.values["gamma"])) if "gamma" in self.values else 0
        for (where, path), value in list(pool.items()):
            if size(value) == 2 * count and self.used & set(TOGETHER):
                pool |= {(where, (*path, part)): at(value, (part,)) for part in parts(value)}
        slots = {("self", path) for path in self.binding.slots.values()}
        after = self._left()
        pool |= {p: v for p, v in after.items() if p not in slots and (p not in before or not _same(before[p], v))}
        for one, old in kept.items():
            where = at(self.object, self.binding.slots[one]) if one in moved else self.values[one]
            new = plain(where)
            if new is not None and new.shape == old.shape and not np.array_equal(new, old):
                pool[f"step {one}", self.binding.slots.get(one, ())] = (old - new) / self.values.rate
        return pool

    def _left(self) -> dict[Place, Any]:
        """Copies of all that is kept beside answers, to see what a backward changes."""
        sources = {
            k: v for k, v in self.sources(None).items() if k in ("self", "module", "x", *PARAMETERS) and v is not None
        }
        found = {
            (where, path): value
            for where, thing in sources.items()
            for path, value in arrays_in(thing).items()
            if (where in _LEFT or path) and size(value) <= _LARGEST
        }
        return dict(as_pool(found))

    def backward(self, dy: Any) -> Mapping[str, Any]:
        """The gradients that were found a place, by name.

        Raises
            NoGradient: there is no backward.
        """
        if self.differentiates:
            pull: Pull = self.saved
            return pull(dy)
        if not self.binding.gradients and not (self.style.has_backward or self.binding.backward):
            raise NoGradient
        pool = self.pulled(dy)
        if "dx" not in self.binding.gradients:  # then what it answers first is told for what it is
            several = isinstance(self.answered, tuple | list) and len(self.answered) > 0
            return {"dx": self.answered[0] if several else self.answered}
        if any(where.startswith("step ") for where, _ in self.binding.gradients.values()):
            self._place(self.parameters)  # the step is measured: whoever asks next means these parameters
        sources = self.sources(None)  # what is there already is found even where it is the same as before
        places = self.binding.gradients.items()
        return {
            n: pool[p] if p in pool else plain(at(sources[p[0]], p[1])) for n, p in places if p in pool or p[0] in _LEFT
        }

    # Modes.

    def begin_anew(self, method: str) -> None:
        """Has the instance forget what it keeps of earlier steps, by a method of its own."""
        if method:
            getattr(self.object, method)()

    def back_to_training(self) -> None:
        """Undoes what an evaluation changed."""
        if self.object is not None or self.binding.switch:
            self._switch(training=True)
        self.values.set_mode(training=True)

    def evaluate(self, x: Any) -> Any:
        """The output in evaluation mode."""
        by_call = self.used & MODES
        switched = (self.object is not None or self.binding.switch) and self._switch(training=False)
        if not switched and not by_call:
            raise NoEvaluation
        spoken = evaluating(self._function)[1]
        self.values.set_mode(training=False)
        try:
            return self.forward(x)
        except Exception:
            if self.object is not None or spoken or self.used & {"training", "evaluating"}:
                raise
            raise NoEvaluation from None  # what it raised may be about a word that it does not know

    @property
    def keeps_its_mode(self) -> bool:
        """Whether the mode is the instance's, so that its backward can know it, rather than an argument of one call."""
        by_call = self.used & MODES
        switch = self.binding.switch
        return self.object is not None and not by_call and (switch is None or switch[0] != "argument")

    def running(self) -> Mapping[str, Any]:
        """The running statistics, where they were found or by their names."""
        names = ("running_mean", "running_var")
        if self.object is not None:
            placed = {name: at(self.object, path) for name, path in self.binding.state.items()}
            return {**placed, **running_in(self.object)}
        found = {role(k, names): v for k, v in self.values.options.items()}
        found |= {self.values.statistics.role(k): v for k, v in self.values.statistics.items()}
        asked = {name: self.values[name] for name in names if name in self.used}
        return {k: v for k, v in {**asked, **found}.items() if k in names}

    @property
    def momentum(self) -> float | None:
        """The momentum that it was given or keeps."""
        if self.object is not None:
            return momentum_in(self.object)
        default = default_of(self._function, "momentum")
        return self.given.get("momentum", default) if "momentum" in self.used else default


_LEFT = ("self", "module")
"""Where a backward leaves what it does not return."""

_LARGEST = 1 << 20
"""How many numbers an array may have that is looked at before and after a backward."""

MODES = frozenset({"training", "evaluating", "mode", "options"})
"""The roles of arguments that tell a forward its mode."""


def _same(before: Any, after: Any) -> bool:
    old, new = plain(before), plain(after)
    return (
        old is not None
        and new is not None
        and old.shape == new.shape
        and bool(np.array_equal(old, new, equal_nan=True))
    )


def own_globals(function: Any) -> dict[str, Any]:
    """What a function's module holds besides code: containers and objects, in which a backward may leave gradients."""
    held = getattr(function, "__globals__", {})
    kinds = (type, types.ModuleType, types.FunctionType)
    return {n: v for n, v in held.items() if not n.startswith("_") and not isinstance(v, kinds) and not callable(v)}


def constructor_roles(kind: Any) -> dict[str, str]:
    """The roles of a constructor's arguments, by their names; an unnamed first one is a size."""
    roles = FORWARD[1:]  # no x: ``features`` are counted here
    unnamed = [a for a in arguments(kind)[:1] if not role(a.name, roles)]  # such as layer_dim, or hidden
    return roles_of(kind, roles, "size" if unnamed else "")


def backward_roles(function: Any, kept: Any) -> dict[str, str]:
    """The roles of a backward's arguments: by name, and in order what the forward kept, where as many have no name."""
    roles = roles_of(function, BACKWARD, "dy")
    named = arguments(function)
    unknown = [a.name for a in named if roles.get(a.name) not in BACKWARD and a.default is a.empty]
    count = len(kept) if isinstance(kept, tuple | list) else 0
    if unknown and len(unknown) == count:
        roles |= {name: f"kept {k}" for k, name in enumerate(unknown)}
    elif isinstance(kept, dict):
        roles |= {name: f"kept {name}" for name in unknown if name in kept}
    elif len(unknown) == 1 and "cache" not in roles.values():
        roles[unknown[0]] = "cache"
    return roles


_SEED = 150203167  # none that a target would choose, or it could not be told that it chose one


def seed_everything() -> None:
    """The same random numbers for each instance, so that two of them are alike."""
    random.seed(_SEED)
    np.random.seed(_SEED)
    np.random.random()  # else the first number that anybody draws would change the state's key
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(_SEED)
