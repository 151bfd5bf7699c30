"""What is public: listed once, reached from the package, documented, and the names that are cited exist."""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bncheck
from bncheck import PUBLIC, Case, Derivation, Layout, Proof, derive, lower, prove, tolerance, verify

ROOT = Path(bncheck.__file__).parent


@pytest.mark.parametrize("name", bncheck.__all__)
def test_everything_public_is_there_documented_and_held_where_the_list_says(name: str) -> None:
    (home,) = [home for home, names in PUBLIC.items() if name in names]
    thing = getattr(bncheck, name)
    assert thing is getattr(importlib.import_module(f"bncheck.{home}"), name)
    assert name in dir(bncheck)
    if not name.isupper():
        assert len(inspect.getdoc(thing) or "") > 30


def test_no_room_goes_by_a_public_name() -> None:
    """A folder of that name would take its place in the package as soon as it is imported."""
    assert {module.name for module in pkgutil.iter_modules(bncheck.__path__)} & set(bncheck.__all__) == set()


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bncheck.nothing


def test_mypy_sees_what_is_listed() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    seen = {
        (node.module or "", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name != "__version__"
    }
    assert seen == {(f"bncheck.{home}", name) for home, names in PUBLIC.items() for name in names}


SECTIONS = {
    "Case": {"Shapes", "Raises"},
    "Check": {"Shapes", "Units"},
    "Comparison": {"Units"},
    "Conformance": {"Shapes", "Raises"},
    "Derivation": {"Shapes", "Source"},
    "Finding": {"Units"},
    "Layer": {"Shapes", "Raises"},
    "Layout": {"Raises"},
    "Lowered": {"Shapes", "Error"},
    "Recipe": {"Raises"},
    "check": {"Shapes", "Units", "Error"},
    "derive": {"Math", "Source"},
    "draw": {"Shapes"},
    "lower": {"Shapes", "Error"},
    "prove": {"Source"},
    "tolerance": {"Shapes", "Units", "Error", "Source"},
}
"""What the docstring of a public name must say; every function also Raises and, if it returns anything, Returns."""


def unsaid(name: str, thing: Any) -> set[str]:
    """The sections that a public name lacks, and of a class the members without a word."""
    told = inspect.getdoc(thing) or ""
    wanted = set(SECTIONS.get(name, ()))
    if inspect.isfunction(thing):
        wanted |= {"Raises"} | ({"Returns"} if name != "assert_gradients" else set())
    lacking = wanted - set(re.findall(r"^(Math|Shapes|Units|Returns|Raises|Error|Source)$", told, re.MULTILINE))
    own = [(n, m) for n, m in vars(thing).items() if n[0] != "_" and n.isidentifier()] if inspect.isclass(thing) else []
    spoken = [(n, m) for n, m in own if hasattr(m, "__doc__") and (callable(m) or hasattr(m, "__get__"))]
    return lacking | {f"{name}.{n}" for n, m in spoken if len(getattr(m, "__doc__", None) or "") < 10}


@pytest.mark.parametrize("name", [name for name in bncheck.__all__ if not name.isupper()])
def test_public_names_say_what_applies(name: str) -> None:
    assert unsaid(name, getattr(bncheck, name)) == set()


@pytest.mark.parametrize("name", PUBLIC["api"])
def test_public_functions_show_themselves(name: str) -> None:
    assert ">>>" in (inspect.getdoc(getattr(bncheck, name)) or "")


def test_a_docstring_that_says_too_little_is_noticed() -> None:
    class Case:
        """Shapes are not said here."""

        def silent(self) -> None:
            pass

    def lower() -> None:
        """Too little, too.

        Shapes
            x: some.
        """

    assert unsaid("Case", Case) == {"Shapes", "Raises", "Case.silent"}
    assert unsaid("lower", lower) == {"Returns", "Raises", "Error"}
    assert set(SECTIONS) <= set(bncheck.__all__)


def test_layers_and_layouts_go_by_their_names() -> None:
    layer = bncheck.LAYERS["layer_norm"]
    assert derive("layer_norm") == derive(layer)
    assert prove("layer_norm") == prove(derive(layer))
    assert lower("layer_norm", "ND:D:D") is lower(layer, Layout("ND", "D", "D"))
    case = Case(layer.layouts[0], x=np.array([[0.0, 2.0, 1.0]]), dy=np.array([[1.0, 0.0, 2.0]]))
    assert (tolerance("layer_norm", case)["dx"].radius == tolerance(layer, case)["dx"].radius).all()
    report = verify("layer_norm", cases=3, real_data=False, dtypes=["float64"])
    assert [each.layer for each in report.layers] == ["layer_norm"]


def test_what_comes_back_shows_itself() -> None:
    derivation: Any = derive("batch_norm")
    assert "∂ℓ/∂x[i,c]" in str(derivation)
    assert derivation._repr_latex_().startswith(r"\begin{align*}")
    proof: Any = prove(derivation)
    assert str(proof).startswith("batch_norm: proved\n")
    report: Any = verify("rms_norm", cases=2, real_data=False)
    for result in (derivation, proof, report):
        shown = result._repr_html_()
        assert shown.startswith("<pre>")
        assert "<" not in shown.removeprefix("<pre>").removesuffix("</pre>")
    assert isinstance(derivation, Derivation)
    assert isinstance(proof, Proof)


def cited() -> Iterator[tuple[str, str]]:
    """Every dotted name in backticks in a docstring, with the module that it stands in; files left out."""
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            value = node.value if isinstance(node, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                for name in re.findall(r"`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)`", value.value):
                    if not name.endswith((".json", ".md", ".onnx")):
                        yield module, name


OTHERS = ("matplotlib", "Axes", "torch", "nn", "jax", "linen", "numpy", "np", "case")
"""What a dotted name may begin with that is none of bncheck's; `case` is an argument."""


def exists(cited: str, module: str = "bncheck") -> bool:
    """Whether a dotted name leads somewhere: `bncheck.x.y` by itself, `Class.attribute` from where it stands."""
    for k in range(cited.count(".") + 1, 0, -1):
        parts = cited.split(".")
        try:
            thing: Any = importlib.import_module(".".join(parts[:k]) if parts[0] == "bncheck" else module)
        except ModuleNotFoundError:
            continue
        return _leads(thing, parts[k:] if parts[0] == "bncheck" else parts)
    return False


def _leads(thing: Any, parts: list[str]) -> bool:
    for part in parts:
        if not hasattr(thing, part) and part not in getattr(thing, "__annotations__", ()):
            return False
        thing = getattr(thing, part, None)
    return True


def test_every_name_that_a_docstring_cites_exists() -> None:
    own = [(module, name) for module, name in cited() if not name.startswith(OTHERS)]
    assert len(own) > 20
    assert [(module, name) for module, name in own if not exists(name, module)] == []


def test_a_name_that_is_gone_would_be_noticed() -> None:
    assert exists("bncheck.results.Check.verdict")
    assert exists("bncheck.tolerance")
    assert exists("Check.unseen", "bncheck.results")
    assert not exists("compare.Tolerance")
    assert not exists("bncheck.case.Nothing")
