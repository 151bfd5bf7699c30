"""Reports for continuous integration, in JUnit's XML."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from bncheck.outcomes import Outcome
from bncheck.report import targets
from bncheck.report.text import misshapen, reproduce
from bncheck.results import Counterexample, Examination, LayerReport, Report
from bncheck.tolerances.verdicts import Verdict


def verification(report: Report) -> str:
    """One test suite for each layer; one test case for its proof, each theorem, oracle and suspect."""
    root = ElementTree.Element("testsuites", name="bncheck verify")
    for layer in report.layers:
        root.append(_suite(layer))
    return _written(root)


def examination(found: Examination) -> str:
    """One test case for each target; the text of a failure is its report."""
    root = ElementTree.Element("testsuites", name="bncheck check")
    suite = ElementTree.SubElement(root, "testsuite", name="targets")
    for report in found.reports:
        case = ElementTree.SubElement(suite, "testcase", classname=report.layer or "target", name=_xml(report.target))
        if report.verdict is not Verdict.CORRECT:
            kind = _KINDS.get(report.verdict, "failure")
            element = ElementTree.SubElement(case, kind, message=_xml(f"{report.verdict}: {targets.finding(report)}"))
            element.text = _xml(targets.one(report))
    _count(suite)
    return _written(root)


_KINDS = {Verdict.CRASHED: "error", Verdict.VACUOUS: "skipped", Verdict.INCONCLUSIVE: "skipped"}
"""What becomes of a verdict that is not correct; the others, incomplete among them, are failures."""


def _written(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _count(suite: ElementTree.Element) -> None:
    suite.set("tests", str(len(suite)))
    for plural, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(plural, str(len(suite.findall(f"testcase/{kind}"))))


def _suite(report: LayerReport) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=report.layer)
    proof = ElementTree.SubElement(suite, "testcase", classname=report.layer, name="proof")
    if report.proof.failure is not None:
        kind = "failure" if report.proof.outcome is Outcome.REFUTED else "skipped"
        ElementTree.SubElement(proof, kind, message=report.proof.failure.words)
    for theorem in report.theorems:
        case = ElementTree.SubElement(suite, "testcase", classname=report.layer, name=f"theorem {theorem.name}")
        if theorem.name in report.refuted:
            ElementTree.SubElement(case, "failure", message=f"the numbers contradict {theorem.statement}")
        elif not theorem.proved:
            words = "does not hold" if theorem.outcome is Outcome.REFUTED else theorem.outcome
            ElementTree.SubElement(case, "skipped", message=f"{words}: {theorem.statement}")
    for name, tally in report.result.tallies.items():
        case = ElementTree.SubElement(suite, "testcase", classname=report.layer, name=_xml(name))
        found = next((failure for failure in report.result.failures if failure.subject == name), None)
        if tally.verdict.failed:
            kind = "error" if tally.verdict is Verdict.CRASHED else "failure"
            element = ElementTree.SubElement(case, kind, message=_message(tally.verdict, found))
            element.text = None if found is None else _xml(reproduce(found))
        elif tally.verdict is not Verdict.CORRECT:
            ElementTree.SubElement(case, "skipped", message=tally.verdict.value)
    _count(suite)
    return suite


def _message(verdict: Verdict, found: Counterexample | None) -> str:
    if found is None:
        return verdict.value
    if found.detail:
        return _xml(f"{verdict}: {found.detail}")
    comparison = found.comparison
    if comparison.shapes:
        return f"{found.gradient} is {comparison.verdict}: its shape is {misshapen(comparison.shapes)}"
    element = f"{found.gradient}[{', '.join(map(str, comparison.index))}]"
    return (
        f"{found.gradient} is {comparison.verdict}: {element} is {comparison.got!r}, expected {comparison.expected!r}"
        f" within {comparison.tolerance:.3g}"
    )


def _xml(text: str) -> str:
    """The text without the control characters that XML cannot hold."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "�", text)
