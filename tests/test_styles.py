"""Code in other people's styles: what is right is found so, what is wrong is never called correct, without an option.

Names, containers, orders, constructors, own tensors, notebooks, packages: tests/targets/styles was written by somebody
who had not read how bncheck speaks to code; so was tests/targets/common_styles, when that was done.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import EVERY

from bncheck.examination.files import check_target
from bncheck.results import Examination
from bncheck.tolerances.verdicts import Verdict

FOLDERS = [Path(__file__).parent / "targets" / name for name in ("styles", "common_styles")]
MANIFEST: list[tuple[Path, dict[str, Any]]] = [
    (folder / one["path"], one)
    for folder in FOLDERS
    for one in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
]

NOT_ALL_ASKED = {
    "dezero_style.py": "it has no evaluation mode for the running statistics that it keeps",
    "minidl/layers/norm.py": "in evaluation its backward is that of training",
}
"""What is right as far as it can be asked, and why not all could be."""

KNOWN = {
    "norma_capa.py": (Verdict.WRONG, "eps outside the root is not the definition, although all of it is consistent")
}
"""What bncheck and its author do not agree about: its verdict, and why."""

_FRAMEWORKS = {"torch": "torch", "jax": "jax", "flax": "flax", "numba": "numba"}


def _needs(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return [package for word, package in _FRAMEWORKS.items() if f"import {word}" in text or f"from {word}" in text]


def _cases() -> list[Any]:
    """Every third source, none that JAX or numba compile, for time; all with BNCHECK_EVERY=1 in the environment."""
    found: list[Any] = []
    for k, (path, one) in enumerate(MANIFEST):
        needs = _needs(path)
        long = bool({"jax", "flax", "numba"} & set(needs)) or (k % 3 != 0 and one["path"] not in NOT_ALL_ASKED)
        if long and not EVERY:
            continue
        marks = [pytest.mark.slow] * (needs != [] or len(found) % 12 != 0)
        found.append(pytest.param(path, one, needs, id=one["path"], marks=marks))
    return found


@pytest.mark.usefixtures("undiagnosed")
@pytest.mark.parametrize(("path", "one", "needs"), _cases())
def test_foreign_code_gets_its_verdict(path: Path, one: dict[str, Any], needs: list[str]) -> None:
    for package in needs:
        pytest.importorskip(package)
    verdict = Examination(0, check_target(str(path))).verdict
    if one["path"] in KNOWN:
        assert verdict is KNOWN[one["path"]][0]
    elif one["path"] in NOT_ALL_ASKED:
        assert verdict is Verdict.INCOMPLETE
    elif one["right"]:
        assert verdict is Verdict.CORRECT
    else:
        assert verdict in (Verdict.WRONG, Verdict.UNSTABLE)


def test_there_are_many_of_both() -> None:
    right = sum(one["right"] for _, one in MANIFEST)
    assert min(right, len(MANIFEST) - right) >= 30
