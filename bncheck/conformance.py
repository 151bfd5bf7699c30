"""A test suite for an implementation or a framework of your own: inherit it, answer cases, and pytest does the rest.

    from bncheck import Conformance

    class TestMyBatchNorm(Conformance):
        layer = "batch_norm"

        def vjp(self, case): ...  # {"y": …, "dx": …, "dgamma": …, "dbeta": …}

What is claimed is tested: in every layout and dtype that is named, each result by its name. A mode that no method
answers is shown as skipped, with what to define. And the suite tests itself: it plants the bugs of the catalogue into
what was answered, and holds that each is noticed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

import numpy as np

import bncheck.report.prompt  # noqa: F401  # a failure prints the report
from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import Bug, correct
from bncheck.bugs.planting import touched
from bncheck.case import Array, Case, Enclosure, Gradients, Layout, Vjp
from bncheck.errors import InvalidInput
from bncheck.examination.examine import ASKED, examine
from bncheck.examination.subjects import Given, telling
from bncheck.formats import DTYPES
from bncheck.inputs.probes import probes
from bncheck.inputs.recipes import TAME, Recipe, sampled
from bncheck.inputs.sizes import FEW, shape_of
from bncheck.layers import LAYERS, Layer, find_layer
from bncheck.results import TargetReport
from bncheck.tolerances.bounds import computed_truth, tolerance
from bncheck.tolerances.verdicts import Verdict, compare

if TYPE_CHECKING:
    import pytest

MODES: Mapping[str, str] = MappingProxyType({"vjp": "", "evaluation": "_eval", "running": "_running", "jvp": "_jvp"})
"""The methods that answer cases, each with what its layer's name ends in."""


class Conformance:
    """The tests of one implementation, which are those of whatever class inherits this and is called Test….

    What it claims is said by attributes: the `layer`, a name or a definition of your own; `layouts` and `dtypes`, all
    layouts of the layer where none is named; `eps` and `settings` (`new_weight`, `ddof`) that it keeps to whatever the
    case says; and in `answers`, by method, the results that it has, where these are not all. Arrays of a case are
    copies that may be written to, but a test holds that they are not.

    Shapes
        Whatever is answered has the shape that the case has for it, see `Case.shape_of`.

    Raises
        InvalidInput: as pytest collects, an unknown layer, layout, dtype, method or result.

    >>> from bncheck.bugs.catalogue import BUGS
    >>> class TestMine(Conformance):
    ...     def vjp(self, case):
    ...         return BUGS["gamma-missing"].vjp(case)
    >>> TestMine().test_right("vjp", "NC:N:C", "float64", "dbeta")
    >>> TestMine().test_right("vjp", "NC:N:C", "float64", "dx")
    Traceback (most recent call last):
    AssertionError: TestMine.vjp: wrong
    ...
    """

    layer: ClassVar[Layer | str] = "batch_norm"
    layouts: ClassVar[Sequence[Layout | str]] = ()
    dtypes: ClassVar[Sequence[str]] = ("float64", "float32")
    eps: ClassVar[float | None] = None
    settings: ClassVar[Mapping[str, float]] = MappingProxyType({})
    answers: ClassVar[Mapping[str, Sequence[str]]] = MappingProxyType({})

    def vjp(self, case: Case) -> Gradients:
        """Y and the gradients of Σ dy·y in training: dx, and one for each of `case.parameters`."""
        raise NotImplementedError("Define vjp(self, case): it answers y, dx, dgamma and dbeta by name.")

    def evaluation(self, case: Case) -> Gradients:
        """The same in evaluation mode, with the running_mean and running_var of `case.state`."""
        raise NotImplementedError

    def running(self, case: Case) -> Gradients:
        """What `vjp` answers, and new_running_mean and new_running_var; the batch weighs `new_weight`."""
        raise NotImplementedError

    def jvp(self, case: Case) -> Gradients:
        """Y along the tangents of `case.parameters`, and its gradients, which are the second order."""
        raise NotImplementedError

    def test_right(self, mode: str, layout: str, dtype: str, name: str) -> None:
        """One result is the layer's, within what rounding explains, on telling cases and under many conditions."""
        __tracebackhide__ = True
        report, raised = self._report(mode, layout, dtype)
        if report.verdict is not Verdict.CRASHED and name not in report.gradients:
            has = ", ".join(report.gradients) or "nothing"
            raise AssertionError(f"{report.target} answers {has}, expected {name} too. Or leave it out of `answers`.")
        if report.verdict is Verdict.CRASHED or report.gradients[name].verdict is not Verdict.CORRECT:
            raise AssertionError(str(report)) from raised

    def test_dtype_and_shape(self, mode: str, layout: str, dtype: str) -> None:
        """What is answered has the dtype of the case, and the shape of what it belongs to."""
        __tracebackhide__ = True
        _hold_kind(self._subject(mode, layout), self._cases(mode, layout, dtype)[0])

    def test_input_unchanged(self, mode: str, layout: str, dtype: str) -> None:
        """The arrays of a case hold afterwards what they held before."""
        __tracebackhide__ = True
        _hold_unchanged(self._subject(mode, layout), self._cases(mode, layout, dtype)[0])

    def test_repeatable(self, mode: str, layout: str, dtype: str) -> None:
        """The same case is answered by the same bytes, whatever was asked in between."""
        __tracebackhide__ = True
        _hold_repeatable(self._subject(mode, layout), self._cases(mode, layout, dtype))

    def test_drawn_cases(self, mode: str, request: pytest.FixtureRequest) -> None:
        """Cases that are drawn are answered right; how many, and from which seed, are options of bncheck's plugin."""
        __tracebackhide__ = True
        count, seed = (request.config.getoption(f"bncheck_{n}", usual) for n, usual in (("cases", 25), ("seed", 0)))
        layer = replace(self._layer(mode), layouts=self._layouts())
        drawn = sampled(layer, count, seed=seed, dtypes=tuple(self._dtypes()), regimes=TAME)
        subject = self._subject(mode, *layer.layouts)
        report = examine(subject, self._layer(mode), cases=[subject.adapted(case) for case in drawn])
        if report.verdict.failed:
            raise AssertionError(str(report)) from subject.vjp.raised

    def test_planted_bugs_are_caught(self, mode: str) -> None:
        """Each bug of the catalogue, planted into what is answered, is noticed, so that none of this is vacuous."""
        __tracebackhide__ = True
        layout, dtype = self._layouts()[0], max(self._dtypes(), key=lambda name: DTYPES[name].itemsize)
        planted = list(self._bugs(mode, layout, dtype))
        known = [_Limits.of(self._layer(mode), case) for case in self._cases(mode, layout, dtype)]
        missed = [bug.id for bug in planted if not self._catches(self._subject(mode, layout, bug=bug), mode, known)]
        if missed or not planted:
            raise AssertionError(f"planted into {mode} and not noticed: {', '.join(missed) or 'there is no bug'}")

    # What follows is not for the one who inherits.

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Lists each test for whatever is claimed; what is not is skipped, in words."""
        import pytest

        if getattr(Conformance, metafunc.function.__name__, None) is not metafunc.function:
            return
        names = [name for name in ("mode", "layout", "dtype", "name") if name in metafunc.fixturenames]
        rows = []
        for mode in self._modes():
            if self._claims(mode):
                layouts = [str(layout) for layout in self._layouts()]
                every = {"mode": [mode], "layout": layouts, "dtype": self._dtypes(), "name": self._results(mode)}
                rows += [pytest.param(*row) for row in product(*(every[name] for name in names))]
            elif "name" in names:
                words = (getattr(Conformance, mode).__doc__ or "").rstrip(".")
                skip = pytest.mark.skip(reason=f"define {mode}(self, case): {words[0].lower()}{words[1:]}")
                rows.append(pytest.param(mode, "", "", "", marks=skip, id=mode))
        metafunc.parametrize(names, rows)

    def _modes(self) -> list[str]:
        """The modes that the layer has."""
        for name in self.answers:
            if name not in MODES:
                raise InvalidInput.unknown("answers", name, MODES)
        return [mode for mode in MODES if self._layer_of(mode)]

    def _claims(self, mode: str) -> bool:
        return mode == "vjp" or getattr(type(self), mode) is not getattr(Conformance, mode)

    def _layer_of(self, mode: str) -> Layer | None:
        layer, ending = find_layer(self.layer) if isinstance(self.layer, str) else self.layer, MODES[mode]
        if not ending:
            return layer
        if LAYERS.get(layer.name) == layer:
            return LAYERS.get(f"{layer.name}{ending}")
        return layer.forward_mode() if mode == "jvp" and layer.is_plain else None

    def _layer(self, mode: str) -> Layer:
        layer = self._layer_of(mode)
        if layer is None:
            raise InvalidInput("mode", mode, f"one of {', '.join(self._modes())}")
        return layer

    def _layouts(self) -> tuple[Layout, ...]:
        named = (Layout.parse(layout) if isinstance(layout, str) else layout for layout in self.layouts)
        return tuple(named) or self._layer("vjp").layouts

    def _dtypes(self) -> list[str]:
        for name in self.dtypes:
            if name not in DTYPES:
                raise InvalidInput.unknown("dtypes", name, DTYPES)
        if not self.dtypes:
            raise InvalidInput("dtypes", "()", f"at least one of {', '.join(DTYPES)}")
        return list(self.dtypes)

    def _results(self, mode: str) -> list[str]:
        layer = self._layer(mode)
        known = list(tolerance(layer, probes(layer, self._layouts()[0])[0]))
        for name in self.answers.get(mode, ()):
            if name not in known:
                raise InvalidInput.unknown(f"answers[{mode!r}]", name, known)
        return list(self.answers.get(mode) or known)

    def _subject(self, mode: str, *layouts: Layout | str, bug: Bug | None = None) -> _Subject:
        layer, named = self._layer(mode), [Layout.parse(one) if isinstance(one, str) else one for one in layouts]
        asked = _Asked(getattr(self, mode), f"{type(self).__name__}.{mode}", layer, bug)
        return _Subject(asked, tuple(named), eps=self.eps, settings=self.settings)

    def _cases(self, mode: str, layout: Layout | str, dtype: str) -> tuple[Case, ...]:
        """Two cases near zero, of different sizes, and one far from it: those on which no two bugs look alike."""
        subject = self._subject(mode, layout)
        return telling(subject, self._layer(mode), subject.layouts[0], dtype, seed=0)

    def _report(self, mode: str, layout: Layout | str, dtype: str) -> _Known:
        """The examination in one layout and dtype, made once for the tests of each result, and what was raised."""
        kept, key = _KEPT.setdefault(type(self), {}), (mode, str(layout), dtype)
        if key not in kept:
            subject = self._subject(mode, layout)
            kept[key] = _examined(subject, self._layer(mode), dtype), subject.vjp.raised
        return kept[key]

    def _bugs(self, mode: str, layout: Layout, dtype: str) -> Iterator[Bug]:
        """What is planted: the bugs that show in what is claimed, and those that are in what happens beside it."""
        layer, claimed = self._layer(mode), set(self._results(mode))
        for name, shows in touched(layer, self._cases(mode, layout, dtype)[0]).items():
            if shows & claimed and (BUGS[name].effect != "element" or DTYPES[dtype].itemsize > 2):
                yield BUGS[name]
        beside = ("input", "dtype", *(("state",) if layer.state else ()))
        yield from (bug for bug in BUGS.values() if bug.effect in beside)

    def _catches(self, subject: _Subject, mode: str, known: Sequence[_Limits]) -> bool:
        """Whether something is amiss, by the judges of the other tests, on the cases that tell most."""
        try:
            _hold_kind(subject, known[0].case)
            _hold_unchanged(subject, known[0].case)
        except AssertionError:
            return True
        return any(limits.outside(subject.vjp(limits.case)) & {*self._results(mode)} for limits in known)


_Known = tuple[TargetReport, Exception | None]
_KEPT: WeakKeyDictionary[type[Conformance], dict[tuple[str, str, str], _Known]] = WeakKeyDictionary()


class _Asked:
    """A method as it is asked: on copies that may be written to, and with a bug planted into what it answers."""

    def __init__(self, method: Vjp, name: str, layer: Layer, bug: Bug | None = None) -> None:
        self.method, self.__qualname__, self.layer, self.bug = method, name, layer, bug
        self.raised: Exception | None = None

    def __call__(self, case: Case) -> Gradients:
        if case.settings.get("ddof", 0) >= case.count:
            raise InvalidInput("ddof", case.settings["ddof"], f"less than the {case.count} values of a mean")
        return self.on(_writable(case))

    def on(self, case: Case) -> Gradients:
        """What it answers on this very case, whose arrays it may write to."""
        try:
            answer = self.method(case)
        except Exception as error:
            self.raised = error
            raise
        return answer if self.bug is None else _planted(answer, self.bug, case, self.layer)


@dataclass(frozen=True)
class _Subject(Given):
    """Whom the tests ask: it may keep to settings of its own as well as to an eps."""

    vjp: _Asked
    settings: Mapping[str, float] = field(default_factory=dict)

    def adapted(self, case: Case) -> Case:
        """The case, with the eps and the settings that it keeps to."""
        own = {name: value for name, value in self.settings.items() if name in case.settings}
        return replace(super().adapted(case), settings={**case.settings, **own})


def _writable(case: Case) -> Case:
    copy = replace(case)
    for array in _arrays(copy).values():
        array.setflags(write=True)
    return copy


def _arrays(case: Case) -> dict[str, Array]:
    return {"x": case.x, "dy": case.dy, **case.parameters, **case.state, **case.upstream}


def _planted(answer: Gradients, bug: Bug, case: Case, layer: Layer) -> Gradients:
    """An answer moved by as much as the bug moves the right one; whatever the bug does beside that happens too."""
    right, own = correct(case, layer), {name: np.asarray(value) for name, value in answer.items()}
    wrong = bug.vjp(case, layer)
    with np.errstate(all="ignore"):
        return {
            name: value + (wrong[name] - right[name]) if value.shape == wrong[name].shape else wrong[name]
            for name, value in own.items()
        }


@dataclass(frozen=True)
class _Limits:
    """The truth on a case, and how far rounding may be from it."""

    case: Case
    truth: Mapping[str, Enclosure]
    allowed: Mapping[str, Array]

    @classmethod
    def of(cls, layer: Layer, case: Case) -> _Limits:
        """Those of one case."""
        allowed = {name: radius.radius for name, radius in tolerance(layer, case).items()}
        return cls(case, computed_truth(layer, case), allowed)

    def outside(self, answer: Gradients) -> set[str]:
        """What of an answer is further off."""
        return {name for name, one in compare(answer, self.truth, self.allowed).items() if one.verdict.failed}


def _examined(subject: _Subject, layer: Layer, dtype: str) -> TargetReport:
    """What an examination says in one dtype; of bfloat16, which examinations do not ask for, on an ordinary case."""
    if dtype in ASKED:
        return examine(replace(subject, dtypes=(dtype,)), layer)
    recipes = [Recipe(layout, shape_of(layout, FEW), dtype) for layout in subject.layouts]
    return examine(subject, layer, cases=[subject.adapted(recipe.build(layer)) for recipe in recipes])


def _hold_kind(subject: _Subject, case: Case) -> None:
    __tracebackhide__ = True
    for name, value in subject.vjp(case).items():
        kind, expected = (np.asarray(value).dtype, np.shape(value)), (case.dtype, case.shape_of(name))
        if kind != expected:
            shown, wanted = (f"{dtype} {shape}" for dtype, shape in (kind, expected))
            raise AssertionError(f"{subject.name}: {name} is {shown}, expected {wanted}, as the case has it.")


def _hold_unchanged(subject: _Subject, case: Case) -> None:
    __tracebackhide__ = True
    given = _writable(case)
    before = {name: array.tobytes() for name, array in _arrays(given).items()}
    subject.vjp.on(given)
    changed = [name for name, array in _arrays(given).items() if array.tobytes() != before[name]]
    if changed:
        raise AssertionError(
            f"{subject.name} wrote to {', '.join(changed)}, expected to leave its input alone. Copy it."
        )


def _hold_repeatable(subject: _Subject, cases: Sequence[Case]) -> None:
    __tracebackhide__ = True
    first, *_, again = [subject.vjp(case) for case in (*cases, cases[0])]
    other = [name for name in first if np.asarray(first[name]).tobytes() != np.asarray(again[name]).tobytes()]
    if other:
        raise AssertionError(f"{subject.name}: {', '.join(other)} of the same case was another the second time.")
