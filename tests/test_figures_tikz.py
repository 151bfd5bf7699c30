"""Graphs in TikZ: all that a page shows, where the page shows it, and LaTeX that compiles."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from matplotlib.patches import FancyBboxPatch

from bncheck.cli import run
from bncheck.figures import find, names
from bncheck.figures.studio.page import Page
from bncheck.figures.studio.tikz import latex, tikz

GRAPHS = [name for name in names() if name.startswith("graph-")]

NUMBER = r"(-?[\d.]+)"


def drawn(name: str) -> Page:
    plate = find(name)
    page: Page = plate.draw(frame=2) if plate.frames else plate.draw()
    return page


def places(picture: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(rf"\({NUMBER},{NUMBER}\)", picture)]


@pytest.mark.parametrize("name", GRAPHS)
def test_all_is_there_and_on_the_page(name: str) -> None:
    page = drawn(name)
    picture = tikz(page)
    texts = [text for text in (*page.axes[0].texts, *page.texts) if text.get_text().strip()]
    assert not [artist for axes in page.axes for artist in (*axes.lines, *axes.collections, *axes.images)]
    assert picture.count(r"\path[") == len(page.axes[0].patches)
    assert picture.count(r"\node[") == len(texts)
    for text in texts:
        assert f"{{{latex(text.get_text())}}};" in picture
    assert all(0 <= x <= page.width and 0 <= y <= page.height for x, y in places(picture))
    for opened, closed in ("{}", "[]"):
        plain = re.sub(r"\\[{}]", "", picture)
        assert plain.count(opened) == plain.count(closed)
    used = set(re.findall(r"\b(c[0-9a-f]{6})\b", picture))
    assert used == set(re.findall(r"\\definecolor\{(\w+)\}", picture))


def test_words_stand_within_their_cards() -> None:
    """The oracle is the page at the size it has in points, whatever matplotlib draws it in."""
    page = find("graph-values").draw()
    picture = tikz(page)
    left, low = page.body[:2]
    cards = [patch for patch in page.axes[0].patches if isinstance(patch, FancyBboxPatch) and patch.get_zorder() == 4]
    assert len(cards) == 12
    for card in cards:
        x, y = card.get_x() + left, card.get_y() + low
        inside = [(a, b) for a, b in anchors(picture) if x < a < x + card.get_width() and y < b < y + card.get_height()]
        assert len(inside) in (3, 9), "a formula, and a value and a gradient for one element or for four"


def anchors(picture: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(rf"\\node\[.*?\] at \({NUMBER},{NUMBER}\)", picture)]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_it_compiles_and_says_the_same(tmp_path: Path) -> None:
    assert run(["figures", *GRAPHS, "--format", "tikz", "--out", str(tmp_path)]) == 0
    pictures = [path.read_text(encoding="utf-8") for path in sorted(tmp_path.glob("*.tikz"))]
    assert len(pictures) > 20
    head = r"\documentclass{article}\usepackage{tikz,amsmath,amssymb}\begin{document}"
    text = "\n".join([head, *(f"\\noindent {picture}\\newpage" for picture in pictures), r"\end{document}"])
    (tmp_path / "all.tex").write_text(text, encoding="utf-8")
    done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "all.tex"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, re.findall(r"^!.*", done.stdout.decode(errors="replace"), flags=re.MULTILINE)
    if shutil.which("pdftotext"):
        said = subprocess.run(["pdftotext", "all.pdf", "-"], cwd=tmp_path, capture_output=True, text=True).stdout
        assert "Each sigmoid passes back at most a quarter" in said


def test_what_is_no_graph_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["figures", "jacobian", "--format", "tikz"]) == 2
    assert capsys.readouterr().err.startswith("bncheck: format=tikz, expected svg, pdf or png for jacobian.")
