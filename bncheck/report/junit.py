"""Reports for continuous integration, in JUnit's XML."""

from __future__ import annotations

from xml.etree import ElementTree

from bncheck.report.text import reproduce
from bncheck.verify import LayerReport, Report


def verification(report: Report) -> str:
    """One test suite for each layer; one test case for its proof and for each oracle and suspect."""
    root = ElementTree.Element("testsuites", name="bncheck verify")
    for layer in report.layers:
        root.append(_suite(layer))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(report: LayerReport) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=report.layer)
    failures = 0
    proof = ElementTree.SubElement(suite, "testcase", classname=report.layer, name="proof")
    if report.proof.failure is not None:
        failures += 1
        message = f"{report.proof.failure.claim} fails for {report.proof.failure.gradient}"
        ElementTree.SubElement(proof, "failure", message=message)
    for name, tally in report.result.tallies.items():
        case = ElementTree.SubElement(suite, "testcase", classname=report.layer, name=name)
        if tally.verdict.failed:
            failures += 1
            failure = ElementTree.SubElement(case, "failure", message=tally.verdict.value)
            failure.text = "\n".join(reproduce(f) for f in report.result.failures if f.subject == name)
        elif tally.verdict.value != "correct":
            ElementTree.SubElement(case, "skipped", message=tally.verdict.value)
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    return suite
