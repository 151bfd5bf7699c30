"""What `bncheck check` says of a changed source, and whether what it says is so."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.mutations.calls import sources
from benchmarks.mutations.changes import Mutant
from benchmarks.mutations.judge import Judgement, Kind, judge
from benchmarks.mutations.reproduced import reproduced
from bncheck.bugs.diagnose import UNKNOWN
from bncheck.errors import InvalidInput
from bncheck.examination.files import check_target
from bncheck.results import TargetReport
from bncheck.tolerances.verdicts import Verdict

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

    `detail` is what else check says of it; `rightly`, whether what the diagnosis names is so.
    """

    work: Work
    judgement: Judgement
    verdict: Verdict
    diagnosis: tuple[str, ...]
    detail: str = ""
    rightly: bool = False

    @property
    def caught(self) -> bool:
        """Whether fault was found."""
        return self.verdict.failed

    @property
    def named(self) -> bool:
        """Whether the fault has a name."""
        if not self.diagnosis:
            return self.caught and bool(self.detail) and not self.broke
        return UNKNOWN not in self.diagnosis

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
        where = traceback.extract_tb(error.__traceback__)[-1]
        detail = f"{BROKE} {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        return Outcome(work, judgement, Verdict.INCONCLUSIVE, (), detail)
    worst = max(reports, key=lambda report: list(Verdict).index(report.verdict), default=None)
    if worst is None:
        return Outcome(work, judgement, Verdict.INCONCLUSIVE, (), "nothing is recognised")
    outcome = Outcome(work, judgement, worst.verdict, tuple(bug.id for bug in worst.diagnosis), worst.detail)
    return replace(outcome, rightly=reproduced(source, work.text, worst)) if outcome.named else outcome


def _checked(name: str, text: str) -> Sequence[TargetReport]:
    """What a user would be told who has the file checked; nothing where nothing is recognised in it."""
    with TemporaryDirectory() as folder:
        file = Path(folder, f"{name}.py")
        file.write_text(text, encoding="utf-8")
        try:
            return check_target(str(file))
        except InvalidInput:
            return ()
