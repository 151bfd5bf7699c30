"""Divided work: the parts, in any order, make the report of the whole; what is amiss with one is told in a line."""

import copy
import dataclasses
import hashlib
import itertools
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_executors import SOURCES, zeros

from bncheck import Verdict, check, verify
from bncheck.cli import run
from bncheck.parts import Part, shard_of
from bncheck.results import LayerReport, Result, Tally
from bncheck.stored import Unreadable, dumped, loaded

CAMPAIGN = ["verify", "--layer", "rms_norm", "--quick", "--cases", "210", "--jobs", "1", "--seed", "3"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files to check, a file for each part of both commands in 1, 2, 3 and 7, and the wholes."""
    folder = tmp_path_factory.mktemp("divided")
    for name, source in SOURCES.items():
        (folder / name).write_text(source, encoding="utf-8")
    for command, arguments in {"verify": CAMPAIGN, "check": ["check", f"{folder}/*.py"]}.items():
        for form in ("text", "json", "junit"):
            run([*arguments, "--format", form, "--output", str(folder / f"{command}.{form}")])
        kept = ["--resume", str(folder / "kept")] if command == "check" else []
        for n in (1, 2, 3, 7):
            for k in range(1, n + 1):
                place = str(folder / f"{command}-{k}-{n}.part")
                assert run([*arguments, *kept, "--shard", f"{k}/{n}", "--output", place]) == 0
    return folder


@pytest.mark.parametrize("command", ["verify", "check"])
@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_the_parts_make_the_whole_in_any_order(command: str, n: int, work: Path) -> None:
    parts = [str(work / f"{command}-{k}-{n}.part") for k in range(1, n + 1)]
    for order in itertools.islice(itertools.permutations(parts), 3):
        for form in ("text", "json", "junit"):
            out = work / "merged"
            assert run(["merge", *order, "--format", form, "--output", str(out)]) == (0 if command == "verify" else 3)
            assert out.read_bytes() == (work / f"{command}.{form}").read_bytes()


def refusal(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    assert run([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    return said.err


def test_a_part_that_is_missing_doubled_or_foreign_is_told(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, three = (work / f"verify-{k}-3.part" for k in (1, 2, 3))
    assert "part=2/3, expected all 3 parts" in refusal(capsys, "merge", one, three)
    (work / "copy.part").write_bytes(one.read_bytes())
    assert "expected each part once" in refusal(capsys, "merge", one, two, three, work / "copy.part")
    assert "it is one of 7, not of 3" in refusal(capsys, "merge", one, work / "verify-2-7.part", three)
    assert "it is of check, not of verify" in refusal(capsys, "merge", one, work / "check-2-3.part", three)
    other = work / "other.part"
    run([*CAMPAIGN[:-1], "4", "--shard", "2/3", "--output", str(other)])
    assert "seed is another: 4, not 3" in refusal(capsys, "merge", one, other, three)


def test_a_file_that_has_changed_between_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in (1, 2):
        (tmp_path / "mine.py").write_text(f"{SOURCES['nothing.py']}\n# {k}\n", encoding="utf-8")
        (tmp_path / "b.py").write_text(SOURCES["raises.py"], encoding="utf-8")
        run(["check", str(tmp_path / "*.py"), "--shard", f"{k}/2", "--output", str(tmp_path / f"{k}.part")])
    assert "mine.py: code is another" in refusal(capsys, "merge", tmp_path / "1.part", tmp_path / "2.part")


def resealed(text: str, change: Any = lambda content: content) -> str:
    """A part that was tampered with by someone who knows how."""
    file = json.loads(text)
    file["content"] = change(file["content"])
    body = json.dumps(file["content"], separators=(",", ":"))
    return json.dumps({**file, "sha256": hashlib.sha256(body.encode()).hexdigest()})


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: "[" * 100_000,
        lambda text: text.replace('"cases":1', '"cases":2'),
        lambda text: resealed(text.replace('"$":"Proof"', '"$":"Popen"')),
        lambda text: resealed(text.replace('"layer":"rms_norm"', '"layer":7')),
        lambda text: resealed(text, lambda content: [2, *content[1:]]),
        lambda text: resealed(text, lambda content: content[:-1]),
        lambda text: resealed(text, lambda content: [*content[:-1], {"$": "mapping", "value": [[0, "y"]]}]),
    ],
)
def test_a_part_that_is_damaged_is_told(damage: Any, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (work / "verify-1-3.part").read_text(encoding="utf-8")
    damaged = work / "damaged.part"
    damaged.write_text(resealed(whole), encoding="utf-8")
    assert "expected all 3 parts" in refusal(capsys, "merge", damaged)
    damaged.write_text(damage(whole), encoding="utf-8")
    assert damaged.read_text(encoding="utf-8") != whole
    assert "it is damaged" in refusal(capsys, "merge", damaged)


def test_a_file_that_is_none_of_ours_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert "it is no text" in refusal(capsys, "merge", tmp_path / "binary")
    assert "No such file" in refusal(capsys, "merge", tmp_path / "nowhere")


def test_whatever_stands_in_a_part_there_is_a_report_or_one_line(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(0)
    for command in ("verify", "check"):
        whole = json.loads((work / f"{command}-1-1.part").read_text(encoding="utf-8"))
        for k in range(24):
            place = work / "hostile.part"
            place.write_text(resealed(json.dumps(hostile(whole, rng))), encoding="utf-8")
            form = ("text", "json", "junit")[k % 3]
            status = run(["merge", str(place), "--format", form])
            told = capsys.readouterr()
            assert status != 2 or (told.out == "" and len(told.err.splitlines()) == 1), told.err


def hostile(whole: Any, rng: random.Random) -> Any:
    """A file with one value somewhere in it replaced."""
    whole = copy.deepcopy(whole)
    place = whole["content"]
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = rng.choice(keys)
        if not place[key] or not isinstance(place[key], dict | list) or rng.random() < 0.05:
            place[key] = rng.choice([None, -1, 1e308, "\x1b[31m", [], {}, True, {"$": "float", "value": "nan"}])
            return whole
        place = place[key]


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "-1/3", "1/0", "a/b", "1/3/5", "²/3", "1/999999999"])
def test_a_shard_that_is_none_is_told(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected K/N, part K of N" in refusal(capsys, *CAMPAIGN, f"--shard={text}")


def test_a_part_has_no_form_and_no_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shard_of("1/1") == (1, 1)
    assert "bncheck merge takes it" in refusal(capsys, *CAMPAIGN, "--shard", "1/2", "--format", "json")
    (tmp_path / "mine.py").write_text(SOURCES["wrong.py"], encoding="utf-8")
    beside = ["check", tmp_path / "mine.py", "--figure", tmp_path / "drawn"]
    assert "none beside --shard" in refusal(capsys, *beside, "--shard", "1/1")
    assert "none beside --resume" in refusal(capsys, *beside, "--resume", tmp_path / "kept")


def test_results_of_every_kind_come_back_as_they_were(work: Path) -> None:
    report = verify("rms_norm", cases=3, suspects={"zeros": zeros})
    for value in (*report.layers[0].proof.steps, *report.layers[0].theorems, *check(str(work / "wrong.py")).reports):
        assert loaded(dumped(value)) == value
    result = report.layers[0].result
    again = loaded(dumped(result))
    for field in dataclasses.fields(Result):
        if field.name != "failures":
            assert getattr(again, field.name) == getattr(result, field.name)
    for mine, theirs in zip(result.failures, again.failures, strict=True):
        assert mine.comparison == theirs.comparison
        for name, array in mine.arrays.items():
            assert theirs.arrays[name].dtype == np.asarray(array).dtype
            assert theirs.arrays[name].tobytes() == np.asarray(array).tobytes()
    assert result.failures
    assert loaded(dumped((math.inf, -0.0, 5e-324, {"$": 1}, [], None, True, np.float32(0.1)))) == (
        *(math.inf, 0.0, 5e-324, {"$": 1}, [], None, True),
        float(np.float32(0.1)),
    )
    assert math.isnan(loaded(dumped(math.nan)))
    assert math.copysign(1, loaded(dumped(-0.0))) == -1
    assert loaded(dumped("δ\ud800\x00")) == "δ\ud800\x00"


def test_what_is_not_of_its_declared_type_is_refused() -> None:
    good = dumped(Tally(Verdict.WRONG, 1.0, 2.0, 3.0, 4))
    assert loaded(good) == loaded(resealed(good)) == Tally(Verdict.WRONG, 1.0, 2.0, 3.0, 4)
    for old, new in {'"cases":4': '"cases":4.5', '"wrong"': '"broken"', '"worst_ulp":1.0': '"worst_ulp":null'}.items():
        with pytest.raises(Unreadable):
            loaded(resealed(good.replace(old, new)))
    with pytest.raises(Unreadable, match="another than was written"):
        loaded(good.replace('"worst_ulp":1.0', '"worst_ulp":1.5'))
    with pytest.raises(Unreadable):
        loaded(resealed('{"content":{"$":"TargetReport","target":"mine.py"}}'))
    for value in (object(), np.zeros(2, complex), {1, 2}):
        with pytest.raises(TypeError, match="expected one of"):
            dumped(value)


def test_results_without_the_report_of_their_layer_make_no_report(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = Part.read(work / "verify-1-3.part")
    assert isinstance(part.results[0][1], LayerReport)
    for places, units in ((range(4), 4), (range(4), 5), (range(1, 5), 4)):
        results = {k: (0, Result()) for k in places}
        hollow = dataclasses.replace(part, shard=(1, 1), units=units, results=results)
        (work / "hollow.part").write_text(hollow.written(), encoding="utf-8")
        assert "expected parts that together are one whole" in refusal(capsys, "merge", work / "hollow.part")
