"""Every refusal is one line that says what was expected and what to do next, on the command line with status 2."""

# ruff: noqa: E501  # the tables below read by rows

import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bncheck
from bncheck.bugs.catalogue.bug import correct
from bncheck.campaign.run import verify
from bncheck.case import Case, Layout
from bncheck.cli import run
from bncheck.errors import BncheckError, InvalidDefinition, InvalidInput, MissingPackage
from bncheck.examination.one_case import check
from bncheck.inputs.recipes import Recipe
from bncheck.inputs.strategies import recipes
from bncheck.layers import LAYERS, Layer, find_layer
from bncheck.trace import trace

FILE = """
def body(x, gamma, eps, mean, sqrt):
    centred = x - mean(x)
    return {"y": gamma * centred / sqrt(mean(centred * centred) + eps)}

def right(x, gamma=1, eps=1e-5, *, mean, sqrt): return body(x, gamma, eps, mean, sqrt)
def few(x): return {"y": x}
def starred(x, *gammas, eps, mean): return {"y": x}
def without_default(x, gamma, eps=1e-5, *, mean, sqrt): return body(x, gamma, eps, mean, sqrt)
def size(x, m=1, eps=1e-5, *, mean, sqrt): return body(x, m, eps, mean, sqrt)
def branch(x, eps=1e-5, *, mean): return {"y": x - mean(x) if mean(x) else x}
def maximum(x, eps=1e-5, *, mean): return {"y": max(x, mean(x))}
def absolute(x, eps=1e-5, *, mean):
    import numpy as np
    return {"y": np.abs(x)}
def exponential(x, eps=1e-5, *, mean):
    import numpy as np
    return {"y": np.exp(x)}
def method(x, eps=1e-5, *, mean): return {"y": x - x.mean()}
def cube_root(x, eps=1e-5, *, mean): return {"y": x ** (1 / 3)}
def infinite(x, eps=1e-5, *, mean): return {"y": x * float("inf")}
def no_y(x, eps=1e-5, *, mean): return {"centred": x - mean(x)}
def early_y(x, eps=1e-5, *, mean): return {"y": x - mean(x), "mean": mean(x)}
def no_dict(x, eps=1e-5, *, mean): return x - mean(x)
def number(x, eps=1e-5, *, mean): return {"y": 3.0}
def unchanged(x, eps=1e-5, *, mean): return {"y": x}
def spaces(x, eps=1e-5, *, mean): return {"my mean": mean(x), "y": x - mean(x)}
def gradient_name(x, eps=1e-5, *, mean):
    dx = x - mean(x)
    return {"dx": dx, "y": dx * dx}
def twice(x, eps=1e-5, *, mean):
    mu = mean(x)
    return {"mean": mu, "mu": mu, "y": x - mu}
def unused(x, gamma=1, eps=1e-5, *, mean): return {"y": x - mean(x)}
def raising(x, eps=1e-5, *, mean): raise RuntimeError("no\\nforward\\x1b[31m today")
short = lambda x, eps=1e-5, *, mean: {"y": x - mean(x)}
seven = 7
"""

HELP = r"Try 'bncheck( verify| derive| doctor)? --help'\.$"
RECIPE = "NC:N:C/8x4/float64/1e-05/ordinary/random/affine/0"
REWRITE = r"Rewrite it with these\.$"


def case_with(position: int, value: str) -> list[str]:
    parts = RECIPE.split("/")
    parts[position] = value
    return ["verify", "--case", "/".join(parts)]


COMMANDS: dict[str, tuple[list[str], str, str]] = {
    "command": (["prove"], "command=prove, expected one of verify, check, merge, grade, derive, figures, explore, train, explain, doctor", HELP),
    "misspelt command": (["verfy"], "command=verfy, expected one of verify, check", r"Did you mean verify\?$"),
    "option": (["verify", "--tolerance", "1"], "No such option:? .?--tolerance", HELP),
    "argument too many": (["verify", "batch_norm"], "unexpected extra argument", HELP),
    "argument missing": (["derive"], "(?i)missing argument 'layer'", HELP),
    "value missing": (["verify", "--seed"], "'--seed' requires an argument", HELP),
    "layer": (["verify", "--layer", "softmax"], "layer=softmax, expected one of batch_norm", r"FILE\.py:NAME"),
    "no layer": (["derive", ""], "layer='', expected one of batch_norm", r"FILE\.py:NAME"),
    "misspelt layer": (["derive", "batch_nrm"], "expected one of batch_norm", r"Did you mean batch_norm\?$"),
    "format": (["verify", "--format", "xml"], "format=xml, expected one of text, json, junit", HELP),
    "format of derive": (["derive", "batch_norm", "--format", "text"], "one of unicode, latex, mathml, numpy", r"Did you mean latex\?$"),
    "form": (["derive", "batch_norm", "--form", "chain"], "one of chain-rule, direct, closed", "Did you mean chain-rule"),
    "dtype": (["verify", "--dtype", "int8"], "dtype=int8, expected one of float64, float32, float16, bfloat16", HELP),
    "misspelt dtype": (["verify", "--dtype", "flaot32"], "expected one of float64", r"Did you mean float32\?$"),
    "color": (["verify", "--color", "yes"], "color=yes, expected one of auto, always, never", HELP),
    "layout": (["derive", "batch_norm", "--layout", "NCHW"], "layout=NCHW, expected axes:reduced:affine", "For example"),
    "layout's axes": (["derive", "batch_norm", "--layout", "NN:N:N"], "axes=NN, expected distinct letters", "example"),
    "layout's letters": (["derive", "batch_norm", "--layout", "NC:H:C"], "reduced=H, expected distinct letters out of NC", "example"),
    "layout without a mean": (["derive", "batch_norm", "--layout", "NC::C"], "reduced='', expected at least one", "example"),
    "cases": (["verify", "--cases", "0"], "cases=0, expected a whole number of at least 1", "Leave it out"),
    "cases, quick": (["verify", "--quick", "--cases", "-5"], "cases=-5, expected a whole number of at least 1", "Leave it out"),
    "cases in words": (["verify", "--cases", "many"], "Invalid value for '--cases'.* valid integer", HELP),
    "jobs": (["verify", "--jobs", "0"], "jobs=0, expected a whole number of at least 1", "Leave it out"),
    "seed": (["verify", "--seed", "-1"], "seed=-1, expected a whole number of at least 0", "Leave it out"),
    "case": (["verify", "--case", "garbage"], "case=garbage, expected layout/sizes/dtype/eps/", "For example NC:N:C/"),
    "case, data set": (["verify", "--case", "digits/float64"], "case=digits/float64, expected layout/sizes", "For example"),
    "case, size 0": (case_with(1, "0x4"), r"shape=\(0, 4\), expected a size of at least 1 for each axis of NC:N:C", "8x4"),
    "case, few sizes": (case_with(1, "8"), r"shape=\(8,\), expected a size of at least 1 for each axis", "8x4"),
    "case, size in words": (case_with(1, "8xfour"), "case=.*8xfour.*, expected layout/sizes", "Sizes and seed are whole"),
    "case, huge": (case_with(1, "99999999x99999999"), "expected at most 10,000,000 elements", "Smaller sizes"),
    "case, dtype": (case_with(2, "float8"), "dtype=float8, expected one of float64", "Did you mean float64"),
    "case, eps 0": (case_with(3, "0"), "eps=0.0, expected a finite number above 0", "1e-5 is usual"),
    "case, eps NaN": (case_with(3, "nan"), "eps=nan, expected a finite number above 0", "1e-5 is usual"),
    "case, regime": (case_with(4, "large"), "regime=large, expected one of ordinary", HELP),
    "case, upstream": (case_with(5, "zero"), "upstream=zero, expected one of random, constant", HELP),
    "case, affine": (case_with(6, "yes"), "case=.*random/yes/0, expected layout/sizes/.*/seed", "For example"),
    "case, seed": (case_with(7, "-1"), "seed=-1, expected a whole number of at least 0", "0, for example"),
    "case in two processes": ([*case_with(3, "-1"), "--jobs", "2"], "eps=-1.0, expected a finite number", "1e-5 is usual"),
    "output in no folder": (["verify", "--output", "none/report.txt"], "output=none/report.txt, expected a file that can be written", "Create the folder"),
    "output is a folder": (["derive", "batch_norm", "--output", "."], r"output=\., expected a file, not a folder", "for example"),
    "output under a file": (["verify", "--output", "mine.py/report.txt"], "expected a file that can be written", "choose another"),
    "file": (["derive", "other.py:right"], "layer=other.py:right, expected a Python file that exists", "right path"),
    "name in file": (["derive", "mine.py:wrong"], "layer=mine.py:wrong, expected a name it defines: body, right", "Name one"),
    "no name in file": (["derive", "empty.py:f"], "expected a file that defines a function", "Name one"),
    "file that raises": (["derive", "raises.py:f"], "a file that runs; it raised ValueError: two lines", "Run it with python"),
    "file that exits": (["verify", "--layer", "exits.py:f"], "a file that runs; it raised SystemExit: 0", "Run it with python"),
    "file with a syntax error": (["derive", "syntax.py:f"], "a file that runs; it raised SyntaxError", "Run it with python"),
    "no function": (["derive", "mine.py:seven"], "expected a function or a Layer, not int", "Name another"),
}  # fmt: skip
"""What is wrong → the command line, what the message says was expected, what it says to do next."""

DEFINITIONS: dict[str, tuple[str, str]] = {
    "few": (r"definition=few\(x\), expected f\(x, PARAMETERS..., eps, \*, mean, sqrt\)", "batch_norm for the form"),
    "starred": (r"definition=starred.*, expected f\(x, PARAMETERS", "batch_norm for the form"),
    "without_default": ("parameter=gamma, expected a default", "Write gamma=1, or =0"),
    "size": ("parameter=m, expected a name that formulas do not use", "Rename it"),
    "branch": ("branches on a value, expected one formula for every input", "Leave out the branch"),
    "maximum": ("branches on a value, expected one formula for every input", "Leave out the branch"),
    "absolute": (r"absolute raised TypeError: bad operand .*expected only \+ - \* / \*\*, mean and sqrt", REWRITE),
    "exponential": (r"exponential raised TypeError: .*expected only \+ - \* / \*\*, mean and sqrt", REWRITE),
    "method": (r"the definition uses \.mean, expected only \+ - \* / \*\* and the mean and sqrt", REWRITE),
    "cube_root": (r"exponent=0\.33\d*, expected a whole number above 0", "Use sqrt and /"),
    "infinite": ("operand=inf, expected a finite number", "Use Python's own numbers"),
    "no_y": ("no_y returned a dict of centred, expected a dict of named values with 'y' last", "Return {'y': ...}"),
    "early_y": ("early_y returned a dict of y, mean, expected .* with 'y' last", "Return {'y': ...}"),
    "no_dict": ("no_dict returned no dict, expected a dict of named values", "Return {'y': ...}"),
    "number": (r"number returned y=3\.0, expected a value computed from x", "compute it"),
    "unchanged": ("unchanged returned y=an input, x, expected a value computed from x", "compute it"),
    "spaces": ("spaces returned 'my mean', expected a name", "Rename it"),
    "gradient_name": ("gradient_name returned 'dx', expected a name", "Rename it"),
    "twice": ("one value under two names, mean, mu, y; expected one name", "Leave one out"),
    "unused": ("unused makes no use of gamma, expected y to depend on it", "Leave it out"),
    "raising": (r"raising raised RuntimeError: no forward \[31m today; expected only", REWRITE),
    "short": ("definition=<lambda>, expected a function with a name", "Use def"),
}
"""A function of FILE → what the message says was expected, what it says to do next."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with definitions to refuse."""
    for name, text in {
        "mine.py": FILE,
        "empty.py": "from math import sqrt",
        "raises.py": "raise ValueError('two\\nlines')",
        "exits.py": "import sys; sys.exit(0)",
        "syntax.py": "def f(:",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BNCHECK_TRACEBACK", raising=False)
    return tmp_path


def assert_one_line(text: str, expected: str, next_step: str) -> None:
    assert "\n" not in text
    assert text.isprintable()
    assert len(text) < 330
    assert re.search(expected, text), text
    said = text[re.search(expected, text).end() :]  # type: ignore[union-attr]
    assert re.search(next_step, said), f"no next step in: {text}"
    assert text.endswith((".", "?"))
    assert ".." not in text.replace("...", "")


def refused(
    arguments: list[str], expected: str, next_step: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.rglob("*"))
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("bncheck: ")
    assert said.err.endswith("\n")
    assert_one_line(said.err.removesuffix("\n"), expected, next_step)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("what", COMMANDS)
def test_command_line(what: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(*COMMANDS[what], folder, capsys)


@pytest.mark.parametrize("command", [["derive"], ["verify", "--layer"]], ids=["derive", "verify"])
@pytest.mark.parametrize("name", DEFINITIONS)
def test_definition(name: str, command: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused([*command, f"mine.py:{name}"], *DEFINITIONS[name], folder, capsys)


def test_definition_without_fault_is_not_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["derive", "mine.py:right"]) == 0
    assert "right, closed" in capsys.readouterr().out


FLAT = Layout("NC", "N", "C")
X = np.ones((3, 2))


def case(**changes: Any) -> Callable[[], Case]:
    arguments: dict[str, Any] = {"layout": FLAT, "x": X, "dy": X, "parameters": {}, "eps": 1e-5, **changes}
    return lambda: Case(**arguments)


def changed(value: float) -> Any:
    x = X.copy()
    x[2, 1] = value
    return x


def unknown_parameter() -> object:
    return trace(LAYERS["batch_norm"], FLAT, ("gamma", "delta"))


LIBRARY: dict[str, tuple[Callable[[], object], str, str]] = {
    "eps 0": (case(eps=0), "eps=0, expected a finite number above 0", "1e-5 is usual"),
    "eps below 0": (case(eps=-1e-5), "eps=-1e-05, expected a finite number above 0", "1e-5 is usual"),
    "eps NaN": (case(eps=float("nan")), "eps=nan, expected a finite number above 0", "1e-5 is usual"),
    "eps infinite": (case(eps=float("inf")), "eps=inf, expected a finite number above 0", "1e-5 is usual"),
    "eps in words": (case(eps="small"), "eps=small, expected a finite number above 0", "1e-5 is usual"),
    "eps an array": (case(eps=np.ones(2)), "eps=array.*, expected a finite number above 0", "1e-5 is usual"),
    "x NaN": (case(x=changed(np.nan)), r"x\[2, 1\]=nan, expected finite numbers only", "Mend or leave out"),
    "x infinite": (case(x=changed(np.inf)), r"x\[2, 1\]=inf, expected finite numbers only", "Mend or leave out"),
    "dy infinite": (case(dy=changed(-np.inf)), r"dy\[2, 1\]=-inf, expected finite numbers", "Mend or leave out"),
    "dy of another shape": (case(dy=X.T), r"dy.shape=\(2, 3\), expected the shape of x, \(3, 2\)", "gradient of y"),
    "dy of another dtype": (case(dy=X.astype("f4")), "dy.dtype=float32, expected the dtype of x, float64", "astype"),
    "x of integers": (case(x=X.astype(np.int64)), "x.dtype=int64, expected one of float64, float32", "astype"),
    "x complex": (case(x=X.astype(complex)), "x.dtype=complex128, expected one of float64, float32", "astype"),
    "x wider": (case(x=X.astype(np.longdouble)), r"x.dtype=\w+, expected one of float64, float32", "astype"),
    "x of words": (case(x=[["a"]]), "x.dtype=<U1, expected one of float64, float32", "astype"),
    "x none": (case(x=None), "x.dtype=object, expected one of float64", "astype"),
    "x empty": (case(x=X[:0], dy=X[:0]), r"x.shape=\(0, 2\), expected at least one element", "Leave out empty"),
    "x ragged": (case(x=[[1.0], [1.0, 2.0]]), "x=list, expected a rectangular array of numbers", "same length"),
    "x with other axes": (case(x=X[0]), r"x.shape=\(2,\), expected 2 axes for layout NC:N:C", "Pass the layout"),
    "gamma too long": (case(parameters={"gamma": np.ones(3)}), r"gamma.shape=\(3,\), expected \(2,\), one value", "layout"),
    "gamma alone": (case(parameters=np.ones(2)), "parameters=ndarray, expected arrays by name", "for example"),
    "gamma NaN": (case(parameters={"gamma": np.array([1, np.nan])}), r"gamma\[1\]=nan, expected finite", "Mend"),
    "layout as text": (case(layout="NC:N:C"), "layout=NC:N:C, expected a Layout", r"Layout\.parse"),
    "layout in capitals": (lambda: Layout("NCn", "N", "C"), "axes=NCn, expected distinct letters", "for example"),
    "layout twice reduced": (lambda: Layout("NC", "NN", "C"), "reduced=NN, expected distinct letters", "for example"),
    "no layouts": (lambda: Layer(LAYERS["batch_norm"].definition, ()), "layouts=.*, expected at least one", "for example"),
    "unknown parameter": (unknown_parameter, "parameters=delta, expected names batch_norm has: gamma, beta", "Leave out"),
    "recipe's shape": (lambda: Recipe(FLAT, (3,)), r"shape=\(3,\), expected a size of at least 1", "for example"),
    "recipe's eps": (lambda: Recipe(FLAT, (3, 2), eps=-1), "eps=-1, expected a finite number above 0", "1e-5 is usual"),
    "layer": (lambda: find_layer("batchnorm"), "layer=batchnorm, expected one of batch_norm", "Did you mean batch_norm"),
    "rounds once": (lambda: check(correct, case()(), rounds_once=("dz",)), "rounds_once=dz, expected names among y, ", "Leave it out"),
    "package": (lambda: _raise(MissingPackage("jax", "jax", "the comparison with JAX")), "jax is not installed, expected", "pip install"),
}  # fmt: skip
"""What is wrong → a call, what the message says was expected, what it says to do next."""


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("what", LIBRARY)
def test_library(what: str) -> None:
    call, expected, next_step = LIBRARY[what]
    with pytest.raises(BncheckError) as caught:
        call()
    assert_one_line(str(caught.value), expected, next_step)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: verify(cases=0), "cases=0, expected a whole number of at least 1"),
        (lambda: verify(jobs=0), "jobs=0, expected a whole number of at least 1"),
        (lambda: verify(seed=-1), "seed=-1, expected a whole number of at least 0"),
        (lambda: verify(dtypes=("int8",)), "dtype=int8, expected one of float64, float32, float16"),
        (lambda: recipes(dtypes=("int8",)).example(), "dtypes=int8, expected names among float64"),
    ],
)
@pytest.mark.filterwarnings("ignore:The `.example.*` method")
def test_library_calls_whose_constraint_says_it_all(call: Callable[[], object], expected: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        call()
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("x", "a\x1b[31mb", "plain text", "Retype it."),
        InvalidInput("x", "", "something"),
        InvalidInput("x", "long " * 100, "something short"),
        InvalidInput("x", lambda: 0, "a number"),
        InvalidDefinition("two\nlines"),
        MissingPackage("jax", "jax", "JAX"),
        BncheckError("plain"),
    ],
)
def test_errors_are_one_printable_line_and_cross_processes(error: BncheckError) -> None:
    assert str(error).isprintable()
    assert len(str(error)) < 200
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is type(error)
    assert str(other) == str(error)


@pytest.mark.parametrize("what", ["misspelt layer", "case", "output in no folder", "file that raises"])
def test_process(what: str, folder: Path) -> None:
    arguments, expected, next_step = COMMANDS[what]
    before = sorted(folder.rglob("*"))
    command = [sys.executable, "-m", "bncheck", *arguments]
    root = str(Path(bncheck.__file__).parent.parent)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": root})
    assert (done.returncode, done.stdout) == (2, "")
    assert_one_line(done.stderr.removesuffix("\n"), expected, next_step)
    assert sorted(folder.rglob("*")) == before
