"""`check --resume`: what has been examined is not examined again, and the report is the same."""

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
from bncheck.examination.kept import Kept

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
    return Kept.key(os.path.relpath(path), {**options, **limits})
