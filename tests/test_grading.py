"""Grading a class: what people hand in is found, hostile archives are refused, and every file says the same."""

import csv
import io
import json
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bncheck.bugs.diagnose import Diagnosis
from bncheck.cli import run
from bncheck.errors import InvalidInput
from bncheck.examination import files
from bncheck.examination.files import Interrupted
from bncheck.grading import archives, grades
from bncheck.grading.alike import alike
from bncheck.grading.archives import Refused, unpacked
from bncheck.grading.grades import BrokenOff, Grade, Graded, Status, grade
from bncheck.grading.page import page
from bncheck.grading.submissions import Submission, submissions
from bncheck.grading.written import feedback, file_names, gradebook, results, table
from bncheck.results import Finding, TargetReport
from bncheck.tolerances.verdicts import Comparison, Verdict

RIGHT = (Path(__file__).parent / "targets" / "textbook.py").read_text(encoding="utf-8")
WRONG = """from more import mean
import numpy as np


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    mu, var = mean(x), x.var(axis=0)
    xhat = (x - mu) / np.sqrt(var + eps)
    return gamma * xhat + beta, (xhat, gamma, np.sqrt(var + eps))


def batchnorm_backward(dout, cache):
    xhat, gamma, std = cache
    dx = (dout - dout.mean(axis=0) - xhat * (dout * xhat).mean(axis=0)) / std
    return dx, (dout * xhat).sum(axis=0), dout.sum(axis=0)
"""
MORE = "def mean(x):\n    return x.mean(axis=0)\n"
HELD: dict[str, Any] = {"time_limit": 10.0, "memory_limit": 2 << 30}


def notebook(source: str) -> str:
    cells: list[Any] = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def zipped(**held: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in held.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return stream.getvalue()


def put(folder: Path, **held: str | bytes) -> Path:
    for name, content in held.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


CLASS: dict[str, str | bytes] = {
    "Ada Lovelace_12345_assignsubmission_file_/bn.py": RIGHT,
    "Ada Lovelace_12345_assignsubmission_file_/__MACOSX/._bn.py": "\0",
    "Ada Lovelace_12345_assignsubmission_file_/.ipynb_checkpoints/bn.py": "1 / 0\n",
    "Zoë/bn.py": "def batchnorm_forward(x, gamma, beta):\n    raise NotImplementedError\n"
    "\n\ndef batchnorm_backward(dy, cache):\n    pass\n",
    "crash.py": "import nosuchpackage\n",
    "damaged.ipynb": '{"cells": [',
    "smith_12_34_bn.py": WRONG,
    "smith_12_35_more.py": MORE,
    "twin.zip": zipped(**{"bn.ipynb": notebook(WRONG.replace("from more import mean", MORE))}),
}


@pytest.fixture(scope="module")
def graded_class(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class that was graded by the command; where its results lie."""
    place = tmp_path_factory.mktemp("class")
    put(place / "class", **CLASS)
    output = place / "grades"
    assert run(["grade", str(place / "class"), "--output", str(output), "--jobs", "2"]) == 3
    return output


def test_each_status_is_told_apart(graded_class: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((graded_class / "grades.csv").read_text(encoding="utf-8-sig"))))
    assert {row["submission"]: (row["status"], row["cause"]) for row in rows} == {
        "Ada Lovelace_12345_assignsubmission_file_": ("correct", ""),
        "Zoë": ("unfinished", ""),
        "crash.py": ("crashed", "raised"),
        "damaged.ipynb": ("refused", ""),
        "smith_12": ("wrong", ""),
        "twin.zip": ("wrong", ""),
    }
    by_label = {row["submission"]: row for row in rows}
    assert by_label["smith_12"]["bugs"] == by_label["twin.zip"]["bugs"] == "gamma-missing"
    assert by_label["smith_12"]["gradients_correct"] == "2"
    assert by_label["smith_12"]["targets"] == "bn.py:batchnorm_forward+batchnorm_backward"
    assert "no Jupyter notebook" in by_label["damaged.ipynb"]["feedback"]
    for row in rows:
        assert row["status"] in (graded_class / row["report"]).read_text(encoding="utf-8").splitlines()[0]
    told = json.loads((graded_class / "results.json").read_text(encoding="utf-8"))
    assert told["counts"] == {"correct": 1, "wrong": 2, "unfinished": 1, "crashed": 1, "refused": 1}
    [group] = told["alike"]
    assert group["submissions"] == ["smith_12", "twin.zip"]
    assert group["surprise_bits"] == pytest.approx(np.log2(3 / 2), abs=1e-6)
    assert str(graded_class) not in (graded_class / "feedback" / "smith_12.txt").read_text(encoding="utf-8")


def test_again_from_what_is_kept_in_one_job_the_same_bytes(
    graded_class: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [path for path in graded_class.rglob("*") if path.is_file() and path.parent.name != "kept"]
    before = {path: path.read_bytes() for path in made}
    asked: list[str] = []
    checked = files.check_target

    def counted(text: str, **given: Any) -> Any:
        asked.append(text)
        return checked(text, **given)

    monkeypatch.setattr(files, "check_target", counted)
    command = ["grade", str(graded_class.parent / "class"), "--output", str(graded_class), "--jobs", "1"]
    assert run(command) == 3
    assert [Path(text).name for text in asked] == ["crash.py"]  # what crashed is asked again
    assert {path: path.read_bytes() for path in made} == before
    out = capsys.readouterr().out
    assert "wrong         2 of 3" in out
    assert f"page: {graded_class / 'index.html'}" in out
    assert max(map(len, out.splitlines()[:-1])) <= 80


def test_a_zip_of_the_class_and_a_name_to_look_for(tmp_path: Path) -> None:
    whole = tmp_path / "class.zip"
    held = {f"class/{name}": content for name, content in CLASS.items() if "damaged" not in name}
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content)
        archive.writestr("../../outside.py", RIGHT)
    found = {one.label: one for one in submissions(whole, tmp_path / "unpacked", "batchnorm_backward")}
    assert [label for label in found if "outside" not in label and ".." not in label] == [
        "Ada Lovelace_12345_assignsubmission_file_", "Zoë", "crash.py", "smith_12", "twin.zip",
    ]  # fmt: skip
    assert "speaks of batchnorm_backward" in found["crash.py"].unread[0]
    assert any("leads out" in one.unread[0] for label, one in found.items() if "outside" in label)
    assert not list(tmp_path.rglob("outside.py"))
    smith = found["smith_12"]
    assert [path.name for path in smith.first] == ["bn.py"]  # more.py does not hold the name


def test_helpers_and_tests_wait_for_the_main_file(tmp_path: Path) -> None:
    put(
        tmp_path / "class",
        **{"a/main.py": WRONG, "a/more.py": MORE, "a/test_main.py": "from main import *\n", "a/data.csv": "1"},
        **{"b/readme.txt": "", "c/x.py": "def f(:\n"},
        **{f"d/{k}.py": "x = 1\n" for k in range(21)},
    )
    a, b, c, d = submissions(tmp_path / "class", tmp_path / "unpacked")
    assert [path.name for path in a.first] == ["main.py"]
    assert [path.name for path in a.others] == ["more.py", "test_main.py"]
    assert b.unread == ("it holds no Python file, notebook or ONNX file",)
    assert c.unread[0].startswith("x.py: syntax error in line 1")
    assert (d.first, d.unread) == ((), ("it holds 21 files of code, more than 20",))


def linked(name: str = "link.py") -> zipfile.ZipInfo:
    link = zipfile.ZipInfo(name)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return link


@pytest.mark.parametrize(
    ("member", "content", "reason"),
    [
        ("../bn.py", RIGHT, "leads out"),
        ("/etc/bn.py", RIGHT, "leads out"),
        ("C:/bn.py", RIGHT, "leads out"),
        ("a\\..\\..\\bn.py", RIGHT, "leads out"),
        (linked(), "/etc/passwd", "link"),
        ("bomb.py", "\0" * (20 << 20), "more than"),
        ("x" * 300 + ".py", RIGHT, "cannot be unpacked"),
        ("bn.py/bn.py", RIGHT, "cannot be unpacked"),
    ],
)
def test_a_hostile_zip_is_refused_and_leaves_nothing(
    tmp_path: Path, member: str | zipfile.ZipInfo, content: str, reason: str
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bn.py", RIGHT)
        archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    with pytest.raises(Refused, match=reason):
        unpacked(tmp_path / "a.zip", tmp_path / "in")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "in"]
    assert list((tmp_path / "in").iterdir()) == []
    assert not Path("/etc/bn.py").exists()


def test_damaged_encrypted_and_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = zipped(**{"bn.py": RIGHT * 9})
    damaged = bytearray(good)
    damaged[len(good) // 3] ^= 0xFF
    encrypted = bytearray(good)
    encrypted[6] |= 1
    encrypted[good.index(b"PK\x01\x02") + 8] |= 1
    put(tmp_path, **{"damaged.zip": bytes(damaged), "encrypted.zip": bytes(encrypted), "short.zip": good[:-30]})
    for name in ("damaged", "encrypted", "short"):
        with pytest.raises(Refused, match=f"the zip is {'encrypted' if name == 'encrypted' else 'damaged'}"):
            unpacked(tmp_path / f"{name}.zip", tmp_path / "in")
    monkeypatch.setattr(archives, "MOST_FILES", 1)
    put(tmp_path, **{"many.zip": zipped(a="1", b="2")})
    with pytest.raises(Refused, match="2 files"):
        unpacked(tmp_path / "many.zip", tmp_path / "in")


def test_one_bad_entry_is_not_the_end_of_a_class(tmp_path: Path) -> None:
    inner = zipped(**{"../bn.py": RIGHT})
    put(tmp_path, **{"class.zip": zipped(**{"a/bn.py": RIGHT, "a/../../b.py": RIGHT, "good/bn.py": RIGHT})})
    assert [one.label for one in submissions(tmp_path / "class.zip", tmp_path / "in") if one.first] == ["a", "good"]
    handed_in: dict[str, str | bytes] = {"bad.zip": inner, "good.py": RIGHT, "broken.zip": "no zip"}
    put(tmp_path / "folder", **handed_in)
    (tmp_path / "folder" / "link.py").symlink_to("good.py")
    found = {one.label: one for one in submissions(tmp_path / "folder", tmp_path / "in")}
    assert [label for label, one in found.items() if one.first] == ["good.py"]
    assert found["link.py"].unread == ("link.py is a link",)
    nested = inner
    for _ in range(12):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("inner.zip", nested)
        nested = stream.getvalue()
    put(tmp_path / "deep", **{"deep.zip": nested})
    [deep] = submissions(tmp_path / "deep", tmp_path / "in")
    assert "more than 8 zips" in deep.unread[-1]


COMPARISON = Comparison(Verdict.WRONG, (0, 1), 1.5, 2.0, 0.5, 1e-9, 0.25, 1.0, 9.0)


def report(*bugs: str, got: float = 1.5, **changes: Any) -> TargetReport:
    comparison = replace(COMPARISON, got=got)
    finding = Finding(Verdict.WRONG, Verdict.WRONG, Verdict.WRONG, comparison, "case", "float64", "NC:N:C")
    named = tuple(Diagnosis(bug, "dx", 0.0, f"{bug} it is", "", "", "Mend it.") for bug in bugs)
    made = TargetReport("bn.py:f", "batch_norm", "a pair", Verdict.WRONG, {"dx": finding}, named)
    return replace(made, **changes)


def class_of(*labels: str, told: TargetReport | None = None) -> Graded:
    reports = () if told is None else (told,)
    status = Status.REFUSED if told is None else Status.WRONG
    unread = ("no zip",) if told is None else ()
    return Graded(tuple(Grade(label, status, reports, unread) for label in labels), (), 0, "grade")


def test_what_is_rare_says_more_than_what_is_common() -> None:
    common = {k: [report("eps-missing", got=float(k))] for k in range(240)}
    rare = {k: [report("zero", "gamma-missing", "eps-missing", got=0.1)] for k in (300, 301)}
    right = TargetReport("a", "batch_norm", "", Verdict.CORRECT, {})
    groups = alike({**common, **rare, **{k: [right] for k in range(302, 362)}})
    assert (groups[0].members, groups[0].same_numbers) == ((300, 301), True)
    assert groups[0].bits == pytest.approx(2 * np.log2(302 / 2) + np.log2(302 / 242))
    assert groups[-1].findings == (("eps-missing", "dx"),)
    assert groups[-1].bits == pytest.approx(np.log2(302 / 242))
    assert len(groups[-1].members) == 242
    assert alike({0: [right], 1: [right]}) == ()
    [other] = alike({0: [report("zero", got=0.1)], 1: [report("zero", got=np.nextafter(0.1, 1))]})
    assert (other.same_numbers, other.bits) == (False, 0)
    several = {k: [report("zero", got=0.1 if k < 2 else float(k))] for k in range(8)}
    assert [(g.bits, g.same_numbers) for g in alike(several)] == [(2.0, True), (0.0, False)]


def test_a_spreadsheet_takes_no_name_for_a_formula() -> None:
    text = gradebook(class_of("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", told=report("zero")))
    assert text.startswith("\ufeff")
    for row in list(csv.reader(io.StringIO(text[1:])))[1:]:
        assert row[0].startswith("'")
        assert not any(cell.lstrip().startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


def test_names_of_files_are_safe_and_told_apart() -> None:
    labels = ["Ada", "ada", "Ada", "a/b", "..", "CON", "nul.txt", "李" * 200, "李" * 199, "\udcff.py", "x\n"]
    names = file_names(class_of(*labels))
    assert len({name.casefold() for name in names}) == len(labels)
    assert names[:3] == ["feedback/Ada.txt", "feedback/ada-2.txt", "feedback/Ada-3.txt"]
    for name in names:
        assert len(name.encode()) < 120
        assert name.count("/") == 1
        assert Path(name).name not in ("CON.txt", "..txt", "nul.txt.txt")
    json.loads(results(class_of(*labels)))
    page(class_of(*labels)).encode()
    table(class_of(*labels), "x").encode()


def test_nothing_hostile_becomes_part_of_the_page() -> None:
    evil = "<script>alert(1)</script>\"'&\x1b[31m\u202e</pre>"
    graded = class_of(evil, told=report(evil, detail=evil, target=evil))
    for text in (page(graded), page(class_of(evil))):
        assert "<script>alert" not in text
        assert text.count("<script>") == text.count("</script>") == 1
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "\x1b" not in feedback(graded, graded.grades[0])
    assert "\u202e" not in gradebook(graded)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuch"], "submissions="),
        (["empty"], "at least one submission"),
        (["bn.py"], "a folder, or a .zip"),
        (["broken.zip"], "a zip that can be read"),
        (["class", "--output", "class"], "output="),
        (["class", "--layer", "nosuch"], "layer=nosuch"),
        (["class", "--time-limit", "0"], "time-limit="),
        (["class", "--jobs", "0"], "jobs=0"),
        (["class", "--fresh", "--resume", "x"], "resume=x"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(put(tmp_path, **{"class/a.py": RIGHT, "bn.py": RIGHT, "broken.zip": "no"}))
    (tmp_path / "empty").mkdir()
    assert run(["grade", *arguments]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


def test_crashes_say_how_and_alone_with_nothing_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "class", **{"none.py": "x = 1\n"})
    [one] = submissions(tmp_path / "class", tmp_path / "in")
    [refused] = grade([one], **HELD).grades
    assert (refused.status, refused.feedback) == ("refused", "none.py: nothing in it is a layer")
    details = {
        "bn.py gave no answer within 3 s.": "time",
        "bn.py ran out of memory (line 1).": "memory",
        "bn.py raised ValueError: x.": "raised",
        "bn.py ended its process with exit status 3 in the middle of a call.": "exited",
        "bn.py called sys.exit(1) (line 1).": "exited",
        "bn.py was killed by SIGKILL.": "died",
    }
    for detail, cause in details.items():
        crashed = report(verdict=Verdict.CRASHED, detail=detail)
        assert Grade("a", Status.CRASHED, (crashed,)).cause == cause


def test_interrupted_it_keeps_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    class_ = [Submission(k, (Path(f"{k}.py"),), (), {Path(f"{k}.py"): "bn.py"}) for k in "abc"]

    def interrupted(targets: list[str], **_: Any) -> Any:
        detail = "It was not come to: interrupted."
        waiting = [TargetReport(target, "", "", Verdict.INCONCLUSIVE, detail=detail) for target in targets[1:]]
        raise Interrupted([report("zero", target="a.py:f+b"), *waiting]) from KeyboardInterrupt()

    monkeypatch.setattr(grades, "examined", interrupted)
    with pytest.raises(BrokenOff) as broken_off:
        grade(class_, **HELD)
    graded = broken_off.value.graded
    assert [one.status.value for one in graded.grades] == ["wrong", "waiting", "waiting"]
    assert graded.grades[0].reports[0].target == "bn.py:f+b"
    assert "2 were not come to" in page(graded)


def test_an_option_that_is_none_is_refused_before_anything_runs() -> None:
    with pytest.raises(InvalidInput, match="dtype=int8"):
        grade([], dtypes=("int8",), **HELD)


@pytest.fixture
def shown(browser: Any, graded_class: Path) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark")
    place, amiss = context.new_page(), list[str]()
    place.on("console", lambda message: amiss.append(message.text))
    place.on("pageerror", lambda error: amiss.append(str(error)))
    place.on("request", lambda request: amiss.append(request.url))
    place.goto((graded_class / "index.html").as_uri())
    yield place
    context.close()
    assert [told for told in amiss if not told.startswith(("file:", "data:"))] == []


def test_the_page_sorts_filters_and_opens(shown: Any) -> None:
    labels = "[...document.querySelectorAll('#grades tbody tr:not([hidden])')].map(row => row.cells[0].textContent)"
    shown.get_by_role("button", name="Gradients").click()
    assert shown.evaluate(labels)[-1].startswith("Ada")
    assert shown.locator("th[aria-sort=ascending]").inner_text().startswith("Gradients")
    shown.get_by_role("button", name="wrong 2").focus()
    shown.keyboard.press("Enter")
    assert sorted(shown.evaluate(labels)) == ["smith_12", "twin.zip"]
    assert shown.locator("#shown").inner_text() == "2 of 6 shown"
    shown.locator("#search").fill("twin")
    assert shown.evaluate(labels) == ["twin.zip"]
    shown.locator("#grades tbody a:visible").click()
    assert shown.locator("details[open] summary").inner_text() == "twin.zip: wrong"


@pytest.mark.parametrize("width", [390, 1280])
def test_axe_has_nothing_to_say(shown: Any, width: int) -> None:
    axe = Path(pytest.importorskip("axe_playwright_python").__file__).with_name("axe.min.js")
    shown.set_viewport_size({"width": width, "height": 800})
    shown.locator("#grades tbody a").first.click()
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    shown.evaluate(axe.read_text(encoding="utf-8"))
    violations = "axe.run().then(({violations}) => violations.map(v => [v.id, v.nodes.map(n => n.html.slice(0, 99))]))"
    assert shown.evaluate(violations) == []
    shown.evaluate("document.querySelector('#search').parentElement.replaceWith(document.querySelector('#search'))")
    assert [v[0] for v in shown.evaluate(violations)] == ["label"]
