"""The examination of somebody's implementation: a few well-chosen cases, two questions, one report.

A target is asked in every layout and dtype that it takes: on cases on which no two bugs look alike, on one of more
samples, on one far from zero. Its own conventions are observations; what is left is right or wrong.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import Any, overload

import numpy as np

from bncheck import __version__
from bncheck.bugs.diagnose import Diagnosis, diagnose, probes
from bncheck.bugs.mutants import MUTANTS
from bncheck.case import Case, Layout
from bncheck.errors import BncheckError, InvalidInput, MissingPackage, TargetFailed
from bncheck.examination import one_case as checks
from bncheck.examination.one_case import Check
from bncheck.examination.running_statistics import modes
from bncheck.inputs.recipes import Recipe, sampled
from bncheck.layers import LAYERS, Layer, find_layer
from bncheck.oracles.finite_difference import Forward
from bncheck.processes import mapped
from bncheck.targets.calls import TRIAL_EPS, Target
from bncheck.targets.opening import Address, open_target
from bncheck.targets.sandbox import MEMORY_LIMIT, TIME_LIMIT
from bncheck.tolerance.verdicts import Comparison, Verdict, Vjp

PLAIN = tuple(name for name, layer in LAYERS.items() if layer.is_plain)
"""The layers that a target may be."""

ASKED = ("float64", "float32", "float16")
"""The dtypes in which a target is asked where it takes them."""

_SIZES = {"N": 6, "C": 4, "L": 5, "D": 5, "H": 2, "W": 3, "G": 2, "K": 3}
_FEW = {"N": 5, "C": 3, "L": 3, "D": 6, "H": 2, "W": 2, "G": 2, "K": 4}
_MANY = {"N": 32, "C": 5, "L": 6, "D": 32, "H": 6, "W": 5, "G": 3, "K": 4}
_TELLING_EPS = 0.5  # as large as the variances it is added to, so that no place of eps looks like another

CONVENTIONS: Mapping[tuple[str, frozenset[str]], str] = MappingProxyType(
    {
        ("layer_norm", frozenset({"eps-outside-sqrt", "ddof-forward"})): "The Annotated Transformer",
        ("rms_norm", frozenset({"eps-outside-sqrt"})): "the code that its authors published",
    }
)
"""Whose layer differs from the definition in just this, as a diagnosis calls it: no error where it is consistent."""

_DIFFERENCES = 1 << 22
"""Up to how many elements, over all evaluations of a forward, a case is held against finite differences too."""


@dataclass(frozen=True)
class Finding:
    """What is known about one returned array, over all cases.

    `conforms` is the verdict against the layer's definition; `consistent` that against finite differences of the
    implementation's own forward, None where there is none. `worst` is the element that decided, on the case `case`.
    """

    verdict: Verdict
    conforms: Verdict | None
    consistent: Verdict | None
    worst: Comparison
    case: str
    dtype: str
    layout: str


@dataclass(frozen=True)
class TargetReport:
    """What the examination of one target found.

    `detail` says in one line why it crashed, or what it does besides that is wrong whatever it answers. `observations`
    are its conventions and habits, see `bncheck.targets.observations`; `reproduce` is a command.
    """

    target: str
    layer: str
    recognised_as: str
    verdict: Verdict
    consistent: Verdict | None = None
    conforms: Verdict | None = None
    gradients: Mapping[str, Finding] = field(default_factory=dict)
    diagnosis: tuple[Diagnosis, ...] = ()
    observations: Mapping[str, Any] = field(default_factory=dict)
    reproduce: str = ""
    detail: str = ""

    def __bool__(self) -> bool:
        return self.verdict is Verdict.CORRECT

    def __str__(self) -> str:
        from bncheck.report import targets  # the one step back: a report that is printed is formatted

        return targets.one(self)

    def _repr_html_(self) -> str:
        from bncheck.report import targets

        return targets.html(str(self))


@dataclass(frozen=True)
class Examination:
    """The reports on several targets, in the order in which they were asked for."""

    seed: int
    reports: tuple[TargetReport, ...]
    version: str = __version__

    @property
    def verdict(self) -> Verdict:
        """The verdict on all: any failure, else what is worst."""
        order = list(Verdict)
        return max((report.verdict for report in self.reports), key=order.index, default=Verdict.VACUOUS)

    def __bool__(self) -> bool:
        return self.verdict is Verdict.CORRECT

    def __str__(self) -> str:
        from bncheck.report import targets

        return targets.text(self)

    def _repr_html_(self) -> str:
        from bncheck.report import targets

        return targets.html(str(self))


@dataclass(frozen=True)
class Given:
    """A function of this process, to be examined as it is: `vjp(case) -> Gradients`, and perhaps its forward."""

    vjp: Vjp
    layouts: tuple[Layout, ...]
    forward: Forward | None = None
    dtypes: tuple[str, ...] = ("float64", "float32")
    recognised_as: str = "a function of a case"
    observations: Mapping[str, Any] = field(default_factory=dict)
    eps: float | None = None
    has_backward: bool = True

    @property
    def name(self) -> str:
        """The function's own name."""
        return str(getattr(self.vjp, "__qualname__", type(self.vjp).__name__))

    def fixed_sizes(self, layout: Layout | None = None) -> dict[str, int]:
        """None: it is asked in any sizes."""
        return {}

    def adapted(self, case: Case) -> Case:
        """The case, with the eps that the function keeps to."""
        return replace(case, eps=self.eps or case.eps)

    def forward_of(self, case: Case) -> Forward | None:
        """Its forward, where there is one."""
        return self.forward


Subject = Target | Given


def examine(
    subject: Subject,
    layer: Layer,
    *,
    dtypes: Sequence[str] = (),
    seed: int = 0,
    cases: Sequence[Case] = (),
) -> TargetReport:
    """Asks one target, and says what is right and what is wrong with it.

    `dtypes` restricts those in which it is asked; `cases` are asked instead of the usual ones.

    >>> from bncheck.bugs.mutants import MUTANTS
    >>> layer = LAYERS["batch_norm"]
    >>> report = examine(Given(MUTANTS["mean-path-missing"].vjp, layer.layouts[:1]), layer)
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
        return replace(report, detail=str(subject.failure))
    if not subject.observations.get("repeatable", True):  # no number of it would be the same next time
        return replace(report, verdict=Verdict.WRONG, observations={"repeatable": False}, detail=_UNREPEATABLE)
    spoken = [name for name in ASKED if name in subject.dtypes and name in (dtypes or ASKED)]
    if not spoken:
        told = f"It takes {', '.join(subject.dtypes) or 'no dtype that bncheck knows'}."
        return replace(report, verdict=Verdict.INCONCLUSIVE, detail=told)
    outcomes, detail = _asked(
        subject, layer, _cases(subject, layer, spoken, seed) if not cases else [(c, True) for c in cases]
    )
    bugs = list(_habits(subject, layer, spoken))
    if not detail:
        bugs += _diagnosed(subject, layer, seed, outcomes)
        if isinstance(subject, Target) and not cases:
            others, more = modes(subject, spoken, seed)
            outcomes, bugs = [*outcomes, *others], [*bugs, *more]
    findings = _findings(outcomes)
    conforms, consistent = (
        _together(getattr(f, side) for f in findings.values()) for side in ("conforms", "consistent")
    )
    source = CONVENTIONS.get((layer.name, frozenset(bug.id for bug in bugs)))
    if source and consistent is Verdict.CORRECT and all(bug.residual <= 1 for bug in bugs):
        findings = {name: replace(finding, verdict=Verdict.CORRECT) for name, finding in findings.items()}
        report = replace(report, observations={**report.observations, "as_in": source})
        bugs = []
    if not subject.observations.get("interleaved", True):
        detail = detail or _ENTANGLED
    return replace(
        report,
        verdict=Verdict.CRASHED if detail and detail != _ENTANGLED else _overall(findings, outcomes, bugs, detail),
        conforms=conforms,
        consistent=consistent,
        gradients=findings,
        diagnosis=tuple({bug.id: bug for bug in reversed(bugs)}.values())[::-1],
        detail=detail,
    )


_UNREPEATABLE = "A second call with the same input answers something else."
_ENTANGLED = "Its backward answers for the latest forward, whatever cache it is handed."

Outcome = tuple[Case, Check]


def _asked(subject: Subject, layer: Layer, cases: Iterable[tuple[Case, bool]]) -> tuple[list[Outcome], str]:
    """A check of every case, and why the first that could not be made was not."""
    outcomes, detail = [], ""
    for case, differences in cases:
        try:
            affordable = differences and case.x.size * case.count <= _DIFFERENCES
            forward = subject.forward_of(case) if affordable and subject.has_backward else None
            outcomes.append((case, checks.check(subject.vjp, case, forward=forward, layer=layer)))
        except Exception as error:  # whatever somebody's code does is a finding about that code
            told = str(error) if isinstance(error, BncheckError) else f"It raised {type(error).__name__}: {error}."
            detail = detail or f"{told} The case: {case.origin}, {case.dtype}, {case.layout}."
            if isinstance(error, TargetFailed) and error.reason not in ("raised", "answer"):
                break  # nor will it answer the next, and each would cost its time limit
    return outcomes, detail


def _cases(subject: Subject, layer: Layer, dtypes: Sequence[str], seed: int) -> Iterator[tuple[Case, bool]]:
    """Every case, and whether it is held against finite differences too.

    Half precision is asked for an ordinary case only: its range is too narrow for the others.
    """
    for layout, dtype in product(subject.layouts, dtypes):
        if dtype == "float16":
            yield subject.adapted(Recipe(layout, _shape(subject, layout, _FEW), dtype, seed=seed).build(layer)), False
            continue
        for k, case in enumerate(telling(subject, layer, layout, dtype, seed)):
            yield case, dtype == dtypes[0] and k == 0
        yield subject.adapted(Recipe(layout, _shape(subject, layout, _MANY), dtype, seed=seed).build(layer)), False


def telling(
    subject: Subject, layer: Layer, layout: Layout, dtype: str, seed: int, eps: float | None = None
) -> tuple[Case, ...]:
    """Cases on which no two bugs look alike, in sizes and with an eps that the subject takes."""
    takes_eps = not isinstance(subject, Target) or subject.plan.takes_eps
    eps = eps or subject.eps or (_TELLING_EPS if takes_eps else TRIAL_EPS)
    cases = probes(layer, layout, _shape(subject, layout, _SIZES), dtype=dtype, eps=eps, seed=seed)
    return tuple(map(subject.adapted, cases))


def _shape(subject: Subject, layout: Layout, usual: Mapping[str, int]) -> tuple[int, ...]:
    """Sizes that a subject takes; never as many samples as channels, or a wrong axis might look right."""
    sizes = {**usual, **subject.fixed_sizes(layout)}
    sizes["N"] += 2 * (sizes["N"] == sizes["C"])
    return tuple(sizes[axis] for axis in layout.axes)


def _findings(outcomes: Sequence[Outcome]) -> dict[str, Finding]:
    """What all cases together say of each returned array."""
    asked: dict[str, list[tuple[bool, Comparison, Case]]] = {}
    for case, found in outcomes:
        for own, comparisons in ((False, found.conforms), (True, found.consistent)):
            for name, comparison in comparisons.items():
                asked.setdefault(name, []).append((own, comparison, case))
    order = [name for name in ("y", "dx") if name in asked]
    return {name: _finding(asked[name]) for name in dict.fromkeys([*order, *asked])}


def _finding(several: Sequence[tuple[bool, Comparison, Case]]) -> Finding:
    """One array over all cases; the element shown is of the case that failed first, or that rounding spoilt most."""
    verdict = Verdict.worst([comparison.verdict for _, comparison, _ in several])
    decided = [(c, case) for own, c, case in several if c.verdict is verdict and not own]
    decided = decided or [(c, case) for _, c, case in several if c.verdict is verdict]
    if verdict is Verdict.UNSTABLE:
        worst, case = max(decided, key=lambda pair: np.nan_to_num(pair[0].relative_error, nan=np.inf))
    else:
        worst, case = decided[0] if verdict.failed else max(decided, key=lambda pair: pair[0].radius_fraction)
    conforms, consistent = (_together(c.verdict for own, c, _ in several if own is side) for side in (False, True))
    return Finding(verdict, conforms, consistent, worst, case.origin, str(case.dtype), str(case.layout))


def _overall(
    findings: Mapping[str, Finding], outcomes: Sequence[Outcome], bugs: Sequence[Diagnosis], detail: str
) -> Verdict:
    """The verdict on the whole; where nothing failed, that of dx, and vacuous if an essential bug went unseen."""
    told = _together(finding.verdict for finding in findings.values()) or Verdict.VACUOUS
    if told.failed or not findings:
        return told
    if bugs or detail:
        return Verdict.WRONG
    first = findings.get("dx") or next(iter(findings.values()))
    unseen = [set(found.unseen) for _, found in outcomes if "dx" in found.conforms]
    return Verdict.VACUOUS if unseen and set.intersection(*unseen) else first.verdict


def _together(verdicts: Iterable[Verdict | None]) -> Verdict | None:
    known = [verdict for verdict in verdicts if verdict is not None]
    return Verdict.worst(known) if known else None


def _diagnosed(subject: Subject, layer: Layer, seed: int, outcomes: Sequence[Outcome]) -> tuple[Diagnosis, ...]:
    """Which terms are wrong, asked where something failed first."""
    failing = [(case, found.verdict) for case, found in outcomes if found.verdict.failed]
    if not failing:
        return ()
    wrong = [case for case, verdict in failing if verdict is Verdict.WRONG]
    rounding = [case for case, _ in failing if case.dtype.itemsize == 4]  # where it hurts most people
    case = max(wrong or rounding or [failing[0][0]], key=lambda one: one.x.ndim)  # where samples are not all that is m
    alike = telling(subject, layer, case.layout, str(case.dtype), seed, case.eps)
    found = diagnose(layer, subject.vjp, alike) if case.dtype.itemsize > 2 else ()
    return found or diagnose(layer, subject.vjp, [case])


def _habits(subject: Subject, layer: Layer, dtypes: Sequence[str]) -> Iterator[Diagnosis]:
    """The bugs of the catalogue that are not in the values: those that the caller's arrays and dtypes suffer."""
    noticed = subject.observations
    changed = {n: d for n, d in noticed.get("dtype_changed", {}).items() if n in dtypes and n != "float16"}
    for bug, where in (("mutates-input", list(noticed.get("mutates", ()))), ("dtype-changed", list(changed.values()))):
        if where:
            shows = where[0] if isinstance(where[0], str) else next(iter(where[0]))
            mutant = MUTANTS[bug]
            got, right = mutant.formulas(layer)
            yield Diagnosis(bug, shows, 0.0, mutant.words, got, right, mutant.fix)


def check_target(
    text: str,
    *,
    layer: str | None = None,
    layout: Layout | None = None,
    style: str | None = None,
    dtypes: Sequence[str] = (),
    seed: int = 0,
    case: Recipe | None = None,
    time_limit: float = TIME_LIMIT,
    memory_limit: int = MEMORY_LIMIT,
) -> tuple[TargetReport, ...]:
    """Every target in a file or module, examined; a file that cannot be run is one report that says why.

    Raises
        InvalidInput: there is nothing in it that could be called.
    """
    place = Address.parse(text).place

    options = {"layer": layer, "layout": layout, "style": style, "case": case, "seed": seed or None}
    flags = [(name, value) for name, value in options.items() if value is not None]
    again = "".join(f" --{name} {shlex.quote(str(value))}" for name, value in [*(("dtype", d) for d in dtypes), *flags])
    try:
        with open_target(
            text, layer=layer, layout=layout, style=style, time_limit=time_limit, memory_limit=memory_limit
        ) as targets:
            reports = []
            for target in targets:
                known = LAYERS[target.layer]
                one = () if case is None else (target.adapted(case.build(known)),)
                name = target.name.partition(":")[2]
                address = f"{place}:{name}" if name else text
                report = examine(target, known, dtypes=dtypes, seed=seed, cases=one)
                reports.append(replace(report, target=address, reproduce=_command(address, again)))
            return tuple(reports)
    except (TargetFailed, MissingPackage) as failure:
        return (
            TargetReport(text, layer or "", "", Verdict.CRASHED, reproduce=_command(text, again), detail=str(failure)),
        )


def _command(address: str, flags: str) -> str:
    return f"python -m bncheck check {shlex.quote(address)}{flags}"


def examine_all(
    targets: Sequence[str],
    *,
    jobs: int = 1,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Any,
) -> Examination:
    """Every target of every file or module, in the order given; `options` are those of `check_target`.

    Where there are several, one in which nothing is recognised is one report among them, not the end.

    Raises
        InvalidInput: an option or an address is none; or the only one has nothing in it that could be called.
    """
    if options.get("layer") is not None and options["layer"] not in PLAIN:
        raise InvalidInput.unknown("layer", options["layer"], PLAIN)
    for name in options.get("dtypes", ()):
        if name not in ASKED:
            raise InvalidInput.unknown("dtype", name, ASKED)
    for text in targets:
        Address.parse(text)
    reports: list[TargetReport] = []
    work = partial(_checked, alone=len(targets) == 1, options={**options, "seed": seed})
    with mapped(max(1, min(jobs, len(targets)))) as in_order:
        for done, found in enumerate(in_order(work, targets), start=1):
            reports += found
            progress(done, len(targets))
    return Examination(seed, tuple(reports))


def _checked(text: str, alone: bool, options: Mapping[str, Any]) -> tuple[TargetReport, ...]:
    try:
        return check_target(text, **options)
    except InvalidInput as refusal:
        if alone:
            raise
        return (TargetReport(text, "", "", Verdict.INCONCLUSIVE, detail=str(refusal)),)


@overload
def check(
    target: Vjp,
    case: Case,
    *,
    forward: Forward | None = None,
    layer: Layer | str | None = None,
    rounds_once: Collection[str] = (),
) -> Check: ...


@overload
def check(target: Vjp, *, layer: Layer | str | None = None, **options: Any) -> TargetReport: ...


@overload
def check(target: str, *, layer: str | None = None, **options: Any) -> Examination: ...


def check(
    target: Vjp | str, case: Case | None = None, *, layer: Layer | str | None = None, **options: Any
) -> Check | TargetReport | Examination:
    """Is it the layer, and is its backward the gradient of its own forward?

    Of a function ``vjp(case)`` on one case, see `bncheck.examination.one_case.check`; without a case, on those of
    `examine`. Of ``"FILE.py:NAME"`` or ``"package.module:NAME"``, everything there, each in a sandbox; the options are those of
    `check_target`.

    >>> from bncheck.bugs.mutants import MUTANTS
    >>> print(check(MUTANTS["gamma-missing"].vjp, layer="batch_norm").diagnosis[0].fix)
    Multiply dy by gamma first: dx̂ = γ·dy.
    """
    if isinstance(target, str):
        return examine_all([target], layer=layer, **options)
    known = find_layer(layer) if isinstance(layer, str) else layer or LAYERS["batch_norm"]
    if case is not None:
        return checks.check(target, case, layer=known, **options)
    layouts = options.pop("layouts", known.layouts)
    return examine(Given(target, tuple(layouts), eps=options.pop("eps", None)), known, **options)


def assert_gradients(
    target: Vjp | str,
    cases: Case | Iterable[Case] | None = None,
    *,
    layer: Layer | str | None = None,
    forward: Forward | None = None,
    examples: int = 0,
    seed: int = 0,
    **options: Any,
) -> None:
    """Fails with the one-screen report unless the gradients are right; for test suites.

    `cases` are one case or several, as drawn by `bncheck.inputs.strategies.cases`; a case that could not have told right
    from wrong passes. Without any, the usual ones are asked, and must be conclusive; and `examples` more that are drawn.
    `forward` is held to be what the backward belongs to.

    Raises
        AssertionError: wrong, unstable or crashed; without cases of its own, also where nothing could be concluded.

    >>> from bncheck.bugs.mutants import MUTANTS
    >>> assert_gradients(MUTANTS["zero"].vjp)
    Traceback (most recent call last):
    AssertionError: Mutant.vjp: wrong
    ...
    """
    __tracebackhide__ = True
    if isinstance(target, str):
        found: TargetReport | Examination = examine_all([target], layer=layer, seed=seed, **options)
        if not found:
            raise AssertionError(str(found))
        return
    known = find_layer(layer) if isinstance(layer, str) else layer or LAYERS["batch_norm"]
    given = [cases] if isinstance(cases, Case) else list(cases or ())
    if cases is None:
        found = check(target, layer=known, seed=seed, **options)
        if not found:
            raise AssertionError(str(found))
        given = sampled(known, examples, seed=seed, regimes=_TAME)
    if given:
        subject = Given(target, known.layouts, forward)
        found = examine(subject, known, seed=seed, cases=given)
        if found.verdict.failed:
            raise AssertionError(str(found))


_TAME = ("ordinary", "large-offset", "tiny-variance", "constant-group", "outliers")
