"""What is given away, and by which machinery: metadata, workflows, changelog, completion."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import bncheck

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CHANGES = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
WORKFLOWS = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
CLAIMED = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", line)]

of_the_repository = pytest.mark.skipif(not WORKFLOWS, reason="an sdist, without what only the repository needs")


def complete(words: str, at: int) -> list[str]:
    """What bash is told, asked as bash asks."""
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(at), "_BNCHECK_COMPLETE": "complete_bash"}
    command = [sys.executable, "-c", "from bncheck.cli import main; main()"]
    done = subprocess.run(command, env=os.environ | asked, capture_output=True, encoding="utf-8", check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "at", "expected"),
    [
        ("bncheck de", 1, ["derive"]),
        ("bncheck check --th", 2, ["--thorough"]),
        ("bncheck derive rms", 2, ["rms_norm", "rms_norm_jvp"]),
        ("bncheck figures --format svg,p", 3, ["svg,pdf", "svg,png"]),
        ("bncheck figures graph-f", 2, ["graph-fold"]),
        ("bncheck check mine", 2, []),  # then bash completes files
    ],
)
def test_the_shell_completes(words: str, at: int, expected: list[str]) -> None:
    assert complete(words, at) == expected


def test_every_list_that_is_completed_from_is_there() -> None:
    from typer.main import get_command

    from bncheck.cli.app import app

    commands = get_command(app).commands  # type: ignore[attr-defined]  # a group
    asked = {(name, p.name): p for name, command in commands.items() for p in command.params}
    completed = {
        key: [item.value for item in p._custom_shell_complete(None, p, "")]
        for key, p in asked.items()
        if getattr(p, "_custom_shell_complete", None)
    }
    assert len(completed) > 20
    assert all(completed.values())
    assert completed["check", "format"] == ["text", "json", "csv", "junit", "github"]


def test_the_completion_of_bash_is_shown() -> None:
    command = [sys.executable, "-m", "bncheck", "--show-completion"]
    shell = ["bash", "-c", '"$@"; exit $?', "bash", *command]  # whose name is found among the parents
    done = subprocess.run(shell, capture_output=True, encoding="utf-8", check=False)
    assert "_BNCHECK_COMPLETE=complete_bash" in done.stdout


@of_the_repository
def test_each_python_and_system_that_is_claimed_is_tested() -> None:
    assert PROJECT["requires-python"] == f">={CLAIMED[0]}"
    (tested,) = re.findall(r"python: (\[.*\])\n", WORKFLOWS["ci.yml"])
    assert json.loads(tested) == [*CLAIMED, "3.14"]
    head = WORKFLOWS["ci.yml"].partition("name:")[0]
    for untested in ("macOS", "Windows", "Python 3.14"):
        assert untested in head.partition("Not tried yet:")[2]


@of_the_repository
@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_trust_as_little_as_they_can(name: str) -> None:
    text = WORKFLOWS[name]
    used = re.findall(r"uses: (.*)", text)
    assert used
    for line in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line
    assert "secrets." not in text
    assert "pull_request_target" not in text
    assert "\npermissions: {}\n" in text
    assert "\nconcurrency:\n" in text
    jobs = re.split(r"\n  (?=[\w-]+:\n    )", text.partition("\njobs:")[2])[1:]
    assert len(jobs) >= 3
    for job in jobs:
        assert "\n    timeout-minutes: " in job
        assert "\n    permissions:\n" in job
        assert job.count("actions/checkout") == job.count("persist-credentials: false")
    assert not re.search(r"run: .*\$\{\{ *github\.(event|head_ref|ref)", text)  # what strangers write is not run


@of_the_repository
def test_every_action_has_one_version() -> None:
    used = {line for text in WORKFLOWS.values() for line in re.findall(r"uses: (.*)", text)}
    assert len(used) == len({line.partition("@")[0] for line in used})


def test_the_changelog_has_a_section_for_the_version_and_says_what_versions_mean() -> None:
    assert f"\n## {bncheck.__version__} (" in CHANGES
    assert metadata.version("bncheck") == bncheck.__version__
    policy = CHANGES.partition("\n## ")[0]
    for subject in ("verdict", "schema", "public name", "deprecat"):
        assert subject in policy


@pytest.mark.parametrize(
    ("tag", "date", "status"),
    [("v{}", "2027-01-31", 0), ("v{}", "unreleased", 1), ("v9.9.9", "2027-01-31", 1), ("{}", "2027-01-31", 1)],
)
@of_the_repository
def test_a_release_has_its_own_tag_and_a_dated_section(tag: str, date: str, status: int, tmp_path: Path) -> None:
    for folder in (".ci", "bncheck"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / ".ci/release", tmp_path / ".ci")
    shutil.copy(Path(bncheck.__file__).parent / "version.py", tmp_path / "bncheck")
    version = bncheck.__version__
    (tmp_path / "CHANGELOG.md").write_text(
        f"# C\n\n## {version} ({date})\n\n- New.\n\n## 0.0.1 (2026-01-01)\n\n- Old.\n"
    )
    command = [sys.executable, str(tmp_path / ".ci/release"), tag.format(version)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout) == (status, "" if status else "- New.\n")
    assert len(done.stderr.splitlines()) == status


def test_metadata_is_complete() -> None:
    told = metadata.metadata("bncheck")
    for field in ("Summary", "License-Expression", "Author", "Maintainer", "Keywords", "Requires-Python"):
        assert told[field], field
    assert {line.partition(",")[0] for line in told.get_all("Project-URL", [])} >= {"Documentation", "Source", "Issues"}
    assert told["Description-Content-Type"] == "text/markdown"


def test_the_extra_all_is_what_is_not_light() -> None:
    extras = PROJECT["optional-dependencies"]
    assert extras["all"] == ["bncheck[figures,campaign,train]"]
    assert "bncheck[all]" in extras["test"]


@of_the_repository
def test_sdist_and_wheel_hold_what_they_should(tmp_path: Path) -> None:
    from hatchling import build  # as `python -m build` does, without an environment of its own

    before = Path.cwd()
    os.chdir(ROOT)
    try:
        wheel = tmp_path / build.build_wheel(str(tmp_path))
        sdist = tmp_path / build.build_sdist(str(tmp_path))
    finally:
        os.chdir(before)
    with zipfile.ZipFile(wheel) as packed:
        inside = set(packed.namelist())
    source = {path.relative_to(ROOT).as_posix() for path in (ROOT / "bncheck").rglob("*") if path.is_file()}
    kept = {path for path in source if "__pycache__" not in path}
    about = {path for path in inside if ".dist-info/" in path}
    assert inside - about == kept
    assert {"bncheck/py.typed", "bncheck/report/verify.schema.json", "bncheck/figures/bncheck.mplstyle"} <= inside
    assert any(path.endswith("licenses/LICENSE") for path in about)
    assert wheel.stat().st_size < 2 << 20
    with tarfile.open(sdist) as packed_source:
        carried = {name.partition("/")[2] for name in packed_source.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "tests/conftest.py"} <= carried
    assert kept <= carried
    assert not any(
        "__pycache__" in name or name.startswith(("build/", "docs/_build", "docs/_made")) for name in carried
    )
