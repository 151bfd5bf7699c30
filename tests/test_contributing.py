"""The contributor's door: what it names exists, and what lies in a room is one of its kind."""

import importlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import bncheck
from bncheck import figures, frameworks
from bncheck.bugs import catalogue
from bncheck.figures.studio import gallery
from bncheck.training import experiments

ROOT = Path(bncheck.__file__).parents[1]
DOORS = ["CONTRIBUTING.md", "SECURITY.md", "docs/how-to/add-something.md", "docs/how-to/conformance.md"]


def named(text: str) -> Iterator[str]:
    """The paths of the repository that a text names, in its prose and its tables."""
    prose = re.sub(r"```.*?```|https?://\S+", "", text, flags=re.DOTALL)
    yield from re.findall(r"(?<![\w/.])(?:bncheck|tests|figures|docs|\.ci)/[\w./-]*\w", prose)


def missing(text: str) -> list[str]:
    return [name for name in named(text) if not (ROOT / name).exists()]


@pytest.mark.parametrize("door", DOORS)
def test_every_file_that_is_named_exists(door: str) -> None:
    assert missing((ROOT / door).read_text(encoding="utf-8")) == []


def test_one_that_is_gone_would_be_noticed() -> None:
    assert missing("See bncheck/nothing.py and bncheck/layers.py, `.ci/nothing`.") == [
        "bncheck/nothing.py",
        ".ci/nothing",
    ]
    assert len([*named((ROOT / DOORS[2]).read_text(encoding="utf-8"))]) > 20


def test_the_tests_that_are_named_exist() -> None:
    text = "".join((ROOT / door).read_text(encoding="utf-8") for door in DOORS)
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    tests += (ROOT / "bncheck" / "conformance.py").read_text(encoding="utf-8")
    names = {name for name in re.findall(r"`(test_\w+)", text) if not name.endswith("_mine")}
    assert len(names) > 5
    assert {name for name in names if f"def {name}(" not in tests} == set()


def test_contributing_is_short_and_its_extras_are_declared() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 65
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    extras = {extra for names in re.findall(r"\.\[([\w,]+)\]", text) for extra in names.split(",")}
    assert extras
    assert extras <= set(declared)


def sample(caption: str) -> str:
    """A file of the page of recipes."""
    text = (ROOT / DOORS[2]).read_text(encoding="utf-8")
    found = re.search(rf"^:caption: {re.escape(caption)}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def dropped(monkeypatch: pytest.MonkeyPatch, room: ModuleType, folder: Path, caption: str) -> None:
    """A file of the recipes lies in a room, for as long as a test runs."""
    (folder / caption).write_text(sample(caption), encoding="utf-8")
    monkeypatch.setattr(room, "__path__", [*room.__path__, str(folder)])
    monkeypatch.delitem(sys.modules, f"{room.__name__}.{Path(caption).stem}", raising=False)


def test_a_file_among_the_figures_is_a_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "offset-error" not in figures.names()
    dropped(monkeypatch, figures, tmp_path, "offset_error.py")
    assert "offset-error" in figures.names()
    page = bncheck.draw("offset-error", theme="dark", lang="zh")
    assert [np.size(line.get_xdata()) for line in page.axes[0].lines] == [6]
    assert "offset-error" not in {shown.figure for chapter in gallery.LECTURE for shown in chapter.shown}


def test_a_file_in_the_catalogue_is_a_family_of_bugs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped(monkeypatch, catalogue, tmp_path, "negated.py")
    assert catalogue._families()[-1] == "negated"
    (bug,) = importlib.import_module(f"{catalogue.__name__}.negated").BUGS
    monkeypatch.setattr(catalogue, "BUGS", {**catalogue.BUGS, bug.id: bug})
    assert not bncheck.check(bug.vjp, layer="layer_norm")


def test_a_bug_and_a_figure_in_a_copy_of_the_tree_are_told_by_the_commands(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "bncheck", tmp_path / "bncheck", ignore=shutil.ignore_patterns("__pycache__"))
    for room, caption in (("bugs/catalogue", "negated.py"), ("figures", "offset_error.py")):
        (tmp_path / "bncheck" / room / caption).write_text(sample(caption), encoding="utf-8")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from bncheck.cli import run\n"
        "raise SystemExit(run(['explain', 'gamma-negated']) or run(['figures', '--list']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "and what it should\n    dx̂ = γ·dy\n" in done.stdout
    assert "offset-error" in done.stdout


def test_frameworks_and_experiments_are_the_files_of_their_rooms() -> None:
    for room, names in ((frameworks, set(frameworks.FRAMEWORKS)), (experiments, set(experiments.names()))):
        files = {path.stem.replace("_", "-") for path in Path(room.__path__[0]).glob("*.py")} - {"--init--"}
        assert files == names


def test_citation_and_templates_can_be_read() -> None:
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == bncheck.__version__
    forms = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    assert len(forms) == 4
    for path in forms:
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= set(form), path.name
        assert len({one["id"] for one in form["body"]}) == len(form["body"]), path.name
        assert {one["type"] for one in form["body"]} <= {"textarea", "input"}, path.name
        assert all(one["attributes"]["label"] for one in form["body"]), path.name


def test_commands_that_are_named_are_there() -> None:
    text = "".join((ROOT / door).read_text(encoding="utf-8") for door in DOORS)
    commands = {shlex.split(one)[0] for one in re.findall(r"(?:python -m )?bncheck ([a-z]+ ?[^`\n]*)`", text)}
    done = subprocess.run([sys.executable, "-m", "bncheck", "--help"], capture_output=True, text=True, check=True)
    assert commands >= {"check", "explain", "figures", "verify", "train"}
    assert {one for one in commands if not re.search(rf"\b{one}\b", done.stdout)} == set()
