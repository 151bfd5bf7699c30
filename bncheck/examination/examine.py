"""The examination of somebody's implementation: a few well-chosen cases, two questions, one report.

A target is asked in every layout and dtype that it takes: on cases on which no two bugs look alike, on one of more
samples, on one far from zero. Its own conventions are observations; what is left is right or wrong.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from types import MappingProxyType

import numpy as np

from bncheck.bugs.diagnose import UNKNOWN, Diagnosis, diagnose, named_effect
from bncheck.case import Case
from bncheck.errors import UNFINISHED, UNPAIRED, BncheckError, TargetFailed
from bncheck.examination.conditions import Effort
from bncheck.examination.one_case import check
from bncheck.examination.probing import Found, under_conditions
from bncheck.examination.running_statistics import EVALUATED, modes
from bncheck.examination.sequences import in_sequence
from bncheck.examination.subjects import Subject, fitting, telling
from bncheck.examination.variants import variants
from bncheck.inputs.recipes import Recipe
from bncheck.inputs.sizes import FEW, MANY
from bncheck.layers import LAYERS, Layer
from bncheck.results import Check, Finding, TargetReport, concluded
from bncheck.targets.calls import Target
from bncheck.targets.observations import NOT_FINITE
from bncheck.tolerances.verdicts import Verdict

ASKED = ("float64", "float32", "float16")
"""The dtypes in which a target is asked where it takes them."""

_UNASKED = MappingProxyType({UNFINISHED: Verdict.UNFINISHED, UNPAIRED: Verdict.INCOMPLETE})
"""The verdicts on what cannot be called, by reason, where that is not because it fails."""

CONVENTIONS: Mapping[tuple[Layer, frozenset[str]], str] = MappingProxyType(
    {
        (LAYERS["layer_norm"], frozenset({"eps-outside-sqrt", "ddof-forward"})): "The Annotated Transformer",
        (LAYERS["rms_norm"], frozenset({"eps-outside-sqrt"})): "the code that its authors published",
    }
)
"""Whose layer differs from the definition in just this, as a diagnosis calls it: no error where it is consistent."""

_DIFFERENCES = 1 << 22
"""Up to how many elements, over all evaluations of a forward, a case is held against finite differences too."""


def examine(
    subject: Subject,
    layer: Layer,
    *,
    dtypes: Sequence[str] = (),
    seed: int = 0,
    cases: Sequence[Case] = (),
    effort: Effort = Effort(),  # noqa: B008  # frozen
) -> TargetReport:
    """Asks one target, and says what is right and what is wrong with it.

    `dtypes` restricts those in which it is asked; `cases` are asked instead of the usual ones. What is right on those
    is asked under further conditions, as many as the `effort` says.

    >>> from bncheck.bugs.catalogue import BUGS
    >>> from bncheck.examination.subjects import Given
    >>> layer = LAYERS["batch_norm"]
    >>> report = examine(Given(BUGS["mean-path-missing"].vjp, layer.layouts[:1]), layer)
    >>> str(report.verdict), [bug.id for bug in report.diagnosis], str(report.gradients["dbeta"].verdict)
    ('wrong', ['mean-path-missing'], 'correct')
    """
    report = TargetReport(
        subject.name,
        layer.name,
        subject.recognised_as,
        Verdict.CRASHED,
        observations=dict(subject.observations),
    )
    if isinstance(subject, Target) and subject.failure:
        verdict = _UNASKED.get(subject.failure.reason, Verdict.CRASHED)
        return replace(report, verdict=verdict, detail=str(subject.failure))
    if not subject.observations.get("repeatable", True):  # no number of it would be the same next time
        return replace(report, verdict=Verdict.WRONG, observations={"repeatable": False}, detail=_UNREPEATABLE)
    spoken = [name for name in ASKED if name in subject.dtypes and name in (dtypes or ASKED)]
    if not spoken:
        takes = f"It takes {', '.join(subject.dtypes) or 'no dtype that bncheck knows'}."
        return replace(report, verdict=Verdict.INCONCLUSIVE, detail=takes)
    questions = [(case, True) for case in cases] or _cases(subject, layer, spoken, seed)
    checks, crash = _asked(subject, layer, questions)
    wrong, unasked = "", dict[str, str]()
    bugs = list(_habits(subject, layer, spoken))
    if not crash:
        bugs += _diagnosed(subject, layer, seed, checks)
        if isinstance(subject, Target) and not cases:
            others = modes(subject, spoken, seed)
            checks, bugs = [*checks, *others.checks], [*bugs, *_new(others.bugs, bugs)]
            crash, wrong, unasked = others.crash, others.wrong, dict(others.not_asked)
            report = replace(report, observations={**report.observations, **others.habits})
    conditional = Found()
    if not (crash or cases or any(check.verdict.failed for _, check in checks)):
        conditional = _further(subject, layer, spoken, seed, effort)
        bugs, crash, wrong = [*bugs, *conditional.bugs], conditional.crash, wrong or conditional.wrong
    gradients = _together([*checks, *conditional.checks])
    unasked |= conditional.not_asked
    report = replace(report, observations={**report.observations, **conditional.habits})
    report = replace(report, gradients=gradients, diagnosis=_distinct(bugs), witness=_witness(checks, gradients))
    source = CONVENTIONS.get((layer, frozenset(bug.id for bug in bugs)))
    if source and report.consistent is Verdict.CORRECT and all(bug.residual <= 1 for bug in bugs):
        gradients = {name: replace(finding, verdict=Verdict.CORRECT) for name, finding in gradients.items()}
        observations = {**report.observations, "as_in": source}
        report = replace(report, gradients=gradients, observations=observations, diagnosis=())
    if crash:
        return replace(report, detail=crash)
    open_questions = {**not_asked(subject, layer, gradients), **unasked}
    asked = _asked_for(subject, checks) | ({"conditions": conditional.asked} if conditional.asked else {})
    report = replace(report, asked=asked, not_asked=open_questions)
    entangled = not subject.observations.get("interleaved", True)
    detail = _ENTANGLED if entangled else wrong or _BY_DEFAULT.get(subject.observations.get("default_eps"), "")
    verdict = concluded(gradients, _unseen(checks))
    if not verdict.failed and gradients and (report.diagnosis or detail):
        verdict = Verdict.WRONG
    if verdict is Verdict.CORRECT and report.not_asked:
        verdict = Verdict.INCOMPLETE
    return replace(report, verdict=verdict, detail=detail)


def _further(subject: Subject, layer: Layer, dtypes: Sequence[str], seed: int, effort: Effort) -> Found:
    """What is right on the usual cases asked under every condition, and what is right there several times over."""
    deadline = time.monotonic() + effort.seconds
    found = under_conditions(subject, layer, dtypes, seed, effort)
    if not isinstance(subject, Target) or found.failed:
        return found
    found = found.and_also(in_sequence(subject, dtypes[0], seed, deadline))
    return found if found.failed else found.and_also(variants(subject, dtypes[0], seed))


def _asked_for(subject: Subject, checks: Sequence[Outcome]) -> dict[str, tuple[str, ...]]:
    """The questions that were put: in which layouts, dtypes and modes, and for which arrays, with where they are."""
    names = list(dict.fromkeys(name for _, check in checks for name in check.gradients))
    modes = {EVALUATED.strip(): any(name.endswith(EVALUATED) for name in names)}
    modes |= {"running statistics": any(name.startswith("new_") for name in names)}
    places = subject.places if isinstance(subject, Target) else {}
    own = [name for name in names if " " not in name and not name.startswith("new_")]
    return {
        "layouts": tuple(dict.fromkeys(str(case.layout) for case, _ in checks)),
        "dtypes": tuple(dict.fromkeys(str(case.dtype) for case, _ in checks)),
        "modes": ("training", *(mode.removeprefix("in ") for mode, asked in modes.items() if asked)),
        "gradients": tuple(own),
        "places": tuple(f"{name}: {where}" for name, where in places.items()),
    }


_ADAPT = "Or write an adapter: bncheck check --adapter prints one."


def not_asked(subject: Subject, layer: Layer, answered: Mapping[str, Finding]) -> dict[str, str]:
    """What the layer has and could not be asked of a target, each with why and what to do."""
    told: dict[str, str] = {}
    if isinstance(subject, Target) and not subject.may_have_backward:
        return told
    has = subject.parameters if isinstance(subject, Target) else layer.parameters
    if "dx" not in answered:
        return {
            "gradients": f"no backward was found that goes with this forward: name them forward and backward. {_ADAPT}"
        }
    for name in has:
        if f"d{name}" not in answered:
            told[f"d{name}"] = f"no gradient of {name} was found in what the backward returns or leaves. {_ADAPT}"
    if isinstance(subject, Target):
        hidden = ", ".join(subject.left_over)
        for name in layer.parameters:
            if name not in has and hidden:
                told[name] = f"no {name} was found, but {hidden} was not understood: d{name} was not asked. {_ADAPT}"
        for name in subject.unknown:
            told[name] = f"y follows it, and {layer.name} has no such thing: its gradient was not asked. {_ADAPT}"
        for name in subject.neutral:
            told[name] = (
                f"{layer.name} has no {name}: it was held where it does nothing, d{name} was not asked. {_ADAPT}"
            )
    return told


def _new(others: Iterable[Diagnosis], bugs: Sequence[Diagnosis]) -> Iterator[Diagnosis]:
    """The bugs of the other modes but for what those of training explain: a y that is wrong there, or what follows."""
    wrong = {bug.gradient for bug in bugs}
    for bug in others:
        again = bug.gradient == "y" and "y" in wrong
        follows = bug.id == UNKNOWN and wrong & {"y", bug.gradient.removesuffix(EVALUATED)}
        if not again and not follows:
            yield bug


def _distinct(bugs: Iterable[Diagnosis]) -> tuple[Diagnosis, ...]:
    """Each bug once in each mode, and at most one in each that is unknown."""
    told: dict[tuple[str, str, bool, bool], Diagnosis] = {}
    for bug in bugs:
        mode = bug.gradient.startswith("new_"), bug.gradient.endswith(EVALUATED)
        told.setdefault((bug.id, bug.formula_got, *mode), bug)
    return tuple(told.values())


def _together(checks: Sequence[Outcome]) -> dict[str, Finding]:
    """What all cases together say of each returned array, y and dx before the others."""
    names = dict.fromkeys(name for _, check in checks for name in check.gradients)
    order = [name for name in ("y", "dx") if name in names]
    return {
        name: Finding.together([check.gradients[name] for _, check in checks if name in check.gradients])
        for name in dict.fromkeys([*order, *names])
    }


def _witness(checks: Sequence[Outcome], gradients: Mapping[str, Finding]) -> tuple[Case, Check] | None:
    """The case of the first array that failed, with all that was found there; none where no answer was kept."""
    worst = next((finding.worst for finding in gradients.values() if finding.verdict.failed), None)
    for case, one in checks:
        if one.answer and any(finding.worst is worst for finding in one.gradients.values()):
            return case, one
    return None


def _unseen(checks: Sequence[Outcome]) -> set[str]:
    """The essential bugs that would have passed on every case."""
    unseen = [set(check.unseen) for _, check in checks if "dx" in check.gradients]
    return set.intersection(*unseen) if unseen else set()


_UNREPEATABLE = "A second call with the same input answers something else."
_BY_DEFAULT: Mapping[object, str] = MappingProxyType(
    {
        0.0: "By default it adds no eps: a group without variance gives NaN.",
        NOT_FINITE: "By default its eps is such that where the variance is small what it answers is not finite.",
    }
)
_ENTANGLED = "Its backward answers for the latest forward, whatever cache it is handed."

Outcome = tuple[Case, Check]


def _asked(subject: Subject, layer: Layer, cases: Iterable[tuple[Case, bool]]) -> tuple[list[Outcome], str]:
    """A check of every case, and why the first that could not be made was not."""
    checks, detail = list[Outcome](), ""
    for case, differences in cases:
        try:
            affordable = differences and case.x.size * case.count <= _DIFFERENCES
            forward = subject.forward_of(case) if affordable and subject.has_backward else None
            checks.append((case, check(subject.vjp, case, forward=forward, layer=layer)))
        except Exception as error:  # whatever somebody's code does is a finding about that code
            raised = str(error) if isinstance(error, BncheckError) else f"It raised {type(error).__name__}: {error}."
            detail = detail or f"{raised} The case: {case.origin}, {case.dtype}, {case.layout}."
            if isinstance(error, TargetFailed) and error.reason not in ("raised", "answer"):
                break  # nor will it answer the next, and each would cost its time limit
    return checks, detail


def _cases(subject: Subject, layer: Layer, dtypes: Sequence[str], seed: int) -> Iterator[tuple[Case, bool]]:
    """Every case, and whether it is held against finite differences too.

    Half precision is asked for an ordinary case only: its range is too narrow for the others.
    """
    for layout, dtype in product(subject.layouts, dtypes):
        if dtype == "float16":
            yield subject.adapted(Recipe(layout, fitting(subject, layout, FEW), dtype, seed=seed).build(layer)), False
            continue
        for k, case in enumerate(telling(subject, layer, layout, dtype, seed)):
            yield case, dtype == dtypes[0] and k == 0
        yield subject.adapted(Recipe(layout, fitting(subject, layout, MANY), dtype, seed=seed).build(layer)), False


def _diagnosed(subject: Subject, layer: Layer, seed: int, checks: Sequence[Outcome]) -> tuple[Diagnosis, ...]:
    """Which terms are wrong, asked where something failed first."""
    failing = [(case, check.verdict) for case, check in checks if check.verdict.failed]
    if not failing:
        return ()
    wrong = [case for case, verdict in failing if verdict is Verdict.WRONG]
    rounding = [case for case, _ in failing if case.dtype.itemsize == 4]  # where it hurts most people
    case = max(wrong or rounding or [failing[0][0]], key=lambda one: one.x.ndim)  # where samples are not all that is m
    alike = telling(subject, layer, case.layout, str(case.dtype), seed, case.eps)
    bugs = diagnose(layer, subject.vjp, alike) if case.dtype.itemsize > 2 else ()
    return bugs or diagnose(layer, subject.vjp, [case])


def _habits(subject: Subject, layer: Layer, dtypes: Sequence[str]) -> Iterator[Diagnosis]:
    """The bugs of the catalogue that are not in the values: those that the caller's arrays and dtypes suffer."""
    noticed = subject.observations
    changed = {n: d for n, d in noticed.get("dtype_changed", {}).items() if n in dtypes and n != "float16"}
    changed = {
        n: d for n, d in changed.items() if any(np.dtype(own).itemsize < np.dtype(n).itemsize for own in d.values())
    }
    for bug, where in (("mutates-input", list(noticed.get("mutates", ()))), ("dtype-changed", list(changed.values()))):
        if where:
            shows = where[0] if isinstance(where[0], str) else next(iter(where[0]))
            yield named_effect(bug, shows)
