"""Prints a derivation: unicode for terminals, LaTeX, MathML, and the lowered NumPy source."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import chain
from types import MappingProxyType

from bncheck.case import Layout
from bncheck.oracles.symbolic.derivation import SIZES, Derivation
from bncheck.oracles.symbolic.lowering import lower
from bncheck.oracles.symbolic.proof import Proof
from bncheck.oracles.symbolic.theorems import theorems as statements
from bncheck.outcomes import Outcome
from bncheck.report.notations import FIXED, WIDTH, Latex, MathML, Unicode
from bncheck.report.text import columns
from bncheck.report.writer import Writer

FORMS = ("chain-rule", "direct", "closed")


def formulas(derivation: Derivation, proof: Proof, form: str, style: str, layout: Layout) -> str:
    """The text of one form of a derivation in one style, with the outcome of the proof.

    >>> from bncheck.layers import LAYERS
    >>> from bncheck.oracles.symbolic.derivation import derive
    >>> from bncheck.oracles.symbolic.proof import prove
    >>> derivation = derive(LAYERS["batch_norm"])
    >>> text = formulas(derivation, prove(derivation), "closed", "unicode", Layout("NC", "N", "C"))
    >>> print(text.splitlines()[-4].strip())
    ∂ℓ/∂γ[c] = Σᵢ ∂ℓ/∂y[i,c] · x̂[i,c]
    """
    return STYLES[style](derivation, proof, form, layout)


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


def unicode(derivation: Derivation, form: str = "closed") -> str:
    """One form of a derivation as a terminal shows it.

    >>> from bncheck.layers import LAYERS
    >>> from bncheck.oracles.symbolic.derivation import derive
    >>> print(unicode(derive(LAYERS["batch_norm"])).splitlines()[-1].strip())
    ∂ℓ/∂β[c] = Σᵢ ∂ℓ/∂y[i,c]
    """
    writer = Writer(derivation, Unicode())
    forward, backward = (
        [_wrapped(f"    {left} = ", writer.notation.terms(right)) for left, right in part]
        for part in writer.equations(form)
    )
    sizes = []
    for letter, axes in derivation.roles.items():
        names = sorted(writer.names[letter], key=lambda name: (len(name), name))
        sizes.append(f"  {', '.join(names)} = 1…{SIZES[letter]} over {'·'.join(axes)}")
    head = f"{derivation.layer.name}, {form.replace('-', ' ')}"
    return "\n".join([head, "", *sizes, "", "  forward", *forward, "", "  backward", *backward])


def _unicode(derivation: Derivation, proof: Proof, form: str, layout: Layout) -> str:
    return f"{unicode(derivation, form)}\n\n  {proof_line(proof, derivation)}"


def _wrapped(left: str, right: str) -> str:
    """An equation in one line if it fits; else a line for each term, broken before · where that is too long."""
    lines = [left]
    margin = " " * columns(left)
    for term in [right] if columns(left + right) <= WIDTH else re.split(r"(?= [+−] )", right):
        if lines != [left]:
            lines.append(margin[:-1])
        for part in re.split(r"(?= · )", term):
            if lines[-1] not in (left, margin[:-1]) and columns(lines[-1] + part) > WIDTH:
                lines.append(margin[:-1])
            lines[-1] += part
    return "\n".join(lines).replace(FIXED, " ")


def latex(derivation: Derivation, form: str = "closed") -> str:
    """One form of a derivation as aligned equations."""
    writer = Writer(derivation, Latex())
    rows = []
    for left, right in chain(*writer.equations(form)):
        pairs = [right[k : k + 2] for k in range(0, len(right), 2)] if len(right) > 3 else [right]
        first, *others = (writer.notation.terms(pair) for pair in pairs)
        rows.append(rf"  {left} &= {first} \\")
        rows += [rf"    &\quad {'' if text.startswith('-') else '+ '}{text} \\" for text in others]
    return "\n".join([r"\begin{align*}", *rows, r"\end{align*}"])


def _latex(derivation: Derivation, proof: Proof, form: str, layout: Layout) -> str:
    return f"% {derivation.layer.name}, {form}: {proof_line(proof, derivation)}\n{latex(derivation, form)}"


def _mathml(derivation: Derivation, proof: Proof, form: str, layout: Layout) -> str:
    writer = Writer(derivation, MathML())
    rows = [
        f"<mtr><mtd>{left}</mtd><mtd><mo>=</mo></mtd><mtd>{writer.notation.terms(right)}</mtd></mtr>"
        for left, right in chain(*writer.equations(form))
    ]
    head = f"<!-- {derivation.layer.name}, {form}: {proof_line(proof, derivation)} -->"
    table = "\n".join(['<mtable columnalign="right center left" displaystyle="true">', *rows, "</mtable>"])
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">\n{head}\n{table}\n</math>'


def _numpy(derivation: Derivation, proof: Proof, form: str, layout: Layout) -> str:
    parameters = tuple(name for name in derivation.inputs if name != "x")
    source = lower(derivation.layer, layout, parameters).source.rstrip()
    return f"# {derivation.layer.name}, closed form: {proof_line(proof, derivation)}\nimport numpy as np\n\n\n{source}"


STYLES: Mapping[str, Callable[[Derivation, Proof, str, Layout], str]] = MappingProxyType(
    {"unicode": _unicode, "latex": _latex, "mathml": _mathml, "numpy": _numpy}
)
