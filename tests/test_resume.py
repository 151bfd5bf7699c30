"""`check --resume`: what has been examined is not examined again, and the report is the same."""

import dataclasses
import os
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from commands import interruptible
from test_readme import RIGHT

from bncheck.cli import run
from bncheck.examination.files import check_target
from bncheck.examination.kept import Kept
from bncheck.results import TargetReport
from bncheck.targets.content import content
from bncheck.tolerances.verdicts import Verdict

TOLD = "\nimport os\nwith open(os.environ['SEEN'], 'a') as seen:\n    seen.write(__file__ + '\\n')\n"

THROUGH = """
import helper
def forward(x, gamma, beta, eps=1e-5):
    return helper.forward(x, gamma, beta, eps)
def backward(dy, cache):
    return helper.backward(dy, cache)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of submissions, each of which notes that it was loaded."""
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    monkeypatch.chdir(tmp_path)
    for name in ("ada", "emil", "noor"):
        (tmp_path / f"{name}.py").write_text(RIGHT + TOLD, encoding="utf-8")
    return tmp_path


def seen(folder: Path) -> set[str]:
    """Whose files were loaded since the last time."""
    place = folder / "seen"
    names = {Path(line).stem for line in place.read_text().splitlines()} if place.exists() else set()
    place.unlink(missing_ok=True)
    return names


def checked(*options: Any, status: int = 0) -> bytes:
    command = ["check", "*.py", "--resume", "kept", "--format", "json", "--output", "out"]
    assert run([*command, *map(str, options)]) == status
    return Path("out").read_bytes()


def test_what_is_done_is_not_done_again_and_nothing_else_is_taken_from_there(folder: Path) -> None:
    fresh = checked()
    assert seen(folder) == {"ada", "emil", "noor"}
    assert checked() == fresh
    assert seen(folder) == set()
    (folder / "emil.py").write_text(RIGHT + TOLD + "# another line\n", encoding="utf-8")
    checked()
    assert seen(folder) == {"emil"}
    checked("--seed", 1)
    assert seen(folder) == {"ada", "emil", "noor"}
    checked("--dtype", "float32")
    assert seen(folder) == {"ada", "emil", "noor"}


def test_a_file_beside_it_that_it_imports_counts(folder: Path) -> None:
    (folder / "ada.py").write_text(THROUGH + TOLD, encoding="utf-8")
    (folder / "helper.py").write_text(RIGHT, encoding="utf-8")
    files = ["check", "ada.py", "noor.py", "--resume", "kept"]
    assert run(files) == 0
    assert seen(folder) == {"ada", "noor"}
    (folder / "helper.py").write_text(RIGHT.replace("dxhat.mean(0) - ", ""), encoding="utf-8")
    assert run(files) == 1
    assert seen(folder) == {"ada"}


@pytest.mark.parametrize("folder_of", ["beside", "current"])
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("weights.npy", "weights = open(os.path.join('FOLDER', 'weights.npy'), 'rb').read()"),
        ("extra.py", "import importlib, sys; importlib.import_module('extra')"),
        ("extra.py", "import extra"),
    ],
)
def test_what_it_names_counts(name: str, line: str, folder_of: str, folder: Path) -> None:
    (folder / "sub").mkdir()
    place = folder if folder_of == "current" else folder / "sub"
    (folder / "sub" / "zoe.py").write_text(f"import os\n{line.replace('FOLDER', str(place))}\n", encoding="utf-8")
    known = set()
    for k in range(3):
        (place / name).write_text("#" * k, encoding="utf-8")
        known.add(Kept.key("sub/zoe.py", {}))
    assert len(known) == 3
    assert Kept.key("sub/zoe.py", {}) in known


def test_an_installed_package_counts_by_its_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "ada.py").write_text("import scipy.linalg\nimport json\n", encoding="utf-8")
    assert set(content("ada.py")) == {"code", "bncheck", "python", "numpy", "scipy"}
    before = Kept.key("ada.py", {}), Kept.key("torch.nn:BatchNorm2d", {})
    monkeypatch.setattr("bncheck.extras.version", lambda package: "9.9")
    assert not {Kept.key("ada.py", {}), Kept.key("torch.nn:BatchNorm2d", {})} & set(before)


def test_a_project_of_more_files_than_are_looked_at_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "ada.py").write_text(f"import noor\n{RIGHT}{TOLD}", encoding="utf-8")
    monkeypatch.setattr("bncheck.targets.address.MOST_FILES", 2)
    monkeypatch.setattr("bncheck.targets.content.MOST_FILES", 2)
    assert Kept.key("ada.py", {}) is None
    assert Kept.key("noor.py", {}) is not None


def test_what_had_a_call_cut_short_is_not_kept(folder: Path) -> None:
    report = TargetReport("ada.py", "batch_norm", "a pair of functions", Verdict.CORRECT)
    kept = Kept(folder)
    for k, one in enumerate((report, dataclasses.replace(report, cut_short=True))):
        kept.put(str(k), (one,))
        assert kept.get(str(k)) == ((report,) if k == 0 else None)


@pytest.mark.slow
def test_a_call_that_ended_at_a_limit_is_noticed_though_it_is_no_crash(folder: Path) -> None:
    slow = "    if x.size > 20_000: import time; time.sleep(3)\n    mean"
    (folder / "ada.py").write_text(RIGHT.replace("    mean", slow, 1), encoding="utf-8")
    for name, is_cut in (("ada.py", True), ("noor.py", False)):
        (told,) = check_target(name, time_limit=1)
        assert told.verdict is (Verdict.INCOMPLETE if is_cut else Verdict.CORRECT)
        assert told.cut_short == is_cut


def test_what_crashed_is_asked_again_and_a_damaged_report_is_made_again(folder: Path) -> None:
    (folder / "noor.py").write_text(TOLD + "raise ValueError\n", encoding="utf-8")
    fresh = checked(status=3)
    seen(folder)
    assert checked(status=3) == fresh
    assert seen(folder) == {"noor"}
    for place in (folder / "kept").iterdir():
        place.write_text(place.read_text(encoding="utf-8").replace("correct", "perfect"), encoding="utf-8")
    assert checked(status=3) == fresh
    assert seen(folder) == {"ada", "emil", "noor"}


def test_a_version_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Kept.key("ada.py", {})
    assert before == Kept.key("ada.py", {})
    monkeypatch.setattr("bncheck.extras.__version__", "9.9.9")
    assert before != Kept.key("ada.py", {})


def test_a_folder_that_cannot_be_written_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "ada.py", "--resume", "ada.py"]) == 2
    assert "resume=ada.py, expected a folder that can be written" in capsys.readouterr().err


@pytest.mark.slow
def test_interrupted_at_ten_moments_nothing_is_lost_and_nothing_done_twice(folder: Path) -> None:
    for k in range(5):
        (folder / f"s{k}.py").write_text(RIGHT + TOLD, encoding="utf-8")
    run(["check", "*.py", "--format", "json", "--output", "whole"])
    seen(folder)
    rng, done = random.Random(0), set[str]()
    command = ["check", "*.py", "--resume", "kept", "--format", "json", "--output", "out", "--jobs", "2"]
    for k in range(10):
        before = len(list((folder / "kept").glob("*.json"))) if k else 0
        process = subprocess.Popen(interruptible(*command), stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            process.wait(rng.uniform(0.3, 1.5))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT if k % 2 else signal.SIGKILL)
            process.wait(20)
        assert seen(folder) & done == set()
        kept = len(list((folder / "kept").glob("*.json")))
        assert kept >= before
        done = {path.stem for path in folder.glob("*.py") if Kept(folder / "kept").get(key(path)) is not None}
        assert len(done) == kept
    assert subprocess.run(interruptible(*command), check=False).returncode == 0
    assert seen(folder) & done == set()
    assert (folder / "out").read_bytes() == (folder / "whole").read_bytes()


def key(path: Path) -> str:
    from bncheck.targets.sandbox import MEMORY_LIMIT, TIME_LIMIT

    options = {"layer": None, "layout": None, "style": None, "dtypes": (), "case": None, "cases": 0, "thorough": False}
    limits = {"seed": 0, "time_limit": TIME_LIMIT, "memory_limit": MEMORY_LIMIT, "alone": False}
    return Kept.key(os.path.relpath(path), {**options, **limits}) or ""
