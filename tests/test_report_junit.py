"""The JUnit report: well-formed XML whose counts and messages a CI server can show."""

from typing import Any
from xml.etree import ElementTree

import pytest

from bncheck.bugs.catalogue import BUGS
from bncheck.campaign.run import verify
from bncheck.case import Case
from bncheck.layers import LAYERS
from bncheck.oracles.symbolic.proof import Proof, ProofStep
from bncheck.outcomes import Outcome
from bncheck.report import junit
from bncheck.results import LayerReport, Report, Result, Tally
from bncheck.tolerances.verdicts import Verdict


def raising(case: Case) -> Any:
    raise ValueError("no <backward>\x00 & no forward")


@pytest.fixture(scope="module")
def suite() -> ElementTree.Element:
    suspects = {"wrong one": BUGS["zero"].vjp, "raising": raising}
    report = verify((LAYERS["batch_norm"],), cases=4, suspects=suspects, real_data=False)
    root = ElementTree.fromstring(junit.verification(report))
    assert root.tag == "testsuites"
    (found,) = root
    return found


def test_counts_are_those_of_the_cases(suite: ElementTree.Element) -> None:
    cases = suite.findall("testcase")
    assert int(suite.get("tests", "")) == len(cases)
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("1", "1", "0")
    assert {case.get("name") for case in cases} >= {"proof", "ball", "symbolic", "graph", "wrong one", "raising"}
    assert {case.get("classname") for case in cases} == {"batch_norm"}


def test_failure_says_what_and_how_to_see_it_again(suite: ElementTree.Element) -> None:
    (failure,) = suite.findall("testcase[@name='wrong one']/failure")
    assert failure.get("message", "").startswith("dx is wrong: dx[")
    assert " is 0.0, expected " in failure.get("message", "")
    assert (failure.text or "").startswith("python -m bncheck verify --layer batch_norm --case NC:N:C/")


def test_crash_is_an_error_that_xml_can_hold(suite: ElementTree.Element) -> None:
    (error,) = suite.findall("testcase[@name='raising']/error")
    assert error.get("message") == "crashed: ValueError: no <backward>� & no forward"


def test_failed_proof_and_inconclusive_cases() -> None:
    proof = Proof("batch_norm", (ProofStep("dvar", "chain rule = derivative", Outcome.REFUTED),))
    tallies = {"graph": Tally(Verdict.VACUOUS, cases=1)}
    layer = LayerReport("batch_norm", proof, {"i": "N"}, Result(1, 1, 0, tallies), ())
    (suite,) = ElementTree.fromstring(junit.verification(Report("0.1.0", 0, (layer,))))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("2", "1", "1")
    message = suite.findall("testcase[@name='proof']/failure")[0].get("message")
    assert message == "chain rule = derivative fails for dvar"
