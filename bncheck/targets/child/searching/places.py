"""Where an implementation keeps its parameters and its running statistics, and what puts it into training mode."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bncheck.case import Array
from bncheck.targets.child.binding import Binding
from bncheck.targets.child.families import alike, family_of, plain
from bncheck.targets.child.roles import (
    FORWARD,
    arguments,
    role,
    roles_of,
)
from bncheck.targets.child.searching.trials import Enough, Trials, moved_value
from bncheck.targets.child.slots import Path, arrays_in, at, attributes, closed_over, parts, put, size, written
from bncheck.targets.child.spoken import SpokenRun, own_globals
from bncheck.targets.child.styles import running_in


class Places:
    """Finds them by what y follows, and by what a step changes."""

    def __init__(self, trials: Trials) -> None:
        self.trials = trials

    def with_slots(self, binding: Binding) -> Binding:
        """Where the instance keeps γ and β: by name, and where that moves nothing, by what y follows."""
        for warm in (False, True):
            wanted = [name for name in self.trials.offered if name not in self.trials.bound(binding)]
            if not wanted:
                return binding
            binding = replace(binding, warm=warm)
            held = self._held(binding)
            named = self._named_slots(held, wanted)
            candidate = replace(binding, slots={**binding.slots, **named})
            silent = [name for name in named if not self._follows(candidate, name)]
            missing = [name for name in wanted if name not in named or name in silent]
            others = self._following(candidate, held, missing) if missing else {}
            slots = {**{k: v for k, v in named.items() if k not in silent or (warm and k not in others)}, **others}
            binding = replace(binding, slots={**binding.slots, **slots})
        return replace(binding, warm=bool(binding.slots) and self._needs_warmth(binding))

    def _needs_warmth(self, binding: Binding) -> bool:
        """Whether parameters that are set before the first forward are lost in it."""
        cold = replace(binding, warm=False)
        try:
            return not all(self._follows(cold, name) for name in binding.slots)
        except Enough:
            return True

    def _held(self, binding: Binding) -> dict[Path, Any]:
        """The arrays of an instance that may hold a parameter: of its size, or of two."""
        try:
            run = self.trials.run(replace(binding, slots={}))
        except Enough:
            raise
        except Exception:
            return {}
        count = max(size(self.trials.given[name]) for name in self.trials.offered)
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
        first = self.trials.y(binding)
        second = self.trials.y(binding, **{name: moved_value(self.trials.given[name])})
        return first is not None and second is not None and not alike(first, second)

    def _following(self, binding: Binding, held: dict[Path, Any], wanted: list[str]) -> dict[str, Path]:
        """The places that y follows, as the parameters that they are by how it does."""
        found: dict[str, Path] = {}
        other = self.trials.other_x()
        for path, value in held.items():
            if path in binding.slots.values():
                continue
            trial = replace(binding, slots={**binding.slots, "probe": path})
            still = np.array(plain(value))
            ys = [self._with_probe(trial, still), self._with_probe(trial, moved_value(still))]
            if ys[0] is None or ys[1] is None or alike(*ys):  # type: ignore[arg-type]
                continue
            others = [self._with_probe(trial, v, x=other) for v in (still, moved_value(still))]
            if others[0] is None or others[1] is None:
                continue
            additive = alike(ys[1] - ys[0], others[1] - others[0])
            one = "beta" if additive else "gamma"
            if one in wanted and one not in found:
                found[one] = path
            if len(found) == len(wanted):
                break
        return found

    def _with_probe(self, binding: Binding, value: Any, **changed: Any) -> Array | None:
        try:
            run = self.trials.run(binding, **changed)
            run._place({"probe": value})
            y = plain(run.forward(run.given["x"]))
        except Enough:
            raise
        except Exception:
            return None
        return y.copy() if y is not None and y.shape == self.trials.x.shape else None

    def with_switch(self, binding: Binding) -> Binding:
        """The flag that tells training from evaluation: in training y does not follow a shift of x."""
        function = self.trials.forward_function(binding)
        named = roles_of(function, FORWARD, "x")
        flags = [
            ("argument", a.name, a.default)
            for a in arguments(function)
            if isinstance(a.default, bool) and a.name not in named
        ]
        if self.trials.style.thing is not None:
            held = attributes(self.trials.run(binding).object)
            flags += [("attribute", name, value) for name, value in held.items() if isinstance(value, bool)]
        if not flags or self._ignores_a_shift(binding) is None:
            return binding
        usual = self._ignores_a_shift(binding)
        for kind, name, value in flags:
            flipped = replace(binding, switch=(kind, name, not value))
            other = self._ignores_a_shift(flipped)
            if usual is False and other:
                return flipped
            known = kind == "attribute" and role(name, ("training", "evaluating"))
            if usual and other is False and not known:
                return replace(binding, switch=(kind, name, value))
        return binding

    def _ignores_a_shift(self, binding: Binding) -> bool | None:
        """Whether y is the same for x and for x shifted by a number; None where there is no y."""
        first = self.trials.y(binding)
        second = self.trials.y(binding, x=(self.trials.x + self.trials.x.dtype.type(3)))
        return None if first is None or second is None else alike(first, second)

    def with_state(self, binding: Binding) -> Binding:
        """Where running statistics are kept: what after a training step depends on what it was before.

        The mean is that which moves when x is shifted, the variance that which does not.
        """
        if self.trials.style.thing is None:
            return self._with_returned_state(binding)
        try:
            run = self.trials.run(binding)
            run.forward(run.given["x"])
            if len(running_in(run.object)) == 2 or run.family.name not in ("numpy", "lists"):
                return binding
            slots = {path for path, a in arrays_in(run.object).items() if size(a) == self.trials.count}
            once = {path: np.array(plain(at(run.object, path))) for path in slots}
            after = self._stepped(binding, {})
            shifted = self._stepped(binding, {}, self.trials.x + self.trials.x.dtype.type(3))
        except Enough:
            raise
        except Exception:
            return binding
        found: dict[str, Path] = {}
        for path in sorted(slots & set(after), key=str):
            if not alike(after[path], once[path]) and self._follows_itself(binding, path, after[path]):
                found.setdefault("running_var" if alike(shifted[path], after[path]) else "running_mean", path)
        return replace(binding, state=found) if len(found) == 2 else binding

    def _with_returned_state(self, binding: Binding) -> Binding:
        """Where a function answers new running statistics: what follows those that it was handed."""
        if not {"running_mean", "running_var", "statistics"} & set(binding.takes.values()):
            return binding
        try:
            first, run = self._answered(binding)
            found: dict[str, Path] = {}
            for name in ("running_mean", "running_var"):
                value = self.trials.family.array(moved_value(plain(run.values[name])))
                moved, _ = self._answered(binding, **{name: value})
                follow = [path for path in first if path in moved and not alike(first[path], moved[path])]
                found |= {name: follow[0]} if follow else {}
        except Enough:
            raise
        except Exception:
            return binding
        return replace(binding, state=found) if len(set(found.values())) == 2 else binding

    def _answered(self, binding: Binding, **changed: Any) -> tuple[dict[Path, Array], SpokenRun]:
        """The arrays of a parameter's size in what a function answers, beside y."""
        run = self.trials.run(binding, **changed)
        arrays = arrays_in(run._answer(run.given["x"])).items()
        own = {path: np.array(plain(a)) for path, a in arrays if size(a) == self.trials.count}
        return {path: a for path, a in own.items() if ("answer", path) != binding.y}, run

    def _follows_itself(self, binding: Binding, path: Path, after: Array) -> bool:
        """Whether what an instance holds after a step depends on what it was before, rather than be made anew."""
        try:
            moved = self._stepped(binding, {path: moved_value(after)})
        except Enough:
            raise
        except Exception:  # it cannot be set, so it is none that is kept
            return False
        return path in moved and not alike(moved[path], after)

    def _stepped(self, binding: Binding, kept: dict[Path, Any], x: Array | None = None) -> dict[Path, Array]:
        """What an instance holds after two training steps, where something was put into it between them."""
        run = self.trials.run(binding)
        run.forward(run.given["x"])
        for path, value in kept.items():
            put(run.object, path, value)
        run.forward(self.trials.family.array((self.trials.x if x is None else x).copy()))
        return {path: np.array(plain(a)) for path, a in arrays_in(run.object).items() if size(a) == self.trials.count}

    def left_over(self, binding: Binding) -> tuple[str, ...]:
        """Where a parameter may hide: arguments that default to nothing, arrays of its size that a function holds."""
        function = self.trials.forward_function(binding)
        named = {**roles_of(function, FORWARD, "x"), **binding.takes}
        spare = [a.name for a in arguments(function) if a.default is None and a.name not in named]
        plain_function = getattr(function, "__func__", function)
        code = getattr(plain_function, "__code__", None)
        held = closed_over(function)
        held |= {name: plain_function.__globals__.get(name) for name in (code.co_names if code else ())}
        arrays = [name for name, value in held.items() if family_of(value) and size(value) == self.trials.count > 1]
        return (*spare, *arrays)

    def unknown(self, binding: Binding) -> tuple[str, ...]:
        """The arrays that y follows besides those that the binding knows: nobody asks for their gradient.

        They are looked for where an instance, or the module of a function, keeps them after a first forward.
        """
        style = self.trials.style
        nothing = style.thing is None and not own_globals(style.forward)
        if nothing or self.trials.family.name not in ("numpy", "torch", "lists"):
            return ()
        known = {*binding.slots.values(), *binding.state.values()}
        found: list[str] = []
        try:
            _, usual, paths = self._again(binding)
            for path in [path for path in paths if path not in known][:_MOST_KEPT]:
                whose, changed, _ = self._again(binding, path)
                if changed is not None and not alike(changed, usual):
                    found.append(f"{whose}{written(path)}")
        except Enough:
            raise
        except Exception:  # it does not answer twice: nothing is known of it
            return ()
        return tuple(found)

    def _again(self, binding: Binding, path: Path | None = None) -> tuple[str, Array, list[Path]]:
        """y of a second forward, before which one array that is kept was changed; whose it is, and which there are."""
        run = self.trials.run(binding)
        run.forward(run.given["x"])
        whose = "self" if run.object is not None else ""
        kept = run.object if run.object is not None else run.sources(None)["module"]
        arrays = {p: a for p, a in arrays_in(kept).items() if size(a) <= _LARGEST_KEPT and not self._is_given(a)}
        if path is not None:
            old = at(kept, path)
            value = moved_value(plain(old))
            put(kept, path, value.tolist() if isinstance(old, list) else run.family.array(value))
        try:
            y = np.array(plain(run.forward(run.given["x"])))
        finally:
            if path is not None:
                put(kept, path, old)
        return whose, y, list(arrays)

    def _is_given(self, array: Any) -> bool:
        """Whether an array holds the numbers of a parameter, which was handed over."""
        own = np.ravel(plain(array))  # type: ignore[arg-type]
        given = [np.ravel(plain(self.trials.given[name])) for name in self.trials.offered]  # type: ignore[arg-type]
        return any(own.shape == one.shape and np.allclose(own, one) for one in given)


_MOST_KEPT, _LARGEST_KEPT = 12, 4096
"""How many arrays, and of how many numbers, are looked at beside those that are known."""
