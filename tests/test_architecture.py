"""The tree keeps its promises: imports run one way, oracles are independent, heavy packages wait for their use."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bncheck
from bncheck.figures import names

ROOT = Path(bncheck.__file__).parent

FIGURES = [f"figures.{name.replace('-', '_')}" for name in names()]

FLOORS = [
    ["inputs", "tolerance", "bugs", "targets", "targets.child", "campaign", "examination"],
    ["errors", "formats", "bugs.pages"],
    ["case"],
    ["definitions"],
    ["tangents"],
    ["layers"],
    ["trace", "tolerance.intervals"],
    ["bugs.staged"],
    ["oracles.symbolic.sums", "oracles.symbolic.refutation"],
    ["oracles.symbolic.derivation"],
    ["oracles.symbolic.published"],
    ["oracles.symbolic.proof", "oracles.symbolic.lowering"],
    ["oracles.symbolic.theorems"],
    ["oracles", "oracles.symbolic", "oracles.graph", "oracles.finite_difference", "oracles.ball"],
    ["inputs.recipes"],
    ["inputs.minibatches", "inputs.strategies"],
    ["frameworks.conventions"],
    ["frameworks.torch", "frameworks.jax", "frameworks.onnxruntime"],
    ["frameworks.keras"],
    ["frameworks"],
    ["targets.wire", "targets.child.roles", "targets.child.families", "targets.conventions"],
    ["targets.child.styles"],
    ["targets.child.modules"],
    ["targets.child.recognition"],
    ["targets.child.__main__"],
    ["targets.sandbox"],
    ["targets.calls"],
    ["targets.observations"],
    ["targets.opening"],
    ["tolerance.verdicts", "bugs.mutants"],
    ["campaign.theorems", "bugs.symmetry"],
    ["examination.one_case", "campaign.one_case", "bugs.diagnose"],
    ["processes"],
    ["examination.running_statistics"],
    ["campaign.run", "examination.examine"],
    ["report", "report.writer", "report.text"],
    ["report.notations"],
    ["report.coverage", "report.targets", "report.explanations"],
    ["report.formulas", "report.json", "report.junit", "report.csv", "report.github"],
    ["figures.studio", "figures.studio.fonts"],
    ["figures.studio.look"],
    ["figures.studio.page"],
    ["figures.studio.structure", "figures.studio.diagram"],
    ["figures.studio.computation"],
    ["figures.studio.group", "figures.studio.saturation"],
    FIGURES,
    ["figures"],
    ["figures.studio.listing", "figures.studio.rendering"],
    ["figures.studio.gallery"],
    ["cli", "pytest_plugin"],
    ["__main__"],
]
"""Each module imports only from the floors above it."""

BACK = {"examination.examine": {"report.targets"}}
"""The one step back: a report that is printed at a prompt, or that a test fails with, has itself formatted."""

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


def test_every_module_has_its_floor() -> None:
    assert sorted(MODULES) == sorted(name for floor in FLOORS for name in floor)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_run_one_way(module: str) -> None:
    floor = {name: k for k, names in enumerate(FLOORS) for name in names}
    upward = {name for name in imported(MODULES[module]) if floor[name] >= floor[module]}
    inside = {name for name in upward if name.startswith(f"{module}.")}  # a package may hand on what it holds
    assert upward - inside == BACK.get(module, set())


def test_no_oracle_imports_another() -> None:
    """The scientific claim: what agrees was found independently."""
    families = ("oracles.symbolic", "oracles.graph", "oracles.finite_difference", "oracles.ball")
    for module, path in MODULES.items():
        family = next((f for f in families if module.startswith(f)), None)
        if family is not None:
            others = {name for name in imported(path) for f in families if name.startswith(f) and f != family}
            assert others == set(), module
            assert not imported(path) & {"tolerance.verdicts", "bugs.mutants", "campaign.run"}


def test_the_import_check_itself_can_fail(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text("from bncheck.oracles import graph\ndef f():\n    from bncheck.campaign.run import verify\n")
    assert imported(file) == {"oracles.graph", "campaign.run"}


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


def test_everything_public_can_be_reached() -> None:
    for name in bncheck.__all__:
        assert getattr(bncheck, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bncheck.nothing
