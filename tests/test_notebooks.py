"""In a notebook: a real Jupyter kernel, in which each result is one display, and the same notebook as a target."""

from pathlib import Path
from typing import Any

import pytest

from bncheck.errors import InvalidInput
from bncheck.examination.files import check_target, examine_all
from bncheck.report import github
from bncheck.targets.opening import adapter
from bncheck.tolerances.verdicts import Verdict

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

pytestmark = pytest.mark.filterwarnings("default")  # the client's own are none of ours

HONEST = (Path(__file__).parent / "targets" / "honest.py").read_text()

CLASS = """%%time
class BatchNorm:
    def __init__(self, dim):
        self.gamma, self.beta = np.ones(dim), np.zeros(dim)
    def forward(self, x):
        print("forward of", x.shape)
        y, self.cache = forward(x, self.gamma, self.beta, 1e-5)
        return y
    def backward(self, dy):
        xhat, std, gamma = self.cache
        self.dgamma, self.dbeta = (dy * xhat).sum(0), dy.sum(0)
        g = dy * gamma
        return (g - xhat * (g * xhat).mean(0)) / std
"""

TORCH = """
import torch
class Norm(torch.nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight, self.bias = torch.nn.Parameter(torch.ones(dim)), torch.nn.Parameter(torch.zeros(dim))
    def forward(self, x):
        mean, var = x.mean(0), x.var(0, unbiased=False)
        return self.weight * (x - mean) / torch.sqrt(var + 1e-5) + self.bias
"""

CELLS = (
    "%matplotlib inline\n" + HONEST,
    CLASS,
    "from bncheck import assert_gradients, check\ncheck(BatchNorm)",
    "check((forward, backward))",
    "print(check(BatchNorm(4)))",
    "assert_gradients((forward, backward))",
    "assert_gradients(BatchNorm)",
    "def backward(dy, cache):\n    raise ValueError('mine')\ncheck((forward, backward))",
    "check('exercise.ipynb')",
)


def run(folder: Path, *cells: str) -> list[Any]:
    """The outputs of each cell, run by a kernel."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", allow_errors=True)
    client.execute(cwd=str(folder))
    return [cell.outputs for cell in notebook.cells]


def written(path: Path, *cells: str) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    return path


def one_display(outputs: list[Any]) -> tuple[str, str]:
    """The text and the HTML of a cell that shows one thing, and prints nothing."""
    (output,) = outputs
    assert output.output_type == "execute_result"
    assert set(output.data) == {"text/plain", "text/html"}
    return output.data["text/plain"], output.data["text/html"]


@pytest.mark.slow
def test_every_result_is_one_display_and_nothing_floods_the_cell(tmp_path: Path) -> None:
    written(tmp_path / "exercise.ipynb", *CELLS[:2])
    _, _, wrong, right, printed, silent, failed, raised, as_file = run(tmp_path, *CELLS)
    text, html = one_display(wrong)
    assert html.startswith("<pre>BatchNorm: wrong\n")
    assert "mean-path-missing" in html
    assert text.startswith("BatchNorm: wrong\n")
    text, html = one_display(right)
    assert html.startswith("<pre>forward+backward: correct\n")
    (stream,) = printed  # of print, and of none of the calls of what was checked
    assert stream.output_type == "stream"
    assert stream.text.startswith("BatchNorm: wrong\n")
    assert "forward of" not in stream.text
    assert silent == []
    (error,) = failed
    assert (error.ename, error.evalue.splitlines()[0]) == ("AssertionError", "BatchNorm: wrong")
    assert "raised ValueError: mine (line 2)" in " ".join(one_display(raised)[1].split())
    assert "2 targets: 1 correct, 1 wrong" in one_display(as_file)[1]


@pytest.mark.slow
def test_a_module_of_torch_is_one_display_too(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    wrong = TORCH.replace("x.mean(0), x", "x.mean(0).detach(), x")
    assert wrong != TORCH
    *_, right, mutant = run(tmp_path, TORCH + "from bncheck import check\ncheck(Norm(3))", wrong + "check(Norm(3))")
    assert one_display(right)[1].startswith("<pre>Norm: correct\n")
    assert one_display(mutant)[1].startswith("<pre>Norm: wrong\n")


def test_the_same_notebook_as_a_target(tmp_path: Path) -> None:
    path = written(tmp_path / "exercise.ipynb", *CELLS[:2], "%%html\n<b>", "get_ipython().system('ls')")
    reports = {report.target.partition(":")[2]: report for report in check_target(str(path))}
    assert {name: report.verdict for name, report in reports.items()} == {
        "forward+backward": Verdict.CORRECT,
        "BatchNorm": Verdict.WRONG,
    }
    assert reports["BatchNorm"].reproduce == f"python -m bncheck check {path}:BatchNorm"


def test_an_adapter_is_a_cell_of_the_notebook(tmp_path: Path) -> None:
    targets = Path(__file__).parent / "targets"
    source = (targets / "adapter.py").read_text()
    (tmp_path / "odd.py").write_bytes((targets / "odd.py").read_bytes())
    path = written(tmp_path / "mine.ipynb", "import numpy as np", source)
    (report,) = check_target(str(path))
    assert (report.verdict, report.target) == (Verdict.CORRECT, f"{path}:vjp")
    with pytest.raises(InvalidInput, match="in a cell of the notebook"):
        adapter(str(path))


def test_a_notebook_is_annotated_on_github_by_its_name(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.ipynb", HONEST.replace("(g - g.mean(0) - xhat", "(g - xhat"))
    assert github.examination(examine_all([str(path)])).startswith(f"::error file={path},title=wrong%3A mean-path-m")
