"""What `bncheck check` says of a changed source, and whether what it says is so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.mutations.calls import Source, limited, sources
from benchmarks.mutations.changes import Mutant
from benchmarks.mutations.judge import SECONDS, Judgement, Kind, judge
from bncheck.bugs.diagnose import UNKNOWN, Diagnosis
from bncheck.case import Array, Case
from bncheck.errors import InvalidInput
from bncheck.examination.examine import TargetReport, check_target
from bncheck.inputs.recipes import Recipe
from bncheck.tolerance.verdicts import Verdict

try:
    from bncheck.bugs.diagnose import reproduction  # type: ignore[attr-defined]  # not there yet
except ImportError:
    reproduction = None

NEAR = 1e-6
"""How near a reproduced answer comes to the mutant's own, as a part of the answer's largest value."""

_FRESH = (
    ({"N": 9, "C": 5, "D": 7, "L": 4, "H": 3, "W": 2, "G": 2, "K": 2}, 0.2, "ordinary"),
    ({"N": 5, "C": 7, "D": 4, "L": 5, "H": 2, "W": 4, "G": 3, "K": 3}, 0.02, "outliers"),
    ({"N": 11, "C": 2, "D": 9, "L": 2, "H": 4, "W": 3, "G": 1, "K": 5}, 2.0, "ordinary"),
)
"""Sizes, eps and regime of cases that no diagnosis was made on; all in float64."""


BROKE = "check itself raised"


@dataclass(frozen=True)
class Work:
    """One mutant, and the folder that its source is in; no mutant is the source as it is."""

    folder: Path
    source: str
    mutant: Mutant | None = None

    @property
    def text(self) -> str:
        """The code."""
        return self.mutant.text if self.mutant else sources(self.folder)[self.source].text


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant.

    `detail` is what else check says of it; `rightly` is None where there is no name that could be right.
    """

    work: Work
    judgement: Judgement
    verdict: Verdict
    diagnosis: tuple[str, ...]
    detail: str = ""
    rightly: bool | None = None

    @property
    def caught(self) -> bool:
        """Whether fault was found."""
        return self.verdict.failed

    @property
    def named(self) -> bool:
        """Whether the fault has a name."""
        return bool(self.diagnosis) and UNKNOWN not in self.diagnosis

    @property
    def broke(self) -> bool:
        """Whether check itself raised instead of answering."""
        return self.detail.startswith(BROKE)

    @property
    def wrong(self) -> bool:
        """Whether it answers, and wrongly."""
        return self.judgement.kind is Kind.WRONG

    @property
    def accused(self) -> bool:
        """Whether right code was called wrong; a source as it is has to be called correct."""
        if self.work.mutant is None:
            return self.verdict is not Verdict.CORRECT
        return self.caught and self.judgement.kind in (Kind.EQUIVALENT, Kind.CONVENTION)

    def __str__(self) -> str:
        change = str(self.work.mutant) if self.work.mutant else f"{self.work.source} as it is"
        told = f"{self.judgement.kind}: {self.judgement.why}" if self.judgement.why else f"{self.judgement.kind}"
        bugs = ", ".join(self.diagnosis) or self.detail or "no diagnosis"
        return f"{change}\n    {told}\n    check: {self.verdict}, {bugs}"


def scored(work: Work) -> Outcome:
    """Judges one mutant, and has it checked."""
    source = sources(work.folder)[work.source]
    judgement = judge(source, work.text)
    try:
        reports = _checked(source.name, work.text)
    except Exception as error:  # it has to answer, whatever it is asked
        told = f"{BROKE} {type(error).__name__}: {error}"
        return Outcome(work, judgement, Verdict.INCONCLUSIVE, (), told)
    worst = max(reports, key=lambda report: list(Verdict).index(report.verdict), default=None)
    if worst is None:
        return Outcome(work, judgement, Verdict.INCONCLUSIVE, (), "nothing is recognised")
    outcome = Outcome(work, judgement, worst.verdict, tuple(bug.id for bug in worst.diagnosis), worst.detail)
    return replace(outcome, rightly=_rightly(source, work.text, worst.diagnosis)) if outcome.named else outcome


def _checked(name: str, text: str) -> Sequence[TargetReport]:
    """What a user would be told who has the file checked; nothing where nothing is recognised in it."""
    with TemporaryDirectory() as folder:
        file = Path(folder, f"{name}.py")
        file.write_text(text, encoding="utf-8")
        try:
            return check_target(str(file))
        except InvalidInput:
            return ()


def _rightly(source: Source, code: str, diagnosis: Sequence[Diagnosis]) -> bool | None:
    """Whether the layer with just these bugs answers what the code does, on cases that are new to both."""
    if reproduction is None:
        return None
    reproduced: Callable[[Case], Mapping[str, Array]] | None = reproduction(source.layer, diagnosis)
    if reproduced is None:
        return False
    try:
        with limited(SECONDS), np.errstate(all="ignore"):
            return all(_alike(source.begin(code, case).answers(), reproduced(case)) for case in fresh(source))
    except Exception:  # what raises where the other answers is not the same
        return False


@lru_cache(maxsize=64)
def fresh(source: Source) -> tuple[Case, ...]:
    """Cases that no diagnosis was made on."""
    takes_eps = source.hands_over("eps", by_default=False)

    def cases() -> Iterator[Case]:
        for layout, (seed, (sizes, eps, regime)) in product(source.layouts, enumerate(_FRESH, start=1000)):
            shape = tuple(sizes[axis] for axis in layout.axes)
            recipe = Recipe(layout, shape, eps=eps if takes_eps else source.eps, regime=regime, seed=seed)
            yield recipe.build(source.layer)

    return tuple(cases())


def _alike(answers: Mapping[str, Array], reproduced: Mapping[str, Array]) -> bool:
    """Whether all answers are the same but for rounding, and NaN in the same places."""

    def same(name: str) -> bool:
        got, expected = np.asarray(answers[name]), np.asarray(reproduced[name])
        if got.size != expected.size:
            return False
        scale = float(np.nanmax(np.abs(expected), initial=0.0))
        return bool(np.allclose(got.reshape(expected.shape), expected, rtol=0, atol=NEAR * scale, equal_nan=True))

    return all(same(name) for name in answers)
