"""The tree keeps its promises: imports run one way, oracles are independent, heavy packages wait for their use."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import HALVED, LEFT_OUT, UNCOVERED

import bncheck

ROOT = Path(bncheck.__file__).parent

ROOMS = [
    *(
        "version",
        "errors",
        "extras",
        "outcomes",
        "formats",
        "processes",
        "files",
        "case",
        "definitions",
        "tangents",
        "layers",
        "trace",
    ),
    "inputs",
    "oracles",
    "tolerances",
    "bugs",
    "frameworks",
    "targets",
    "results",
    "stored",
    "campaign",
    "examination",
    "parts",
    "training",
    "report",
    "grading",
    "figures",
    "explorer",
    "api",
    *("cli", "conformance", "pytest_plugin"),
    "__main__",
]
"""The house, from the ground up: a room, a file or a folder, imports only from rooms above it in this list."""

KINDS = ("figures", "frameworks", "training.experiments")
"""Folders in which each file is one of its kind, and imports no other; what they share lies in a folder of its own."""

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
    if path != ROOT / "__init__.py"
}


def imported(path: Path) -> set[str]:
    """The modules of the package that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bncheck"):
            module = node.module.removeprefix("bncheck").lstrip(".")
            inner = {f"{module}.{alias.name}".lstrip(".") for alias in node.names}
            names |= {name for name in inner if name in MODULES} or ({module} if module else set())
        elif isinstance(node, ast.Import):
            names |= {a.name.removeprefix("bncheck.") for a in node.names if a.name.startswith("bncheck.")}
    return names


def room(module: str) -> str:
    return module.partition(".")[0]


def circle(modules: set[str]) -> list[str]:
    """The modules, as far as they are left when those that import none of the others are taken away one by one."""
    left = {module: imported(MODULES[module]) & modules - {module} for module in modules}
    for module in modules:  # a package may hand on what it holds, and what it holds may name the package
        left[module] -= {name for name in left[module] if name.startswith(f"{module}.")}
    while done := [module for module, names in left.items() if not names & left.keys()]:
        for module in done:
            del left[module]
    return sorted(left)


def test_every_room_is_in_its_place_and_exists() -> None:
    assert {room(module) for module in MODULES} <= set(ROOMS)
    assert len(ROOMS) == len(set(ROOMS))


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_run_one_way(module: str) -> None:
    above = ROOMS[: ROOMS.index(room(module))]
    assert {name for name in imported(MODULES[module]) if room(name) not in (*above, room(module))} == set()


@pytest.mark.parametrize("name", ROOMS)
def test_no_circle_within_a_room(name: str) -> None:
    assert circle({module for module in MODULES if room(module) == name}) == []


@pytest.mark.parametrize("folder", KINDS)
def test_a_file_among_its_kind_imports_no_other(folder: str) -> None:
    files = {module for module in MODULES if re.fullmatch(rf"{re.escape(folder)}\.\w+", module)}
    files = {module for module in files if MODULES[module].name != "__init__.py"}
    assert len(files) > 3
    for module in files:
        assert imported(MODULES[module]) & files == set(), module


def test_only_the_process_of_a_target_holds_what_runs_there() -> None:
    """Somebody's files are loaded by the child alone; live objects, which cannot be moved there, are asked by one."""
    outside = {m for m, path in MODULES.items() if any(n.startswith("targets.child") for n in imported(path))}
    assert {module for module in outside if not module.startswith("targets.child")} == {"targets.here"}


def test_no_oracle_imports_another() -> None:
    """The scientific claim: what agrees was found independently."""
    families = ("oracles.symbolic", "oracles.graph", "oracles.finite_difference", "oracles.ball")
    for module, path in MODULES.items():
        family = next((f for f in families if module.startswith(f)), None)
        if family is not None:
            others = {name for name in imported(path) for f in families if name.startswith(f) and f != family}
            assert others == set(), module
            assert not imported(path) & {"tolerances.verdicts", "bugs.planting", "campaign.run"}


def test_every_test_that_is_asked_in_part_or_left_out_exists() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    files = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
    for name in HALVED | LEFT_OUT | (UNCOVERED - files):
        assert f"def {name}(" in sources, name


def test_the_import_check_itself_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, other = tmp_path / "wrong.py", tmp_path / "other.py"
    file.write_text("from bncheck.oracles import graph\ndef f():\n    from bncheck.campaign.run import verify\n")
    assert imported(file) == {"oracles.graph", "campaign.run"}
    monkeypatch.setitem(MODULES, "inputs.first", file)
    monkeypatch.setitem(MODULES, "inputs.second", other)
    file.write_text("import bncheck.inputs.second\n")
    other.write_text("def f():\n    from bncheck.inputs import first\n")
    assert circle({module for module in MODULES if room(module) == "inputs"}) == ["inputs.first", "inputs.second"]


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import bncheck", ["numpy", "sympy", "hypothesis", "flint", "torch", "sklearn", "rich"]),
        ("import bncheck.case", ["sympy", "hypothesis", "flint", "torch", "sklearn"]),
        ("from bncheck import check, Case", ["hypothesis", "torch", "sklearn", "rich"]),
        ("import bncheck.campaign.run", ["torch", "sklearn", "hypothesis", "rich"]),
    ],
)
def test_heavy_packages_wait_until_they_are_used(statement: str, absent: list[str]) -> None:
    code = f"import sys\n{statement}\nprint([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
