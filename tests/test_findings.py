"""Known findings: each has a page, each page a finding; the index is current, and the smallest cases still show."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from bncheck.frameworks import FRAMEWORKS, SUSPECTS
from bncheck.inputs.recipes import Recipe
from bncheck.layers import LAYERS
from bncheck.tolerances.bounds import computed_truth, tolerance
from bncheck.tolerances.verdicts import compare

FINDINGS = Path(__file__).parents[1] / "docs" / "findings"


def _renew() -> ModuleType:
    spec = importlib.util.spec_from_file_location("renew_findings", FINDINGS / "renew.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


renew = _renew()
PAGES = renew.pages()
SHOWN = [page for page in PAGES if page.case]


def test_each_finding_that_is_kept_has_a_page_and_each_page_is_of_one() -> None:
    kept = {(suspect.framework, known.words) for suspect in SUSPECTS for known in suspect.known}
    assert sorted((page.framework, page.kept) for page in SHOWN) == sorted(kept)
    assert all(page.kept.startswith("not kept: ") for page in PAGES if not page.case)


def test_the_index_is_current() -> None:
    assert renew.INDEX.read_text(encoding="utf-8") == renew.index(PAGES), "run: python docs/findings/renew.py"


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.name)
def test_the_smallest_case_still_shows_it(page: renew.Page) -> None:  # type: ignore[name-defined]
    if FRAMEWORKS[page.framework].missing:
        pytest.skip(f"{FRAMEWORKS[page.framework].missing} is not installed")
    layer = LAYERS[page.layer]
    case = Recipe.parse(page.case).build(layer)
    truth, radii = computed_truth(layer, case), tolerance(layer, case)
    showing = [s for s in SUSPECTS if (s.layer, s.framework, s.known_on(case)) == (layer, page.framework, page.kept)]
    allowed = {name: radius.radius for name, radius in radii.items()}
    failed = [s.name for s in showing if any(c.verdict.failed for c in compare(s.vjp(case), truth, allowed).values())]
    assert failed, f"{page.name} no longer shows on {page.case}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_the_versions_that_they_were_seen_on(page: renew.Page) -> None:  # type: ignore[name-defined]
    """A page that is stale is told, and breaks nothing: what no longer shows fails above, and in the samples."""
    for package in page.seen:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    if page.stale():
        pytest.xfail(f"{page.name}.md is stale: {page.stale()}; run python docs/findings/renew.py")


def test_a_page_of_another_version_is_told(tmp_path: Path) -> None:
    page = FINDINGS / "onnx-group-norm.md"
    copy = tmp_path / page.name
    copy.write_text(
        page.read_text(encoding="utf-8").replace("| onnxruntime ", "| numpy 1.0, onnxruntime "), encoding="utf-8"
    )
    seen = renew.read(copy)
    assert set(seen.seen) == {"numpy", "onnxruntime", "onnx"}
    assert seen._replace(seen={"numpy": "1.0"}).stale().startswith("numpy 2")
    assert renew.index([seen]) != renew.index([renew.read(page)])


def test_each_page_says_all_of_it() -> None:
    for page in PAGES:
        text = (FINDINGS / f"{page.name}.md").read_text(encoding="utf-8")
        assert [line for line in text.splitlines() if line.startswith("## ")][:4] == [
            "## Without bncheck", "## With bncheck", "## Why", "## The mend",
        ], page.name  # fmt: skip
        sample = text.partition(":caption:")[2].partition("```")[0]
        assert "import bncheck" not in sample
        assert len(sample.strip().splitlines()) <= 40, page.name
        assert ("## Text to report" in text) != ("Versions:" not in text), page.name
        assert "none found" not in text or "## Text to report" in text, page.name
