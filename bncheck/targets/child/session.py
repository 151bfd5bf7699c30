"""One target at work, and what it is asked: in the process of a sandbox, or in the one that asks.

Whatever the code raises becomes an answer, see `failure`; what it changed for everybody is put back.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.util
import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bncheck.case import Array
from bncheck.targets import wire
from bncheck.targets.child.binding import Binding
from bncheck.targets.child.failures import NoAnswer, failure, is_deliberate
from bncheck.targets.child.families import FAMILIES, NumPy, family_of, plain
from bncheck.targets.child.recognition import Candidate, Contents, contents, knows_arrays, tensors_in
from bncheck.targets.child.searching.search import searched
from bncheck.targets.child.slots import at
from bncheck.targets.child.spoken import Spoken, SpokenRun, seed_everything
from bncheck.targets.child.stubs import unwritten
from bncheck.targets.child.styles import NoEvaluation, Run

Answer = tuple[dict[str, Any], dict[str, Array]]


class Surroundings:
    """The state that every caller of NumPy shares; a target has no business changing it."""

    _modules = (np, np.linalg, np.random, math, builtins)

    def __init__(self) -> None:
        self.names = [dict(vars(module)) for module in self._modules]
        self.errors = np.geterr()
        self.seed()

    def seed(self) -> None:
        """Has everybody who draws from a shared generator draw the same again."""
        seed_everything()
        self.random = np.random.get_state(legacy=False)

    def restored(self) -> list[str]:
        """Puts everything back, and says what had been changed."""
        changed = []
        for module, names in zip(self._modules, self.names, strict=True):
            for name, thing in names.items():
                if vars(module).get(name) is not thing and not name.startswith("_"):
                    changed.append(f"{module.__name__}.{name}")
                    setattr(module, name, thing)
        if np.geterr() != self.errors:
            changed.append("numpy.seterr")
            np.seterr(**self.errors)
        if not np.array_equal(np.random.get_state(legacy=False)["state"]["key"], self.random["state"]["key"]):
            changed.append("numpy.random.seed")
            np.random.set_state(self.random)
        return changed


class Session:
    """One target, what was found in it, and the files that it was written in."""

    def __init__(self) -> None:
        self.files: tuple[str, ...] = ()
        self.found: list[Candidate] = []
        self.families: dict[str, NumPy] = dict(FAMILIES)
        self.surroundings = Surroundings()

    def answer(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Answer:
        """What is answered to a request; what the code raises passes through."""
        operations = {
            "start": self.start,
            "load": self.load,
            "call": self.call,
            "partners": self.partners,
            "train": self.train,
            "steps": self.steps,
            "twice": self.twice,
            "without": self.without,
        }
        return operations[header["op"]](header, arrays)

    def failure(self, error: BaseException) -> dict[str, Any]:
        """What the code raised, as an answer; what it had changed for everybody until then is put back."""
        self.surroundings.restored()
        return {**failure(error, *self.files), "deliberate": is_deliberate(error)}

    def start(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Answer:
        """Imports the frameworks that the target needs, before its own time is counted."""
        for name in header["frameworks"]:
            if importlib.util.find_spec(name) is not None:
                with contextlib.suppress(Exception):  # then the target's own import says what is amiss
                    importlib.import_module(name)
        self.surroundings = Surroundings()
        return {}, {}

    def load(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Answer:
        """Runs the file, and describes what can be called in it."""
        self.files = (header["address"],)
        return self.hold(contents(header["address"], header["wanted"])), {}

    def hold(self, held: Contents) -> dict[str, Any]:
        """Takes what was found, and describes it."""
        self.found, described, loading = [], [], [*held.loading]
        kinds = [kind for one in held.candidates if isinstance(kind := getattr(one.style, "thing", None), type)]
        for one in held.candidates:
            own = getattr(one.style, "thing", None)
            try:
                if own in kinds and unwritten(one.style) and any(k is not own and issubclass(k, own) for k in kinds):
                    continue  # it leaves that to those which derive from it
                described.append(_described(one))
                self.found.append(one)
            except Exception as error:
                loading.append(f"{one.name} {failure(error, *self.files)['words']}")
        changed = self.surroundings.restored()
        self.surroundings = Surroundings()
        self.families = {name: family for name, family in FAMILIES.items() if name in sys.modules}
        self.families |= tensors_in(self.found)
        if not knows_arrays(self.found):
            self.families["lists"] = FAMILIES["lists"]
        return {
            "candidates": described,
            "remarks": held.in_vain,
            "unpaired": held.unpaired,
            "loading": loading,
            "names": held.names,
            "changed": changed,
            "families": list(self.families),
            "compiles": "numba" in sys.modules,
        }

    def call(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Answer:
        """One forward and, where dy was sent, one backward, on a fresh instance.

        ``order`` says which arrays are handed over in another order of memory, and in which.
        """
        family, x = self.families[header["family"]], arrays["x"]
        with family.precision(x.dtype):
            run, handed = self._begin(header, arrays)
            y = run.forward(run.given["x"])
            returned, results = family_of(y), {"y": _checked("y", y)}
            if "between" in arrays and (
                not isinstance(run, SpokenRun) or run.hands_over
            ):  # another forward must not disturb this one's backward
                saved, given = run.saved, dict(run.given)
                run.forward(family.array(arrays["between"].copy()))
                run.saved, run.given = saved, given
            if "dy" in arrays:
                handed["dy"] = _ordered(arrays["dy"], header.get("order", {}).get("dy", ""))
                gradients = run.backward(family.array(handed["dy"]))
                kept = {name: value for name, value in gradients.items() if value is not None or name == "dx"}
                results |= {name: _checked(name, value) for name, value in kept.items()}
        mutated = [name for name, value in handed.items() if value.tobytes() != arrays[name].tobytes()]
        notes: dict[str, Any] = {"used": sorted(run.used), "mutated": mutated, "returned": returned}
        if isinstance(run, SpokenRun):
            places = run.binding.described(tuple(results))
            notes |= {"binding": run.binding.data(), "whole": run.is_whole, "places": places}
            notes |= {"left_over": run.binding.left_over, "unknown": run.binding.unknown}
            notes |= {"neutral": sorted(run.neutral)}
        return {**notes, "changed": self.surroundings.restored()}, results

    def partners(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Answer:
        """The other functions of the file that answer as the backward of a forward function, all of its gradients."""
        style = self.found[header["candidate"]].style
        fitting = []
        for name in style.partners if isinstance(style, Spoken) else ():
            with contextlib.suppress(Exception):
                run, _ = self._begin({**header, "partner": name, "binding": None}, arrays)
                if isinstance(run, SpokenRun) and run.is_whole and (run.parameters or run.hands_over):
                    fitting.append(name)
        return {"partners": fitting, "changed": self.surroundings.restored()}, {}

    def train(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Answer:
        """Several forwards on one instance: y and the running statistics after each, then y in evaluation mode.

        Where dy was sent, the gradients in evaluation mode follow. What is raised in evaluation is an answer, too.
        """
        family, results, raised = self.families[header["family"]], dict[str, Array](), None
        with family.precision(arrays["x"].dtype):
            run, _ = self._begin(header, arrays)
            for name in header["sequence"]:
                results[f"{name} y"] = _checked("y", run.forward(family.array(arrays[name].copy())))
                results |= {f"{name} {k}": v for k, v in _running(run).items()}
            try:
                results["evaluated y"] = _checked("y", run.evaluate(family.array(arrays["evaluated"].copy())))
            except NoEvaluation:
                pass
            except Exception as error:
                raised = failure(error, *self.files)
            results |= {f"evaluated {k}": v for k, v in _running(run).items()}
            if "evaluated y" in results and "dy" in arrays:
                with contextlib.suppress(Exception):  # many have no backward in evaluation mode
                    gradients = run.backward(family.array(arrays["dy"].copy()))
                    results |= {f"evaluated {k}": _checked(k, v) for k, v in gradients.items() if v is not None}
        notes = {"momentum": run.momentum, "used": sorted(run.used), "evaluation": raised}
        notes["mode_is_kept"] = not isinstance(run, SpokenRun) or run.keeps_its_mode
        return {**notes, "changed": self.surroundings.restored()}, results

    def steps(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Answer:
        """Forwards, backwards and evaluations on one instance, one after the other, up to the first that raises.

        Each answer, and the running statistics after it, is named by the number of its step. What was raised, and in
        which step, is an answer, too.
        """
        family, results, stopped = self.families[header["family"]], dict[str, Array](), None
        with family.precision(arrays["x"].dtype):
            run, _ = self._begin(header, arrays)
            for k, (kind, name) in enumerate(header["steps"]):
                try:
                    if kind == "forward" and isinstance(run, SpokenRun):
                        run.back_to_training()
                        run.begin_anew(header["clears"])
                    answer = _stepped(run, kind, family.array(arrays[name].copy()))
                except Exception as error:
                    none = isinstance(error, NoEvaluation)
                    told = failure(error, *self.files)
                    stopped = {**told, "step": k, "deliberate": none or is_deliberate(error)}
                    break
                results |= {f"{k} {name}": value for name, value in answer.items()}
        return {"stopped": stopped, "changed": self.surroundings.restored()}, results

    def twice(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Answer:
        """The gradients of its gradients along directions, ``along NAME``; nothing where it has none."""
        family = self.families[header["family"]]
        with family.precision(arrays["x"].dtype):
            run, _ = self._begin(header, arrays)
            along = {name.removeprefix("along "): family.array(a) for name, a in arrays.items() if "along " in name}
            try:
                assert isinstance(run, SpokenRun)
                found, written = run.twice(run.given["x"], family.array(arrays["dy"].copy()), along)
            except Exception as error:  # most have none, and say so
                return {"offered": "", "why": failure(error)["words"], "changed": self.surroundings.restored()}, {}
            results = {name: _checked(name, value) for name, value in found.items()}
        offered = "by its author" if written else "by the framework"
        return {"offered": offered, "changed": self.surroundings.restored()}, results

    def without(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Answer:
        """The ways to have a target without some of its parameters, each with the binding and the parameters left."""
        run, _ = self._begin(header, arrays)
        found: list[Any] = []
        if isinstance(run, SpokenRun):
            for words, binding in run.without_parameters():
                with contextlib.suppress(Exception):  # it is a switch of something else
                    made = run.style.run(run.family, dict(run.given), replace(binding, slots={}))
                    left = [name for name in run.parameters if _is_left(made, binding, name)]
                    if len(left) < len(run.parameters):
                        found.append((words, left, binding.only(left).data()))
        return {"without": found, "changed": self.surroundings.restored()}, {}

    def _begin(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> tuple[Run, dict[str, Array]]:
        """A fresh instance, and the arrays that were handed to it."""
        order = header.get("order", {})
        sent = (name for name in ("x", "gamma", "beta") if name in arrays)
        handed = {name: _ordered(arrays[name], order.get(name, "")) for name in sent}
        settings = {name: header[name] for name in ("eps", "groups", "features", "layout", "momentum")}
        given = {**{k: v for k, v in settings.items() if v is not None}, **handed}
        given["insisted"] = header.get("insisted", ())
        style = self.found[header["candidate"]].style
        if header.get("partner") and isinstance(style, Spoken):
            style = style.with_partner(header["partner"])
        given |= {name: header[name] for name in ("most",) if name in header}
        given["binding"] = header.get("binding")
        if given["binding"] is None and "dy" in arrays:
            given["dy"] = arrays["dy"].copy()
        self.surroundings.seed()
        family = self.families[header["family"]]
        if not isinstance(style, Spoken):
            return style.begin(family, given), handed
        known = given.pop("binding")
        binding = searched(style, family, given) if known is None else Binding.of(known)
        return style.run(family, given, binding), handed


def _described(one: Candidate) -> dict[str, Any]:
    """What is told of a candidate."""
    style = one.style
    return {
        "name": one.name,
        "words": style.words,
        "hint": one.hint,
        "sizes": style.sizes(),
        "family": style.family,
        "dtypes": style.dtypes,
        "as_in_case": style.as_in_case,
        "has_backward": style.has_backward,
        "may_have_backward": style.may_have_backward,
        "pair": isinstance(style, Spoken) and style.is_pair,
        "sure": one.sure,
        "helps": one.helps,
        "clears": style.clears() if isinstance(style, Spoken) else [],
        "holds": getattr(style, "thing", None) is not None,
        "unwritten": unwritten(style),
        "alone": isinstance(style, Spoken) and style.thing is None and bool(style.partners),
        "layout": str(getattr(getattr(style, "module", None), "LAYOUT", "")),
    }


def _is_left(made: SpokenRun, binding: Binding, name: str) -> bool:
    """Whether an instance that was made otherwise, or a call, still has a parameter."""
    if name not in binding.slots:
        return name in {*binding.takes.values(), *binding.keys.values(), *(binding.build or {}).values()}
    try:
        return plain(at(made.object, binding.slots[name])) is not None
    except (LookupError, AttributeError):
        return False


def _stepped(run: Run, kind: str, array: Any) -> dict[str, Array]:
    """What one step of a sequence answers, and the running statistics after it."""
    if kind == "backward":
        gradients = {name: value for name, value in run.backward(array).items() if value is not None}
        return {name: _checked(name, value) for name, value in gradients.items()}
    y = run.evaluate(array) if kind == "evaluate" else run.forward(array)
    return {"y": _checked("y", y), **_running(run)}


def _ordered(array: Array, order: str) -> Array:
    """A copy whose numbers lie in memory in another order, one of `bncheck.targets.calls.ORDERS`."""
    if order == "Fortran":
        return np.array(array, order="F")
    if order == "reversed":
        return np.flip(np.flip(array).copy())
    if order == "strided":
        wide = np.zeros([2 * n for n in array.shape], array.dtype)
        view: Array = wide[tuple(slice(None, None, 2) for _ in array.shape)]
        view[...] = array
        return view
    copied = array.copy()
    copied.setflags(write=order != "fixed")
    return copied


def _running(run: Run) -> dict[str, Array]:
    """The running statistics as they are now, those that are arrays."""
    return {name: _checked(name, value) for name, value in run.running().items() if plain(value) is not None}


def _checked(name: str, value: Any) -> Array:
    """An answer as a plain array that can cross, and that later calls cannot change."""
    array = plain(value)
    if array is None:
        raise NoAnswer(f"returned {name} as {type(value).__name__}, expected an array")
    if not wire.transportable(array):
        kind = f"{array.dtype.name} of shape {array.shape}" if array.dtype.kind != "O" else "an array of objects"
        raise NoAnswer(f"returned {name} as {kind}, expected an array of floats of at most 256 MiB")
    return array.copy()
