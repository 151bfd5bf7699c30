"""The JSON report keeps to its schema, whatever happened, and carries what is needed to see a failure again."""

import json
import os
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import bncheck
from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import correct
from bncheck.campaign.run import verify
from bncheck.case import Case, Vjp
from bncheck.layers import LAYERS
from bncheck.oracles.symbolic.proof import Proof
from bncheck.report import json as report_json
from bncheck.results import LayerReport, Report, Result, Tally
from bncheck.tolerances.verdicts import Verdict

BATCH_NORM = (LAYERS["batch_norm"],)
SCHEMA = json.loads((resources.files("bncheck.report") / "verify.schema.json").read_text(encoding="utf-8"))
ROOT = Path(bncheck.__file__).parent.parent


def raising(case: Case) -> Any:
    raise ValueError("no\nbackward\x00 here")


def not_numbers(case: Case) -> Any:
    return {name: np.full_like(value, np.nan) for name, value in correct(case).items()}


SUSPECTS: dict[str, dict[str, Vjp]] = {
    "correct": {"mine": correct},
    "wrong": {"mine": BUGS["mean-path-missing"].vjp},
    "crashed": {"mine": raising},
    "NaN": {"mine": not_numbers},
}


@pytest.fixture(scope="module")
def documents() -> dict[str, Any]:
    return {
        name: json.loads(
            report_json.verification(verify(BATCH_NORM, cases=8, seed=3, suspects=suspects, real_data=False))
        )
        for name, suspects in SUSPECTS.items()
    }


def test_schema_is_a_schema_that_describes_every_field() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    objects = [SCHEMA, *SCHEMA["$defs"].values(), SCHEMA["$defs"]["proof"]["properties"]["steps"]["items"]]
    for found in objects:
        for name, field in found.get("properties", {}).items():
            assert "description" in field or "$ref" in field, name
        if "properties" in found:
            assert found["additionalProperties"] is False
            assert sorted(found["required"]) == sorted(found["properties"])


@pytest.mark.parametrize("kind", SUSPECTS)
def test_report_keeps_to_the_schema(kind: str, documents: dict[str, Any]) -> None:
    jsonschema.validate(documents[kind], SCHEMA, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(extra=1),
        lambda d: d.pop("seed"),
        lambda d: d.update(verdict="fine"),
        lambda d: d["layers"][0].update(extra=1),
        lambda d: d["layers"][0]["proof"].update(sizes="4x4"),
        lambda d: d["layers"][0]["oracles"].pop("ball"),
        lambda d: d["layers"][0]["suspects"]["mine"].pop("worst_ulp"),
        lambda d: d["layers"][0]["oracles"]["graph"].update(cases=-1),
        lambda d: d["counterexample"].update(index=["0"]),
        lambda d: d["counterexample"]["arrays"].update(x="1"),
    ],
)
def test_schema_refuses_another_report(change: Any, documents: dict[str, Any]) -> None:
    broken = json.loads(json.dumps(documents["wrong"]))
    change(broken)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_passing_report(documents: dict[str, Any]) -> None:
    document = documents["correct"]
    (layer,) = document["layers"]
    assert document["bncheck"] == bncheck.__version__
    assert (document["seed"], document["verdict"], document["counterexample"]) == (3, "correct", None)
    assert (layer["layer"], layer["cases"], layer["proof"]["proved"]) == ("batch_norm", 8, True)
    assert set(layer["oracles"]) == {"ball", "symbolic", "graph", "finite_difference", "complex_step"}
    assert layer["suspects"]["mine"]["cases"] == 8
    assert 0 < layer["suspects"]["mine"]["worst_radius_fraction"] <= 1


def test_counterexample_can_be_built_again(documents: dict[str, Any]) -> None:
    found = documents["wrong"]["counterexample"]
    assert (found["subject"], found["gradient"], found["verdict"]) == ("mine", "dx", "wrong")
    assert found["error"] == pytest.approx(abs(found["got"] - found["expected"]))
    assert found["radius_fraction"] == pytest.approx(found["error"] / found["tolerance"])
    assert found["reproduce"] == f"python -m bncheck verify --layer batch_norm --case {found['case']}"
    layout = bncheck.Layout.parse(found["case"].partition("/")[0])
    arrays = {name: np.array(values) for name, values in found["arrays"].items()}
    case = Case(layout, arrays.pop("x"), arrays.pop("dy"), arrays, eps=float(found["case"].split("/")[3]))
    assert BUGS["mean-path-missing"].vjp(case)["dx"][tuple(found["index"])] == found["got"]


def test_crash_has_its_exception_and_no_figures(documents: dict[str, Any]) -> None:
    found = documents["crashed"]["counterexample"]
    assert documents["crashed"]["verdict"] == found["verdict"] == "crashed"
    assert found["detail"] == "ValueError: no\nbackward\x00 here"
    assert {found[name] for name in ("got", "expected", "error", "tolerance", "ulp")} == {None}


def test_not_a_number_is_written_by_its_name(documents: dict[str, Any]) -> None:
    assert documents["NaN"]["counterexample"]["got"] == "nan"


def test_known_findings_are_told_in_words() -> None:
    tallies = {"ball": Tally(Verdict.CORRECT, cases=3)}
    result = Result(3, tallies=tallies, known={("torch.nn.functional.rms_norm", "its backward underflows"): 2})
    layer = LayerReport("rms_norm", Proof("rms_norm", ()), {"n": "N"}, result, ())
    document = json.loads(report_json.verification(Report("0.1.0", 0, (layer,))))
    jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert document["layers"][0]["known"] == {"torch.nn.functional.rms_norm": {"its backward underflows": 2}}


def test_schema_is_in_the_wheel(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env={**os.environ, "PYTHONWARNINGS": ""})
    (wheel,) = tmp_path.glob("*.whl")
    assert "bncheck/report/verify.schema.json" in zipfile.ZipFile(wheel).namelist()
