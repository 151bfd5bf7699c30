"""Reports for programs; `verify.schema.json` beside this file says what they hold."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np

from bncheck.bugs.diagnose import Diagnosis
from bncheck.report.text import reproduce
from bncheck.results import (
    Counterexample,
    Examination,
    Finding,
    LayerReport,
    Report,
    Statement,
    Tally,
    TargetReport,
)
from bncheck.tolerances.verdicts import Verdict


def verification(report: Report) -> str:
    """The report of a campaign; the same campaign gives the same bytes."""
    found = report.counterexample
    document = {
        "bncheck": report.version,
        "seed": report.seed,
        "verdict": report.verdict.value,
        "layers": [_layer(layer) for layer in report.layers],
        "counterexample": None if found is None else _counterexample(found),
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _layer(report: LayerReport) -> dict[str, Any]:
    tallies = {name: _tally(tally) for name, tally in report.result.tallies.items()}
    proof, found = report.proof, dict[str, dict[str, int]]()
    for (name, words), count in report.result.known.items():
        found.setdefault(name, {})[words] = count
    return {
        "layer": report.layer,
        "proof": {
            "proved": proof.proved,
            "outcome": proof.outcome.value,
            "sizes": "symbolic",
            "steps": [{**asdict(step), "holds": step.holds} for step in proof.steps],
            "failure": None if proof.failure is None else f"{proof.failure.gradient}: {proof.failure.claim}",
        },
        "cases": report.result.cases,
        "vacuous": report.result.vacuous,
        "inconclusive": report.result.inconclusive,
        "oracles": {name: tally for name, tally in tallies.items() if name not in report.suspects},
        "suspects": {name: tally for name, tally in tallies.items() if name in report.suspects},
        "theorems": {theorem.name: _theorem(theorem, report) for theorem in report.theorems},
        "mutants": dict(report.result.revealed),
        "asymmetric": dict(report.asymmetric),
        "forward_only": list(report.forward_only),
        "known": found,
    }


def _theorem(theorem: Statement, report: LayerReport) -> dict[str, Any]:
    found = report.result.theorems.get(theorem.name, Tally())
    return {
        "statement": theorem.statement,
        "proved": theorem.proved,
        "outcome": theorem.outcome.value,
        "refuted": theorem.name in report.refuted,
        "cases": found.cases,
        "worst_radius_fraction": found.worst_radius_fraction,
    }


def _tally(tally: Tally) -> dict[str, Any]:
    return {**asdict(tally), "verdict": tally.verdict.value}


def _counterexample(found: Counterexample) -> dict[str, Any]:
    comparison = asdict(found.comparison)
    figures = ("got", "expected", "error", "tolerance", "relative_error", "ulp", "radius_fraction")
    return {
        "layer": found.layer,
        "subject": found.subject,
        "gradient": found.gradient,
        "case": found.case,
        "verdict": found.comparison.verdict.value,
        "index": list(found.comparison.index),
        **{name: None if found.detail else _number(comparison[name]) for name in figures},
        "detail": found.detail,
        "arrays": {name: np.asarray(array).tolist() for name, array in found.arrays.items()},
        "reproduce": reproduce(found),
    }


def examination(found: Examination) -> str:
    """The reports on targets; the same targets give the same bytes."""
    document = {
        "bncheck": found.version,
        "seed": found.seed,
        "verdict": found.verdict.value,
        "targets": [_target(report) for report in found.reports],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _target(report: TargetReport) -> dict[str, Any]:
    return {
        "target": report.target,
        "layer": report.layer,
        "recognised_as": report.recognised_as,
        "verdict": report.verdict.value,
        "consistent": _said(report.consistent),
        "conforms": _said(report.conforms),
        "detail": report.detail,
        "asked": {heading: list(what) for heading, what in report.asked.items()},
        "not_asked": dict(report.not_asked),
        "gradients": {name: _finding(finding) for name, finding in report.gradients.items()},
        "diagnosis": [_diagnosis(bug) for bug in report.diagnosis],
        "observations": dict(report.observations),
        "reproduce": report.reproduce,
        **({"figures": list(report.figures)} if report.figures else {}),
    }


def _diagnosis(bug: Diagnosis) -> dict[str, Any]:
    """A diagnosis in words and formulas; the program that reproduces it stays here."""
    names = ("id", "gradient", "explanation", "formula_got", "formula_expected", "fix", "where", "explains")
    return {**{name: getattr(bug, name) for name in names}, "residual": _number(bug.residual)}


def _finding(finding: Finding) -> dict[str, Any]:
    worst = asdict(finding.worst)
    figures = ("got", "expected", "relative_error", "ulp", "tolerance")
    shapes = dict(zip(("shape", "expected_shape"), map(list, finding.worst.shapes or ()), strict=False))
    return {
        "verdict": finding.verdict.value,
        "conforms": _said(finding.conforms),
        "consistent": _said(finding.consistent),
        "case": {"name": finding.case, "dtype": finding.dtype, "layout": finding.layout},
        "worst": {"index": list(finding.worst.index), **{name: _number(worst[name]) for name in figures}, **shapes},
    }


def _said(verdict: Verdict | None) -> str | None:
    return None if verdict is None else verdict.value


def _number(value: float) -> float | str:
    """A float that JSON can hold: what is not finite becomes its name."""
    return value if math.isfinite(value) else str(value)
