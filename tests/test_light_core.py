"""The light core needs only what is always installed; whatever needs more says in one line what to install."""

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from test_readme import RIGHT

import bncheck
from bncheck.extras import PURPOSES, required

ROOT = Path(bncheck.__file__).parent
OPTIONAL = sorted({p for extra in ("figures", "campaign", "train") for p in required()[extra]} - set(required()[""]))
HOMES = {m: {n.lower().replace("_", "-") for n in names} for m, names in metadata.packages_distributions().items()}
MODULES = sorted(module for module, packages in HOMES.items() if packages & {*OPTIONAL})

LIGHT = f"""
import sys
from importlib import metadata

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {MODULES}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

def version(package, real=metadata.version):
    if package in {OPTIONAL}:
        raise metadata.PackageNotFoundError(package)
    return real(package)

sys.meta_path.insert(0, Blocked())
metadata.version = version
"""


def light(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A process in which the packages of the extras are not to be found."""
    command = [sys.executable, "-c", LIGHT + code]
    return subprocess.run(command, capture_output=True, encoding="utf-8", cwd=folder, check=False)


def test_the_extras_bring_what_the_core_lacks() -> None:
    assert {"matplotlib", "hypothesis", "scikit-learn", "threadpoolctl"} <= set(OPTIONAL)
    assert {"matplotlib", "sklearn", "hypothesis", "PIL"} <= set(MODULES)
    assert set(PURPOSES) <= set(required())


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "mine.py"],
        ["check", "mine.py", "--cases", "2", "--format", "json"],
        ["derive", "rms_norm", "--format", "mathml"],
        ["explain", "mean-path-missing"],
        ["explore", "rms_norm", "-o", "page.html"],
        ["verify", "--list"],
        ["train", "--list"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_what_works_without_an_extra(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(RIGHT, encoding="utf-8")
    done = light(f"from bncheck.cli import run\nsys.exit(run({arguments}))", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["verify", "--quick"], "campaign"),
        (["verify", "--layer", "rms_norm", "--case", "N:N:/3/float64/1e-05/ordinary/random/affine/0"], "campaign"),
        (["figures", "graph-values"], "figures"),
        (["figures", "--list"], "figures"),
        (["figures", "--gallery"], "figures"),
        (["check", "mine.py", "--figure", "drawn"], "figures"),
        (["train", "depth", "--quick"], "train"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_needs_an_extra_names_its_command_in_one_line(arguments: list[str], extra: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(RIGHT, encoding="utf-8")
    done = light(f"from bncheck.cli import run\nsys.exit(run({arguments}))", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"Run: pip install 'bncheck[{extra}]'.\n")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "drawn").exists()


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("from bncheck import cases", "campaign"),
        ("import bncheck; bncheck.verify('rms_norm')", "campaign"),
        ("import bncheck; bncheck.draw('graph-values')", "figures"),
        ("from bncheck.figures import graph_values", "figures"),
    ],
)
def test_in_python_it_is_an_error_that_says_so(code: str, extra: str, tmp_path: Path) -> None:
    caught = f"\ntry:\n    {code}\nexcept ImportError as error:\n    print(error)"
    assert light(caught, tmp_path).stdout.endswith(f"Run: pip install 'bncheck[{extra}]'.\n")


def test_the_doctor_names_the_extra_of_each(tmp_path: Path) -> None:
    told = light("from bncheck.cli import run\nrun(['doctor'])", tmp_path).stdout
    for package in OPTIONAL:
        (line,) = [line for line in told.splitlines() if line.split()[0] == package]
        assert any(f"pip install 'bncheck[{extra}]'" in line and package in required()[extra] for extra in PURPOSES)
    assert "numpy          " in told


def test_the_plugin_asserts_without_an_extra(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        f"{RIGHT}\ndef test_mine(assert_gradients):\n    assert_gradients((forward, backward))\n", encoding="utf-8"
    )
    done = light(
        "import pytest\nsys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-p', 'no:hypothesispytest']))", tmp_path
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_every_package_that_is_imported_is_asked_for() -> None:
    asked = {package.lower().replace("_", "-") for packages in required().values() for package in packages}
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in {name.partition(".")[0] for name in names} - {"bncheck", "pytest", *sys.stdlib_module_names}:
                assert HOMES.get(name, {name}) & asked, f"{name} in {path.name}"
