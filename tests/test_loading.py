"""Files are loaded where they live, as far as they go, and what is amiss is told in one line."""

import importlib.util
import json
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from bncheck.errors import InvalidInput
from bncheck.examination.files import check_target, examine_all
from bncheck.results import TargetReport
from bncheck.targets.address import Address
from bncheck.targets.opening import open_target
from bncheck.tolerances.verdicts import Verdict

ZOO = Path(__file__).parent / "targets"
HONEST = (ZOO / "honest.py").read_text()
MUTANT = HONEST.replace("(g - g.mean(0) - xhat", "(g - xhat")
assert MUTANT != HONEST

RELATIVE = """
from .statistics import moments
from . import eps as default
from pkg.statistics import moments as again
import constants

def forward(x, gamma, beta, eps=default):
    assert again is moments and constants.ONE == 1
    mu, var = moments(x)
    std = (var + eps) ** 0.5
    xhat = (x - mu) / std
    return gamma * xhat + beta, (xhat, std, gamma)


"""
RELATIVE += HONEST[HONEST.index("def backward") :]


def only(text: str, **options: object) -> TargetReport:
    (report,) = check_target(text, **options)  # type: ignore[arg-type]
    return report


def written(folder: Path, **files: str) -> Path:
    """A folder with some files, ``a__b`` for ``a/b.py``."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path = path.with_name("__init__.py") if path.stem == "init" else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """``pkg``, whose layers are in ``pkg/deep`` and import from beside them, from above, and from the package."""
    nested = RELATIVE.replace("from .stat", "from ..stat").replace("from . import", "from .. import")
    return written(
        tmp_path,
        pkg__init="eps = 1e-5\n",
        pkg__statistics="def moments(x):\n    return x.mean(0), x.var(0)\n",
        pkg__constants="ONE = 1\n",
        pkg__layers=RELATIVE,
        pkg__deep__init="",
        pkg__deep__constants="ONE = 1\n",
        pkg__deep__layers=nested,
    )


# Packages.


@pytest.mark.parametrize("file", ["pkg/layers.py", "pkg/deep/layers.py"])
def test_a_file_in_a_package_is_imported_as_its_package_does(package: Path, file: str) -> None:
    report = only(str(package / file))
    assert (report.verdict, report.detail) == (Verdict.CORRECT, "")
    assert "loading" not in report.observations
    path = package / file
    path.write_text(path.read_text().replace("(g - g.mean(0) - xhat", "(g - xhat"))
    assert only(str(path)).verdict is Verdict.WRONG


def test_relative_imports_make_a_package_of_a_folder_that_does_not_say_so(package: Path) -> None:
    (package / "pkg" / "__init__.py").unlink()
    layers = package / "pkg" / "layers.py"
    layers.write_text(layers.read_text().replace("from . import eps as default", "default = 1e-5"))
    assert only(str(layers)).verdict is Verdict.CORRECT


def test_the_init_of_a_package_is_a_target_too(tmp_path: Path) -> None:
    written(tmp_path, pkg__init="from .eps import eps\n" + HONEST, pkg__eps="eps = 1e-5\n")
    assert only(str(tmp_path / "pkg" / "__init__.py")).verdict is Verdict.CORRECT


def test_where_the_package_fails_and_the_file_does_not_it_is_run_by_itself_and_that_is_told(tmp_path: Path) -> None:
    written(tmp_path, pkg__init="import a_package_that_is_not_there\n", pkg__mine=HONEST)
    report = only(str(tmp_path / "pkg" / "mine.py"))
    assert report.verdict is Verdict.CORRECT
    (told,) = report.observations["loading"]
    assert told.startswith("its package raised ModuleNotFoundError: No module named 'a_package_that_is_not_there'")
    assert told.endswith("the file was run by itself")
    assert "run by itself" in " ".join(str(report).split())


def test_where_neither_can_be_run_the_first_cause_is_told(tmp_path: Path) -> None:
    written(tmp_path, pkg__init="import a_package_that_is_not_there\n", pkg__mine="from .eps import eps\n" + HONEST)
    report = only(str(tmp_path / "pkg" / "mine.py"))
    assert report.verdict is Verdict.CRASHED
    assert "No module named 'a_package_that_is_not_there': install it, or run from the folder that holds it" in (
        report.detail.replace(" (line 1)", "")
    )


def test_another_package_of_the_same_name_is_not_taken_for_it(tmp_path: Path) -> None:
    written(tmp_path, numpy__init="", numpy__mine=HONEST)
    report = only(str(tmp_path / "numpy" / "mine.py"))
    assert report.verdict is Verdict.CORRECT
    assert "run by itself" in report.observations["loading"][0]


def test_the_current_folder_is_looked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, shared="eps = 1e-5\n", exercises__mine="from shared import eps\n" + HONEST)
    report = only(str(tmp_path / "exercises" / "mine.py"))
    assert "No module named 'shared' (line 1): install it, or run from the folder that holds it." in report.detail
    monkeypatch.chdir(tmp_path)
    assert only("exercises/mine.py").verdict is Verdict.CORRECT


@pytest.mark.parametrize("address", ["pkg/mine.py", "pkg.mine"])
def test_what_was_compiled_before_is_not_used(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytecode of the same time and length as the source, which Python takes for up to date."""
    wrong = HONEST.replace("g - g.mean(0)", "g - g.sum( 0)")
    assert len(HONEST) == len(wrong)
    written(tmp_path, pkg__init="", pkg__steps=wrong, pkg__mine="from .steps import backward, forward\n")
    steps = tmp_path / "pkg" / "steps.py"
    py_compile.compile(str(steps), doraise=True)
    before = steps.stat()
    steps.write_text(HONEST)
    os.utime(steps, ns=(before.st_atime_ns, before.st_mtime_ns))
    monkeypatch.chdir(tmp_path)
    asked = [
        sys.executable,
        "-B",
        "-c",
        "from pkg.steps import backward; print([*map(hex, backward.__code__.co_code)], backward.__code__.co_names)",
    ]
    taken = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    steps.with_name("__pycache__").rename(tmp_path / "elsewhere")
    assert taken != subprocess.run(asked, capture_output=True, text=True, check=True).stdout  # it was a trap
    (tmp_path / "elsewhere").rename(steps.with_name("__pycache__"))
    (report,) = check_target(f"{address}:forward+backward")
    assert report.verdict is Verdict.CORRECT


def test_the_frameworks_of_a_file_are_those_of_what_it_imports_beside_it(package: Path) -> None:
    (package / "pkg" / "statistics.py").write_text("import torch\n")
    for file in ("pkg/layers.py", "pkg/deep/layers.py"):
        assert Address(str(package / file)).frameworks() == ("torch",)
    assert Address(str(ZOO / "honest.py")).frameworks() == ()


# One object does not cost the others.


def test_an_object_that_cannot_be_looked_at_or_described_costs_no_other(tmp_path: Path) -> None:
    written(
        tmp_path,
        mine=HONEST
        + """
class _Trap:
    def __getattr__(self, name):
        raise RuntimeError(f"not {name}")
    def __call__(self, x, gamma, beta):
        return x

trap = _Trap()

class BatchNorm:
    def __init__(self, dim):
        raise RuntimeError("no instance today")
    def forward(self, x):
        return x
    def backward(self, dy):
        return dy

class Norm:
    def forward(self, x):
        return x
    def backward(self, dy):
        return dy
    def __init__(self):
        self.gamma = Shapeless()

class Shapeless:
    @property
    def shape(self):
        raise RuntimeError("no shape")

norm = Norm()
""",
    )
    with open_target(str(tmp_path / "mine.py")) as targets:
        names = [target.name for target in targets]
        loading = targets[0].observations["loading"]
    assert names[0] == "mine.py:forward+backward"
    assert "mine.py:BatchNorm" in names
    assert any("norm raised RuntimeError: no shape" in told for told in loading)
    reports = {report.target.partition(":")[2]: report for report in check_target(str(tmp_path / "mine.py"))}
    assert reports["forward+backward"].verdict is Verdict.CORRECT
    assert "no instance today" in reports["BatchNorm"].detail


STUBS = {
    "pass": "    pass",
    "dots": "    ...",
    "a docstring": '    """TODO"""',
    "raises": "    raise NotImplementedError",
    "raises with words": '    raise NotImplementedError("your turn")',
    "returns None": "    # TODO: your turn\n    return None",
    "a course's": "    dx, dgamma, dbeta = None, None, None\n    # YOUR CODE HERE\n    return dx, dgamma, dbeta",
    "unpacks first": "    xhat, inv_std, gamma = cache\n    dx = None\n    return dx, None, None",
}


@pytest.mark.parametrize("stub", STUBS)
def test_a_backward_that_is_not_written_yet_is_unfinished(tmp_path: Path, stub: str) -> None:
    head = HONEST[: HONEST.index("def backward")]
    written(tmp_path, mine=f"{head}def backward(dy, cache):\n{STUBS[stub]}\n")
    report = only(str(tmp_path / "mine.py"))
    assert report.verdict is Verdict.UNFINISHED
    assert "is not written yet" in report.detail


@pytest.mark.parametrize("stub", STUBS)
def test_a_class_that_is_not_written_yet_is_unfinished_and_the_others_are_checked(tmp_path: Path, stub: str) -> None:
    body = "\n".join(f"    {line}" for line in STUBS[stub].replace("= cache", "= self.cache").splitlines())
    text = f"""
import numpy as np

class BatchNorm:
    def __init__(self, dim):
        self.gamma, self.beta = np.ones(dim), np.zeros(dim)
        self.dgamma, self.dbeta = np.zeros(dim), np.zeros(dim)
    def forward(self, x):
        self.cache = x, x, x
        return self.gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) + self.beta
    def backward(self, dy):
{body}
"""
    written(tmp_path, mine=HONEST + text)
    verdicts = {report.target.partition(":")[2]: report.verdict for report in check_target(str(tmp_path / "mine.py"))}
    assert verdicts == {"forward+backward": Verdict.CORRECT, "BatchNorm": Verdict.UNFINISHED}


def test_both_halves_may_be_unfinished_and_a_forgotten_return_is_none_of_it(tmp_path: Path) -> None:
    written(
        tmp_path,
        mine="def batchnorm_forward(x, gamma, beta):\n    pass\ndef batchnorm_backward(dy, cache):\n    pass\n",
    )
    assert only(str(tmp_path / "mine.py")).verdict is Verdict.UNFINISHED
    assert str(examine_all([str(tmp_path / "mine.py")]).verdict) == "unfinished"
    assert only(str(ZOO / "hostile" / "returns_none.py")).verdict not in (Verdict.UNFINISHED, Verdict.CORRECT)


# Names that are not there.


def test_a_name_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_target(f"{ZOO / 'course.py'}:batchnorm_foward")
    assert "a name that course.py holds: batchnorm_forward, batchnorm_backward" in str(caught.value)
    assert str(caught.value).endswith("Did you mean batchnorm_forward?")
    with pytest.raises(InvalidInput, match=r"holds: BatchNorm.*Name one of these"):
        check_target(f"{ZOO / 'called.py'}:zzz")


# Packages that need not be there.


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="cupy is installed")
def test_numpy_takes_the_place_of_cupy_and_that_is_told(tmp_path: Path) -> None:
    cupy = HONEST.replace("import numpy as np", "import cupy as np\nimport cupyx\nfrom cupy import asnumpy")
    cupy += "\nxp = np.get_array_module(np.ones(3))\nassert asnumpy(xp.ones(3)).sum() == 3\nnp.cuda.Device(0).use()\n"
    for text, verdict in ((cupy, Verdict.CORRECT), (cupy.replace("(g - g.mean(0) - xhat", "(g - xhat"), Verdict.WRONG)):
        (tmp_path / "mine.py").write_text(text)
        report = only(str(tmp_path / "mine.py"))
        assert report.verdict is verdict
        assert report.observations["loading"] == ["cupy is not installed: NumPy took its place"]
    (tmp_path / "mine.py").write_text("try:\n    import cupy\nexcept ImportError:\n    cupy = None\n" + HONEST)
    assert "loading" not in only(str(tmp_path / "mine.py")).observations  # it knows how to do without


@pytest.mark.slow
def test_the_time_that_numba_takes_to_compile_is_not_the_targets(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    (tmp_path / "mine.py").write_text(
        """
import numba
import numpy as np

@numba.njit
def forward(x, gamma, beta, eps=1e-5):
    n, d = x.shape
    y, xhat, inv_std = np.empty_like(x), np.empty_like(x), np.empty(d)
    for j in range(d):
        mu = x[:, j].mean()
        inv_std[j] = 1 / np.sqrt(((x[:, j] - mu) ** 2).mean() + eps)
        xhat[:, j] = (x[:, j] - mu) * inv_std[j]
        y[:, j] = gamma[j] * xhat[:, j] + beta[j]
    return y, (xhat, inv_std, gamma)

@numba.njit
def backward(dy, cache):
    xhat, inv_std, gamma = cache
    dx, dgamma, dbeta = np.empty_like(dy), np.empty_like(gamma), np.empty_like(gamma)
    for j in range(dy.shape[1]):
        dbeta[j] = dy[:, j].sum()
        dgamma[j] = (dy[:, j] * xhat[:, j]).sum()
        g = dy[:, j] * gamma[j]
        dx[:, j] = inv_std[j] * (g - g.mean() - xhat[:, j] * (g * xhat[:, j]).mean())
    return dx, dgamma, dbeta
"""
    )
    assert Address(str(tmp_path / "mine.py")).frameworks() == ("numba",)
    with open_target(str(tmp_path / "mine.py"), time_limit=0.5) as (target,):
        assert target.failure is None
        assert target.sandbox.starts == 1
        assert target.observations["eps_place"] == "inside the root"


# What is random.


def test_random_parameters_are_the_same_each_time(tmp_path: Path) -> None:
    written(
        tmp_path,
        mine="""
import random
import numpy as np

class BatchNorm:
    def __init__(self, dim):
        self.scale = np.random.randn(dim) + random.random()
    def forward(self, x):
        return self.scale * x
    def backward(self, dy):
        return self.scale * dy
""",
    )
    with open_target(str(tmp_path / "mine.py"), layer="batch_norm") as (target,):
        assert target.observations["repeatable"]
        assert target.observations["surroundings"] == []


# Notebooks.


def notebook(path: Path, *cells: str, language: str = "python") -> Path:
    """A notebook of some code cells, with a text before each."""
    both = [
        cell
        for source in cells
        for cell in (
            {"cell_type": "markdown", "metadata": {}, "source": "## Text"},
            {"cell_type": "code", "metadata": {}, "source": source.splitlines(keepends=True), "outputs": []},
        )
    ]
    document = {"cells": both, "metadata": {"kernelspec": {"language": language}}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(document))
    return path


IMPORTS = """%matplotlib inline
%load_ext autoreload
!pip install -q \\
    "it's"
import numpy as np
import matplotlib.pyplot as plt
from IPython.display import display
np?
files = !ls
"""
FORWARD, BACKWARD = (
    HONEST[HONEST.index("def forward") : HONEST.index("def backward")],
    HONEST[HONEST.index("def backward") :],
)


def test_the_cells_of_a_notebook_are_run_in_order(tmp_path: Path) -> None:
    cells = [
        IMPORTS,
        "%%time\n" + FORWARD,
        "%%bash\nrm -rf nothing",
        BACKWARD,
        "plt.plot([1, 2]); plt.show()\ndisplay(3); get_ipython().run_line_magic('cd', '.')\n",
    ]
    path = notebook(tmp_path / "my work.ipynb", *cells)
    report = only(str(path))
    assert report.verdict is Verdict.CORRECT
    assert "loading" not in report.observations
    assert report.target == f"{path}:forward+backward"
    notebook(path, *cells[:3], BACKWARD.replace("(g - g.mean(0) - xhat", "(g - xhat"))
    assert only(f"{path}:backward").verdict is Verdict.WRONG
    with pytest.raises(InvalidInput, match=r"my work\.ipynb holds: forward, backward"):
        check_target(f"{path}:sideways")


def test_a_cell_that_raises_does_not_cost_those_after_it_and_is_told(tmp_path: Path) -> None:
    path = notebook(
        tmp_path / "mine.ipynb",
        "import numpy as np\nimport a_package_that_is_not_there",
        "x = 1\ny = x / 0",
        "await something()",
        "raise SystemExit(3)",
        FORWARD + BACKWARD,
    )
    report = only(str(path))
    assert report.verdict is Verdict.CORRECT
    told = report.observations["loading"]
    assert [words.partition(":")[0] for words in told[:3]] == [
        "cell 1 raised ModuleNotFoundError",
        "cell 2 raised ZeroDivisionError",
        "cell 3 raised SyntaxError",
    ]
    assert told[1].endswith("(line 2)")
    assert told[3] == "cell 4 called sys.exit(3) (line 1)"
    assert "cell 2 raised ZeroDivisionError" in " ".join(str(report).split())


def test_what_is_raised_in_a_call_is_told_with_its_cell(tmp_path: Path) -> None:
    broken = BACKWARD.replace("    g = dy * gamma", "    1 / 0\n    g = dy * gamma")
    report = only(str(notebook(tmp_path / "mine.ipynb", IMPORTS, FORWARD, broken)))
    assert report.verdict is Verdict.CRASHED
    line = broken.splitlines().index("    1 / 0") + 1
    assert f"(cell 3, line {line})" in report.detail


def test_what_is_no_notebook_of_pythons_says_so(tmp_path: Path) -> None:
    (tmp_path / "mine.ipynb").write_text("{}")
    assert "it is no Jupyter notebook" in only(str(tmp_path / "mine.ipynb")).detail
    notebook(tmp_path / "mine.ipynb", "x <- 3", language="R")
    assert "it is a notebook of R, not of Python" in only(str(tmp_path / "mine.ipynb")).detail
    notebook(tmp_path / "mine.ipynb", "1 / 0")
    with pytest.raises(InvalidInput, match="seen: cell 1 raised ZeroDivisionError"):
        check_target(str(tmp_path / "mine.ipynb"))


def test_a_notebook_tells_its_frameworks(tmp_path: Path) -> None:
    path = notebook(tmp_path / "mine.ipynb", "import numpy as np\nimport torch", "from jax import numpy as jnp")
    assert Address(str(path)).frameworks() == ("torch", "jax")
    assert Address.parse(f"{path}:forward") == Address(str(path), "forward")
    assert Address(str(path)).title == "mine.ipynb"
