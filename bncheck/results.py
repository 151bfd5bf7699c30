"""What campaigns and examinations hand on: frozen data that reports read and that processes send each other.

One name means one thing, be it of one array, one case, one target or many:

    verdict     what is concluded
    conforms    whether what was answered is the layer's; None where that was not asked
    consistent  whether the gradients belong to the implementation's own forward; None likewise
    gradients   what is known of each returned array, by its name

How they are shown at a prompt and in a notebook is told by `bncheck.report.prompt`, which nothing here knows of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bncheck.case import Case, Gradients
from bncheck.outcomes import Outcome
from bncheck.tolerances.verdicts import Comparison, Verdict, fold
from bncheck.version import __version__

if TYPE_CHECKING:
    from bncheck.bugs.diagnose import Diagnosis
    from bncheck.oracles.symbolic.proof import Proof

_Key = TypeVar("_Key")


# Is this right? One array, one case, one target, many.


@dataclass(frozen=True)
class Finding:
    """What is known about one returned array, on one case or over many.

    `worst` is the element that decided, on the case that `case` names.

    Units
        Those of `Comparison`.
    """

    verdict: Verdict
    conforms: Verdict
    consistent: Verdict | None
    worst: Comparison
    case: str
    dtype: str
    layout: str

    @classmethod
    def together(cls, findings: Sequence[Finding]) -> Finding:
        """One array over many cases; the element shown is of the first that failed, or what rounding spoilt most."""
        verdict = fold(finding.verdict for finding in findings)
        deciding = [finding for finding in findings if finding.verdict is verdict]
        deciding = [finding for finding in deciding if finding.conforms is verdict] or deciding
        if verdict is Verdict.UNSTABLE:
            shown = max(deciding, key=lambda finding: np.nan_to_num(finding.worst.relative_error, nan=np.inf))
        else:
            shown = deciding[0] if verdict.failed else max(deciding, key=lambda f: f.worst.radius_fraction)
        conforms, consistent = fold(f.conforms for f in findings), _answer(f.consistent for f in findings)
        return replace(shown, verdict=verdict, conforms=conforms, consistent=consistent)


def findings(
    case: Case, conforms: Mapping[str, Comparison], consistent: Mapping[str, Comparison] = MappingProxyType({})
) -> dict[str, Finding]:
    """What one case says of each array; the element shown is that of the comparison that decided."""
    said = {}
    for name, comparison in conforms.items():
        own = consistent.get(name)
        verdict = fold(c.verdict for c in (comparison, own) if c is not None)
        worst = comparison if own is None or comparison.verdict is verdict else own
        answers = comparison.verdict, None if own is None else own.verdict
        said[name] = Finding(verdict, *answers, worst, case.origin, str(case.dtype), str(case.layout))
    return said


def _answer(verdicts: Iterable[Verdict | None], *, every: bool = False) -> Verdict | None:
    """What several say to a question that not all of them were asked."""
    told = [verdict for verdict in verdicts if verdict is not None]
    return fold(told, every=every) if told else None


def concluded(gradients: Mapping[str, Finding], unseen: Iterable[str]) -> Verdict:
    """The verdict on all arrays; where none failed, that of dx, and vacuous where an essential bug went unseen."""
    verdict = fold(finding.verdict for finding in gradients.values())
    if verdict.failed or "dx" not in gradients:
        return verdict
    dx = gradients["dx"].verdict
    return Verdict.VACUOUS if dx is Verdict.CORRECT and any(unseen) else dx


class _Answers:
    """The two questions, answered from what is known of each array."""

    gradients: Mapping[str, Finding]

    @property
    def conforms(self) -> Verdict | None:
        """Whether what was answered is the layer's."""
        return _answer(finding.conforms for finding in self.gradients.values())

    @property
    def consistent(self) -> Verdict | None:
        """Whether the gradients belong to the implementation's own forward; None where there was none to ask."""
        return _answer(finding.consistent for finding in self.gradients.values())


@dataclass(frozen=True)
class Check(_Answers):
    """One implementation on one case.

    `unseen` names the essential bugs of the catalogue that would have passed on this case; `answer` is what was
    returned, where that was kept.

    Shapes
        answer: as `Case.shape_of` says.

    Units
        Those of `Comparison`.
    """

    gradients: Mapping[str, Finding]
    unseen: tuple[str, ...] = ()
    answer: Gradients = field(default_factory=dict, compare=False, repr=False)

    @property
    def verdict(self) -> Verdict:
        """The verdict on all arrays; where none failed, that of dx, and vacuous where an essential bug went unseen."""
        return concluded(self.gradients, self.unseen)

    def __bool__(self) -> bool:
        return self.verdict is Verdict.CORRECT


@dataclass(frozen=True)
class TargetReport(_Answers):
    """One implementation on all the cases that it was asked.

    `detail` says in one line why it crashed, or what it does besides that is wrong whatever it answers. `observations`
    are its conventions and habits, see `bncheck.targets.observations`; `reproduce` is a command. `asked` are the
    questions that were put to it: layouts, dtypes, modes, gradients; `not_asked` what could not be, each with why and
    what to do. Where there is any, the verdict is not correct. `witness` is a case on which it failed, with what was
    answered and found there; `figures` are the files in which that is drawn. `cut_short` tells that some call ended at
    a limit, or with its process: on another day it may answer.
    """

    target: str
    layer: str
    recognised_as: str
    verdict: Verdict
    gradients: Mapping[str, Finding] = field(default_factory=dict)
    diagnosis: tuple[Diagnosis, ...] = ()
    observations: Mapping[str, Any] = field(default_factory=dict)
    reproduce: str = ""
    detail: str = ""
    asked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    not_asked: Mapping[str, str] = field(default_factory=dict)
    witness: tuple[Case, Check] | None = field(default=None, compare=False, repr=False)
    figures: tuple[str, ...] = ()
    cut_short: bool = field(default=False, compare=False, repr=False)

    def __bool__(self) -> bool:
        return self.verdict is Verdict.CORRECT


@dataclass(frozen=True)
class Examination:
    """The reports on several targets, in the order in which they were asked for."""

    seed: int
    reports: tuple[TargetReport, ...]
    version: str = __version__

    @property
    def verdict(self) -> Verdict:
        """The verdict on all: every target must be correct."""
        return fold((report.verdict for report in self.reports), every=True)

    @property
    def conforms(self) -> Verdict | None:
        """Whether what every target answered is its layer's."""
        return _answer((report.conforms for report in self.reports), every=True)

    @property
    def consistent(self) -> Verdict | None:
        """Whether the gradients of every target belong to its own forward."""
        return _answer((report.consistent for report in self.reports), every=True)

    def __bool__(self) -> bool:
        return self.verdict is Verdict.CORRECT


# Is everything right? One subject, one case, one layer, the campaign.


@dataclass(frozen=True)
class Tally:
    """What one oracle or suspect did over many cases; the worst figures are over the conclusive ones."""

    verdict: Verdict = Verdict.VACUOUS
    worst_ulp: float = 0.0
    worst_relative_error: float = 0.0
    worst_radius_fraction: float = 0.0
    cases: int = 0

    def and_also(self, other: Tally) -> Tally:
        """Both tallies as one."""
        return Tally(
            fold(tally.verdict for tally in (self, other) if tally.cases),
            max(self.worst_ulp, other.worst_ulp),
            max(self.worst_relative_error, other.worst_relative_error),
            max(self.worst_radius_fraction, other.worst_radius_fraction),
            self.cases + other.cases,
        )


@dataclass(frozen=True)
class Counterexample:
    """The smallest case found on which somebody disagrees with the truth, and the element where it shows.

    `framework` is whose the subject is, where it is a framework's.
    """

    layer: str
    subject: str
    gradient: str
    case: str
    comparison: Comparison
    detail: str = ""
    arrays: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    framework: str = ""


@dataclass(frozen=True)
class Result:
    """The outcome of some cases: what every subject did, and what went wrong first.

    `revealed` counts, for each planted bug, the cases that would have caught it; `known` counts, for each suspect and
    what is known to be amiss with it, the cases on which it failed so, and which its tally therefore leaves out.
    `theorems` tells, for each theorem, whether the numbers of all cases bear it out.
    """

    cases: int = 0
    vacuous: int = 0
    inconclusive: int = 0
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    revealed: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Counterexample, ...] = ()
    known: Mapping[tuple[str, str], int] = field(default_factory=dict)
    theorems: Mapping[str, Tally] = field(default_factory=dict)

    @property
    def conclusive(self) -> int:
        """How many of the cases could have told."""
        return self.cases - self.vacuous - self.inconclusive

    def and_also(self, other: Result) -> Result:
        """Both results as one."""
        return Result(
            self.cases + other.cases,
            self.vacuous + other.vacuous,
            self.inconclusive + other.inconclusive,
            _tallied(self.tallies, other.tallies),
            _added(self.revealed, other.revealed),
            self.failures + other.failures,
            _added(self.known, other.known),
            _tallied(self.theorems, other.theorems),
        )


def _tallied(left: Mapping[str, Tally], right: Mapping[str, Tally]) -> dict[str, Tally]:
    return {name: left.get(name, Tally()).and_also(right.get(name, Tally())) for name in {**left, **right}}


def _added(left: Mapping[_Key, int], right: Mapping[_Key, int]) -> dict[_Key, int]:
    return {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}


@dataclass(frozen=True)
class Statement:
    """A theorem about a layer, and what became of it for all ways in which the layer's layouts use their axes."""

    name: str
    statement: str
    words: str
    outcome: Outcome

    @property
    def proved(self) -> bool:
        """Whether it is proved for every one of these ways."""
        return self.outcome is Outcome.PROVED


@dataclass(frozen=True)
class LayerReport:
    """One layer of a campaign: its proof, its theorems and the result of its cases.

    `asymmetric` tells, for each planted bug that is in dx alone, whether the Jacobian of dx gives it away;
    `forward_only` names the suspects that have no gradient: their verdict is about y, and the running statistics.
    """

    layer: str
    proof: Proof
    sizes: Mapping[str, str]
    result: Result
    suspects: tuple[str, ...]
    theorems: tuple[Statement, ...] = ()
    asymmetric: Mapping[str, bool] = field(default_factory=dict)
    forward_only: tuple[str, ...] = ()

    @property
    def refuted(self) -> tuple[str, ...]:
        """The theorems that are proved, and that the numbers of some case contradict."""
        instances = self.result.theorems
        return tuple(t.name for t in self.theorems if t.proved and instances.get(t.name, Tally()).verdict.failed)

    @property
    def verdict(self) -> Verdict:
        """The verdict on a layer: correct only where its proof holds and every oracle and suspect agrees.

        Where no case could have told right from wrong, or the proof is not decided, nothing is concluded.
        """
        verdicts = [tally.verdict for tally in self.result.tallies.values()]
        if self.refuted or self.proof.outcome is Outcome.REFUTED:
            verdicts.append(Verdict.WRONG)
        if fold(verdicts).failed or (self.result.conclusive and self.proof.proved):
            return fold(verdicts)
        if not self.proof.proved:
            return Verdict.INCONCLUSIVE
        return Verdict.INCONCLUSIVE if self.result.inconclusive else Verdict.VACUOUS


@dataclass(frozen=True)
class Report:
    """A whole campaign: its layers, in the order in which they were asked for."""

    version: str
    seed: int
    layers: tuple[LayerReport, ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict on everything: every layer must be correct."""
        return fold((layer.verdict for layer in self.layers), every=True)

    @property
    def counterexample(self) -> Counterexample | None:
        """The smallest failing case, if any."""
        failures = [replace(f, seed=self.seed) for report in self.layers for f in report.result.failures]
        return min(failures, key=lambda f: sum(np.size(a) for a in f.arrays.values()), default=None)

    def __bool__(self) -> bool:
        return self.verdict is Verdict.CORRECT
