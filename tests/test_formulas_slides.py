"""What `derive` prints can be pasted: no line leaves a slide, a terminal or a page, and a break loses nothing."""

import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bncheck.case import Layout
from bncheck.cli import run
from bncheck.layers import LAYERS, Layer
from bncheck.oracles.symbolic.derivation import Derivation, derive
from bncheck.oracles.symbolic.proof import Proof, ProofStep, prove
from bncheck.outcomes import Outcome
from bncheck.report import formulas as report
from bncheck.report.breaking import broken
from bncheck.report.formulas import FORMS, formulas
from bncheck.report.notations import Latex, MathML, Unicode, points, sized
from bncheck.report.text import columns
from bncheck.report.writer import Notation, Writer

TEXTWIDTH = 398
"""The points of a line on a 16:9 frame of beamer: 140 mm."""

Cases = list[tuple[Layer, Layout]]

EVERY: Cases = [
    *((layer, layer.layouts[0]) for layer in LAYERS.values()),
    (LAYERS["batch_norm"], Layout("NCHW", "NHW", "C")),
    (LAYERS["batch_norm"], Layout("NLC", "LC", "C")),
]

FEW = [case for case in EVERY if case[0].name in ("batch_norm", "rms_norm_jvp", "group_norm_jvp")]


@pytest.fixture(params=[pytest.param(FEW, id="few"), pytest.param(EVERY, id="every", marks=pytest.mark.slow)])
def cases(request: pytest.FixtureRequest) -> Cases:
    chosen: Cases = request.param
    return chosen


@lru_cache
def derived(layer: Layer, layout: Layout) -> tuple[Derivation, Proof]:
    derivation = derive(layer, layout)
    return derivation, prove(derivation)


def printed(layer: Layer, layout: Layout, form: str, style: str, **options: Any) -> str:
    return formulas(*derived(layer, layout), form, style, layout, **options)


def forms(cases: Cases, style: str, **options: Any) -> list[str]:
    return [printed(layer, layout, form, style, **options) for layer, layout in cases for form in FORMS]


def letters(line: str) -> int:
    return len(re.sub("<[^>]*>", "", line))


@pytest.mark.parametrize("fill", [False, True], ids=["a term a line", "filled"])
@pytest.mark.parametrize(
    ("notation", "width", "room"),
    [(Unicode(), columns, 60), (Latex(), lambda line: points(sized(line)), 280), (MathML(), letters, 70)],
    ids=["unicode", "latex", "mathml"],
)
def test_a_break_loses_nothing(notation: Notation, width: Callable[[str], float], room: int, fill: bool) -> None:
    broken_up = 0
    for name in ("batch_norm", "rms_norm", "group_norm_jvp", "rms_norm_jvp"):
        layer, layout = LAYERS[name], LAYERS[name].layouts[0]
        for equation in [e for part in Writer(derived(layer, layout)[0], notation).equations("direct") for e in part]:
            lines = broken(equation.right, lambda line: width(line) <= room, fill=fill)
            assert "".join(lines).replace(" ", "") == equation.right.replace(" ", "")
            assert all(width(line) <= room for line in lines), lines
            broken_up += len(lines) > 1
    assert broken_up >= 4


def test_brackets_sums_and_fractions_come_apart_last() -> None:
    def lines(text: str, room: int) -> list[str]:
        return broken(text, lambda line: len(line) <= room)

    assert lines("a · (b + c) + d", 11) == ["a · (b + c)", "+ d"], "the sum before what is in brackets"
    assert lines("a/b · Σᵢ c · d − e", 13) == ["a/b", "· Σᵢ c · d", "− e"], "a sum keeps what it sums"
    assert lines("aa · (b + c) · dd", 12) == ["aa · (b + c)", "· dd"], "short brackets stay whole"
    assert lines(r"\frac{a + b}{c \cdot d} - e", 5) == [r"\frac{a + b}{c \cdot d}", "- e"], "fractions stay whole"
    assert lines("abcdef", 3) == ["abcdef"], "what cannot be broken stands as it is"


@pytest.mark.parametrize("width", [50, 68, 80, 200])
def test_unicode_fits_the_terminal(cases: Cases, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for text in forms(cases if width > 60 else EVERY[:1], "unicode"):
        assert max(map(columns, text.splitlines())) <= min(width, 80)


def test_unicode_breaks_no_more_than_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert printed(*EVERY[0], "closed", "unicode", only=["dx"]).splitlines() == [
        "∂ℓ/∂x[i,c] = γ[c]/s[c] · (∂ℓ/∂y[i,c]",
        "             − x̂[i,c]/m · Σⱼ ∂ℓ/∂y[j,c] · x̂[j,c]",
        "             − 1/m · Σⱼ ∂ℓ/∂y[j,c])",
    ]


def rows(latex: str) -> list[str]:
    return [re.sub(r" \\\\\*?$", "", line) for line in latex.splitlines() if " &" in line]


def widest(latex: str) -> float:
    """The points that the longest rows of an align* take up."""
    sides = [[width(side) for side in row.split("&")] for row in sorted(rows(latex), key=len)[-3:]]
    return max(left for left, _ in sides) + max(right for _, right in sides)


@cache
def width(side: str) -> float:
    """The points of a side of an equation, set whole by Matplotlib's mathtext."""
    mathtext = pytest.importorskip("matplotlib.mathtext")
    font = pytest.importorskip("matplotlib.font_manager").FontProperties(size=10.95, math_fontfamily="cm")
    side = re.sub(r"\\bigg[lr]([()])", r"\\hspace{0.75}", side).replace(r"\frac", r"\dfrac").strip()
    return float(mathtext.MathTextParser("path").parse(f"${side or '{}'}$", dpi=72, prop=font)[0])


def complaints(latex: str) -> list[str]:
    """What is wrong with the structure of a snippet or document."""
    found = []
    if re.sub(r"\\[{}]", "", latex).count("{") != latex.count("}"):
        found.append("braces")
    environments: list[str] = []
    for side, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", latex):
        if side == "begin":
            environments.append(name)
        elif not environments or environments.pop() != name:
            found.append(name)
    found += environments
    for row in rows(latex):
        if row.count("&") != 1:
            found.append("columns")
        if row.count(r"\left") != row.count(r"\right"):
            found.append("brackets open across lines")
    if latex.count(r"\biggl(") != latex.count(r"\biggr)"):
        found.append("brackets")
    return found


def test_latex_is_built_to_fit_a_slide(cases: Cases) -> None:
    for latex in forms(cases, "latex"):
        assert complaints(latex) == []
        assert widest(latex) < 0.97 * TEXTWIDTH, latex
    assert complaints(printed(*EVERY[0], "closed", "latex", standalone=True)) == []


def test_the_structure_that_is_looked_for_can_be_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, layout = LAYERS["batch_norm_jvp"], LAYERS["batch_norm_jvp"].layouts[0]
    latex = printed(layer, layout, "closed", "latex")
    assert r"\biggl(" in latex
    for old, new, complaint in [
        (r"\frac{1}{m}", r"\frac{1}{m", "braces"),
        (r"\end{align*}", "", "align*"),
        ("&=", "&=&", "columns"),
        (r"\biggl(", r"\left(", "brackets open across lines"),
        (r"\biggl(", "", "brackets"),
    ]:
        assert complaint in complaints(latex.replace(old, new, 1)), complaint
    monkeypatch.setattr(report, "MEASURE", 10_000)
    assert widest(printed(layer, layout, "closed", "latex")) > TEXTWIDTH


LATEX = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")


def compiled(document: str, folder: Path) -> list[str]:
    """What pdflatex complains about: errors, and boxes that are too wide or too high."""
    (folder / "paper.tex").write_text(document)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "paper.tex"], cwd=folder, capture_output=True, timeout=120
    )
    log = done.stdout.decode(errors="replace")
    assert "LaTeX2e" in log
    if "beamer.cls' not found" in log or "pgfmath.sty' not found" in log:
        pytest.skip("beamer is not installed")
    faults = re.findall(r"^(?:! .*|(?:Over|Under)full .*)$", log, flags=re.MULTILINE)
    return faults or ([] if done.returncode == 0 and (folder / "paper.pdf").exists() else ["no PDF"])


def slides(snippets: list[str]) -> str:
    """All snippets in a lecturer's own document: what is too high is let flow on, what is too wide is not."""
    frames = [f"\\begin{{frame}}[allowframebreaks]\n{snippet}\n\\end{{frame}}" for snippet in snippets]
    head = "\\documentclass[11pt,aspectratio=169]{beamer}\n\\usepackage{amsmath}\n\\allowdisplaybreaks"
    return "\n".join([head, r"\begin{document}", *frames, r"\end{document}"])


@LATEX
def test_every_snippet_compiles_on_slides_and_none_is_too_wide(cases: Cases, tmp_path: Path) -> None:
    faults = compiled(slides(forms(cases, "latex")), tmp_path)
    assert [fault for fault in faults if not fault.startswith("Overfull \\vbox")] == []


@LATEX
def test_snippets_need_amsmath_alone(tmp_path: Path) -> None:
    snippets = forms(EVERY[:1], "latex")
    head = "\\documentclass{article}\n\\usepackage{amsmath}\n\\begin{document}\n"
    assert compiled(head + "\n\n".join(snippets) + "\n\\end{document}", tmp_path) == []


@LATEX
def test_lines_that_are_not_broken_leave_the_slide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MEASURE", 10_000)
    layer = LAYERS["layer_norm_jvp"]
    faults = compiled(slides([printed(layer, layer.layouts[0], "direct", "latex")]), tmp_path)
    assert any(fault.startswith("Overfull \\hbox") for fault in faults)


@LATEX
@pytest.mark.parametrize(("name", "form"), [("batch_norm", "chain-rule"), ("group_norm_jvp", "direct")])
def test_a_document_compiles_without_a_complaint(name: str, form: str, tmp_path: Path) -> None:
    document = printed(LAYERS[name], LAYERS[name].layouts[0], form, "latex", standalone=True)
    assert compiled(document, tmp_path) == []


@LATEX
@pytest.mark.slow
def test_every_document_compiles_without_a_complaint(tmp_path: Path) -> None:
    for document in forms(EVERY, "latex", standalone=True):
        assert compiled(document, tmp_path) == [], document.splitlines()[0]


def page(name: str = "batch_norm", form: str = "closed") -> str:
    return printed(LAYERS[name], LAYERS[name].layouts[0], form, "mathml", standalone=True)


def test_a_page_says_what_it_is() -> None:
    root = ElementTree.fromstring(page())
    assert root.get("lang") == "en"
    assert root.find("head/meta").get("charset") == "utf-8"  # type: ignore[union-attr]
    assert root.findtext("head/title") == root.findtext("body/h1") == "batch_norm, closed"
    assert "color-scheme: light dark" in str(root.findtext("head/style"))
    assert [section.findtext("h2") for section in root.iter("section")] == ["Forward", "Backward"]
    assert [p.text for p in root.iter("p")] == [
        "i, j = 1…m over N; c = 1…C over C",
        "proved for every m, C: 15 equalities, each difference identically 0",
    ]


EDGES = """() => [...document.querySelectorAll("mtable")].map(table => {
    const cells = k => [...table.querySelectorAll(`mtd:nth-child(${k})`)].map(cell => cell.firstElementChild);
    const spread = edges => Math.max(...edges) - Math.min(...edges);
    return [
        spread(cells(1).filter(cell => cell).map(cell => cell.getBoundingClientRect().right)),
        spread(cells(3).map(cell => cell.getBoundingClientRect().left)),
        table.closest("section").scrollWidth - table.closest("section").clientWidth,
    ];
})"""
"""Of each table: how far the right edges of the left sides lie apart, the left edges of the right sides, and how much
of it is outside the page, in pixels."""


def edges(browser: Any, pages: list[str], folder: Path) -> list[list[float]]:
    """Of each table on some pages, what Chromium makes of it."""
    tables: list[list[float]] = []
    view = browser.new_page(viewport={"width": 1280, "height": 720})
    for text in pages:
        (folder / "page.html").write_text(text)
        view.goto((folder / "page.html").as_uri())
        tables += view.evaluate(EDGES)
    view.close()
    return tables


def test_columns_stand_right_in_chromium(browser: Any, cases: Cases, tmp_path: Path) -> None:
    pages = forms(cases, "mathml", standalone=True)
    tables = edges(browser, pages, tmp_path)
    assert len(tables) == 2 * len(pages)
    assert max(map(max, tables)) < 1, "a pixel"
    old = '<mtable columnalign="right center left" displaystyle="true">'
    ignored = re.sub(r' style="[^"]*"', "", pages[0]).replace('<mtable displaystyle="true">', old)
    (left, right, _), *_ = edges(browser, [ignored], tmp_path)
    assert left > 1, "columnalign is ignored"
    assert right > 1


def test_a_line_that_is_not_broken_leaves_the_page(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "GLYPHS", 10_000)
    assert max(outside for *_, outside in edges(browser, [page("group_norm_jvp", "direct")], tmp_path)) > 1000


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("terminal")
def test_only_what_is_named_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["derive", "batch_norm", "--only", "dbeta, mean"]) == 0
    assert capsys.readouterr().out == "μ[c] = 1/m · Σᵢ x[i,c]\n∂ℓ/∂β[c] = Σᵢ ∂ℓ/∂y[i,c]\n"
    assert run(["derive", "batch_norm", "--form", "chain-rule", "--only", "dvar", "--format", "latex"]) == 0
    comment, *snippet = capsys.readouterr().out.splitlines()
    assert comment.startswith("% batch_norm, chain-rule: proved")
    assert len(rows("\n".join(snippet))) == 1
    assert snippet[1].startswith(r"  \frac{\partial \ell}{\partial \sigma_{c}^{2}} &= ")
    assert run(["derive", "batch_norm", "--only", "dx", "--format", "mathml", "--standalone"]) == 0
    out = capsys.readouterr().out
    assert ("<h2>Backward</h2>" in out, "<h2>Forward</h2>" in out, out.count("<mtr>")) == (True, False, 1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["batch_norm", "batch_norm_running", "rms_norm_jvp"])
def test_every_equation_can_be_asked_for_by_its_name(name: str, form: str) -> None:
    derivation, _ = derived(LAYERS[name], LAYERS[name].layouts[0])
    whole = [equation for part in Writer(derivation, Unicode()).equations(form) for equation in part]
    for equation in whole:
        lines = report.unicode(derivation, form, [equation.name]).splitlines()
        assert lines[0].startswith(f"{equation.left} = ")
        assert " ".join(line.strip() for line in lines) == f"{equation.left} = {equation.right}"
    assert len({equation.name for equation in whole}) == len(whole)


def test_what_is_not_proved_is_said_beside_a_single_equation() -> None:
    layer, layout = EVERY[0]
    failed = Proof("batch_norm", (ProofStep("dvar", "chain rule = derivative", Outcome.REFUTED),))
    text = formulas(derived(layer, layout)[0], failed, "closed", "unicode", layout, only=["dbeta"])
    assert "not proved: chain rule = derivative fails for dvar" in text


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (["--only", "dz"], "only=dz, expected one of mean, var, xhat, y, std, dx, dgamma, dbeta."),
        (["--only", "dxx"], "Did you mean dx?"),
        (["--only", "dxhat"], "expected one of mean, var, xhat, y, std, dx, dgamma, dbeta."),
        (["--only", "dx,"], "only='', expected one of mean"),
        (["--only", "dx", "--format", "numpy"], "only=dx, expected equations, and numpy has none to choose from."),
        (["--only", "dx", "--theorems"], "only=dx, expected equations, and theorems has none to choose from."),
        (["--standalone"], "standalone=unicode, expected latex or mathml."),
        (["--standalone", "--theorems", "--format", "latex"], "standalone=theorems, expected latex or mathml."),
    ],
)
def test_what_cannot_be_printed_is_refused_in_a_line(
    arguments: list[str], refusal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["derive", "batch_norm", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert refusal in err


@pytest.mark.usefixtures("terminal")
def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["derive", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--only" in out
    assert "--standalone" in out
    assert max(map(len, out.splitlines())) <= 80
