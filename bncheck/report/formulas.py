"""Prints a derivation: unicode for terminals, LaTeX for slides, MathML for pages, and the lowered NumPy source."""

from __future__ import annotations

import html
import re
import shutil
import textwrap
from collections.abc import Sequence
from itertools import chain

from bncheck.case import Layout
from bncheck.errors import InvalidInput
from bncheck.oracles.symbolic.derivation import SIZES, Derivation
from bncheck.oracles.symbolic.lowering import lower
from bncheck.oracles.symbolic.proof import Proof
from bncheck.oracles.symbolic.theorems import theorems as statements
from bncheck.outcomes import Outcome
from bncheck.report.breaking import broken
from bncheck.report.notations import Latex, MathML, Unicode, points, sized, with_rows
from bncheck.report.text import WIDTH, columns
from bncheck.report.writer import Equation, Writer

FORMS = ("chain-rule", "direct", "closed")
STYLES = ("unicode", "latex", "mathml", "numpy")

MEASURE = 360
"""How many points of a slide a line of LaTeX takes up at most: 126 mm, of the 140 mm of a 16:9 beamer frame."""

ROWS = 5
"""How many lines of LaTeX a frame has room for, whatever stands in them."""


GLYPHS = 120
"""How many letters and signs a line of MathML has at most, where it can be broken: about 40 em."""


def formulas(
    derivation: Derivation,
    proof: Proof,
    form: str,
    style: str,
    layout: Layout,
    *,
    only: Sequence[str] = (),
    standalone: bool = False,
) -> str:
    """The text of one form of a derivation in one style, with the outcome of the proof.

    `only` names the values and gradients whose equations are wanted, as in ``["dx"]``; `standalone` makes LaTeX a
    document of frames, and MathML a page. Raises `InvalidInput` for a name that the form does not have.

    >>> from bncheck.layers import LAYERS
    >>> from bncheck.oracles.symbolic.derivation import derive
    >>> from bncheck.oracles.symbolic.proof import prove
    >>> derivation = derive(LAYERS["batch_norm"])
    >>> text = formulas(derivation, prove(derivation), "closed", "unicode", Layout("NC", "N", "C"))
    >>> print(text.splitlines()[-4].strip())
    ∂ℓ/∂γ[c] = Σᵢ ∂ℓ/∂y[i,c] · x̂[i,c]
    """
    outcome = proof_line(proof, derivation)
    head = f"{derivation.layer.name}, {form}: {outcome}"
    if style == "numpy":
        return _numpy(derivation, layout, outcome)
    if style == "latex":
        return f"% {head}\n{(_beamer if standalone else latex)(derivation, form, only)}"
    if style == "mathml":
        return (
            _page(derivation, form, only, outcome)
            if standalone
            else f"<!-- {head} -->\n{mathml(derivation, form, only)}"
        )
    text = unicode(derivation, form, only)
    return text if only and proof.proved else f"{text}\n\n{_wrapped(outcome, '  ')}"


def theorems(derivation: Derivation) -> str:
    """What else follows from the definition: each theorem, its meaning, and whether it is proved."""
    lines = [f"{derivation.layer.name}, for every {_sizes(derivation)}; Σ runs over one group", ""]
    for theorem in statements(derivation):
        outcome = "does not hold" if theorem.outcome is Outcome.REFUTED else theorem.outcome
        lines += [f"  {theorem.name}: {outcome}", f"    {theorem.statement}", f"    {theorem.words}", ""]
    return "\n".join(lines).rstrip()


def _sizes(derivation: Derivation) -> str:
    return ", ".join(str(SIZES[letter]) for letter in derivation.roles)


def outcome(proof: Proof) -> str:
    """What a proof came to, step by step."""
    width = max((len(step.gradient) for step in proof.steps), default=0)
    steps = [f"  {step.gradient:<{width}}  {'holds' if step.holds else 'fails'}  {step.claim}" for step in proof.steps]
    return "\n".join([f"{proof.layer}: {'proved' if proof.proved else 'not proved'}", *steps])


def proof_line(proof: Proof, derivation: Derivation) -> str:
    """The outcome of a proof in one line."""
    if proof.failure is not None:
        refuted = proof.outcome is Outcome.REFUTED
        return f"{'not proved' if refuted else proof.outcome}: {proof.failure.words}"
    return f"proved for every {_sizes(derivation)}: {len(proof.steps)} equalities, each difference identically 0"


def unicode(derivation: Derivation, form: str = "closed", only: Sequence[str] = ()) -> str:
    """One form of a derivation as a terminal shows it, or only some of its equations.

    >>> from bncheck.layers import LAYERS
    >>> from bncheck.oracles.symbolic.derivation import derive
    >>> print(unicode(derive(LAYERS["batch_norm"]), only=["dbeta"]))
    ∂ℓ/∂β[c] = Σᵢ ∂ℓ/∂y[i,c]
    """
    writer = Writer(derivation, Unicode())
    sections = _sections(writer, form, only)
    if only:
        return "\n".join(_lines(equation, "") for equation in chain(*sections.values()))
    lines = [f"{derivation.layer.name}, {form.replace('-', ' ')}", ""]
    lines += [f"  {indices} = 1…{size} over {axes}" for indices, size, axes in _legend(writer)]
    for title, equations in sections.items():
        lines += ["", f"  {title}", *(_lines(equation, "    ") for equation in equations)]
    return "\n".join(lines)


def _sections(writer: Writer, form: str, only: Sequence[str]) -> dict[str, list[Equation]]:
    """The equations that are wanted, all of them where none is named, under forward and backward."""
    forward, backward = writer.equations(form)
    names = [equation.name for equation in [*forward, *backward]]
    for name in only:
        if name not in names:
            raise InvalidInput.unknown("only", name, names)
    wanted = only or names
    sections = {"forward": forward, "backward": backward}
    chosen = {title: [equation for equation in part if equation.name in wanted] for title, part in sections.items()}
    return {title: part for title, part in chosen.items() if part}


def _legend(writer: Writer) -> list[tuple[str, str, str]]:
    """The indices that were written, up to which size they run, and over which axes."""
    return [
        (
            ", ".join(sorted(writer.names[letter], key=lambda name: (len(name), name))),
            str(SIZES[letter]),
            "·".join(axes),
        )
        for letter, axes in writer.derivation.roles.items()
    ]


def _width() -> int:
    return min(WIDTH, shutil.get_terminal_size().columns)


def _lines(equation: Equation, margin: str) -> str:
    """An equation in as many lines as the terminal needs."""
    left = f"{margin}{equation.left} = "
    room = _width() - columns(left)
    return left + f"\n{' ' * columns(left)}".join(broken(equation.right, lambda line: columns(line) <= room))


def _wrapped(sentence: str, margin: str) -> str:
    return textwrap.fill(sentence, _width(), initial_indent=margin, subsequent_indent=margin)


def latex(derivation: Derivation, form: str = "closed", only: Sequence[str] = ()) -> str:
    """One form of a derivation, or only some of its equations, aligned for amsmath and no wider than a slide."""
    return _aligned(list(chain(*_sections(Writer(derivation, Latex()), form, only).values())))


def _aligned(equations: Sequence[Equation]) -> str:
    room = MEASURE - max(points(equation.left) for equation in equations) - points(r"\quad =\quad")
    rows = []
    for equation in equations:
        first, *others = map(sized, broken(equation.right, lambda line: points(sized(line)) <= room, fill=True))
        together = "*" if len(others) < ROWS else ""
        rows.append(f" \\\\{together}\n    &\\quad ".join([f"  {equation.left} &= {first}", *others]))
    return "\n".join([r"\begin{align*}", " \\\\\n".join(rows), r"\end{align*}"])


def _beamer(derivation: Derivation, form: str, only: Sequence[str]) -> str:
    """A document with the forward and the backward equations on frames of their own."""
    writer = Writer(derivation, Latex())
    sections = _sections(writer, form, only)
    legend = "; ".join(
        rf"${indices} = 1, \dots, {size}$ over ${axes}$".replace("′", "'").replace("·", r" \cdot ")
        for indices, size, axes in _legend(writer)
    )
    name = derivation.layer.name.replace("_", r"\_")
    frames = [
        rf"\begin{{frame}}[allowframebreaks=0.93]{{{name}, {form}: {title}}}{{{legend}}}"
        f"\n{_aligned(equations)}\n\\end{{frame}}"
        for title, equations in sections.items()
    ]
    return "\n".join([_PREAMBLE, *frames, r"\end{document}"])


_PREAMBLE = r"""\documentclass[11pt,aspectratio=169]{beamer}
\usepackage{amsmath}
\allowdisplaybreaks
\setlength{\jot}{0pt}
\setbeamertemplate{navigation symbols}{}
\setbeamertemplate{frametitle continuation}[from second]
\begin{document}"""


def mathml(derivation: Derivation, form: str = "closed", only: Sequence[str] = ()) -> str:
    """One form of a derivation, or only some of its equations, as an element for a web page."""
    return _table(list(chain(*_sections(Writer(derivation, MathML()), form, only).values())))


def _table(equations: Sequence[Equation]) -> str:
    """Equations of MathML under each other; each cell says how it is aligned, since browsers heed nothing else."""
    rows = []
    for equation in equations:
        first, *others = map(with_rows, broken(equation.right, lambda line: len(_TAG.sub("", line)) <= GLYPHS))
        rows.append(_ROW.format(equation.left, "<mo>=</mo>", first))
        rows += [_ROW.format("", "", f'<mspace width="1em"/>{line}') for line in others]
    table = "\n".join(['<mtable displaystyle="true">', *rows, "</mtable>"])
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">\n{table}\n</math>'


_TAG = re.compile("<[^>]*>")
_ROW = (
    '<mtr><mtd style="text-align: right; text-align: -webkit-right">{}</mtd>'  # Chromium heeds but the second
    '<mtd>{}</mtd><mtd style="text-align: left">{}</mtd></mtr>'
)


def _page(derivation: Derivation, form: str, only: Sequence[str], outcome: str) -> str:
    """A web page of its own, well-formed as XML, too."""
    writer = Writer(derivation, MathML())
    sections = [
        f"<section>\n<h2>{title.capitalize()}</h2>\n{_table(equations)}\n</section>"
        for title, equations in _sections(writer, form, only).items()
    ]
    legend = "; ".join(f"{indices} = 1…{size} over {axes}" for indices, size, axes in _legend(writer))
    title = html.escape(f"{derivation.layer.name}, {form}")
    return _PAGE.format(title=title, legend=legend, sections="\n".join(sections), outcome=html.escape(outcome))


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 1.25rem/1.5 system-ui, sans-serif }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
section {{ overflow-x: auto }}
mtd {{ padding-block: 0.4em }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{legend}</p>
{sections}
<p>{outcome}</p>
</body>
</html>"""


def _numpy(derivation: Derivation, layout: Layout, outcome: str) -> str:
    parameters = tuple(name for name in derivation.inputs if name != "x")
    source = lower(derivation.layer, layout, parameters).source.rstrip()
    return f"# {derivation.layer.name}, closed form: {outcome}\nimport numpy as np\n\n\n{source}"
