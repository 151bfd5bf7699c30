"""How results show themselves at a prompt and in a notebook: classes get their faces here: text, HTML, LaTeX.

What is computed knows nothing of how it is shown, so that no import runs back. `bncheck.api`, through whose doors
results reach people, imports this.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any, TypeVar

from bncheck.oracles.symbolic.derivation import Derivation
from bncheck.oracles.symbolic.proof import Proof
from bncheck.results import Check, Examination, Report, TargetReport

_Writer = TypeVar("_Writer", bound=Callable[[Any], str])


def _face(kind: type) -> Callable[[_Writer], _Writer]:
    """Gives a class what `print` and a notebook ask for; and what a prompt shows, which for results is the same."""

    def given(written: _Writer) -> _Writer:
        setattr(kind, "__str__", written)  # noqa: B010  # mypy forbids to assign to a method
        if kind in (TargetReport, Examination, Check):
            setattr(kind, "__repr__", written)  # noqa: B010
        setattr(kind, "_repr_html_", lambda result: f"<pre>{html.escape(written(result))}</pre>")  # noqa: B010
        return written

    return given


@_face(TargetReport)
def _target(report: TargetReport) -> str:
    from bncheck.report import targets

    return targets.one(report)


@_face(Examination)
def _examination(examination: Examination) -> str:
    from bncheck.report import targets

    return targets.text(examination)


@_face(Check)
def _check(check: Check) -> str:
    from bncheck.report import targets

    return targets.check(check)


@_face(Report)
def _campaign(report: Report) -> str:
    from bncheck.report import text

    return text.verification(report)


@_face(Derivation)
def _derivation(derivation: Derivation) -> str:
    from bncheck.report import formulas

    return formulas.unicode(derivation)


def _latex(derivation: Derivation) -> str:
    from bncheck.report import formulas

    return formulas.latex(derivation)


setattr(Derivation, "_repr_latex_", _latex)  # noqa: B010


@_face(Proof)
def _proof(proof: Proof) -> str:
    from bncheck.report import formulas

    return formulas.outcome(proof)
