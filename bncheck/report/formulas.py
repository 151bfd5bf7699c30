"""Prints a derivation: unicode for terminals, LaTeX, MathML, and the lowered NumPy source."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import sympy as sp
from sympy.printing.latex import LatexPrinter
from sympy.printing.mathml import MathMLPresentationPrinter
from sympy.printing.str import StrPrinter

from bncheck.case import Layout
from bncheck.oracles.symbolic.derivation import EPS, SIZES, Derivation, Equations, ordered_terms
from bncheck.oracles.symbolic.lowering import lower
from bncheck.oracles.symbolic.proof import Proof
from bncheck.oracles.symbolic.sums import contract

FORMS = ("chain-rule", "direct", "closed")

_GREEK = {"x": "x", "y": "y", "mean": "μ", "var": "σ²", "xhat": "x̂", "gamma": "γ", "beta": "β", "inv_std": "s⁻¹"}
_LATEX = {
    "mean": (r"\mu", ""),
    "var": (r"\sigma", "2"),
    "xhat": (r"\hat{x}", ""),
    "gamma": (r"\gamma", ""),
    "beta": (r"\beta", ""),
    "inv_std": ("s", "-1"),
}  # the symbol and its superscript


def formulas(derivation: Derivation, proof: Proof, form: str, style: str, layout: Layout) -> str:
    """The text of one form of a derivation in one style, with the outcome of the proof.

    >>> from bncheck.definitions import LAYERS
    >>> from bncheck.oracles.symbolic.derivation import derive
    >>> from bncheck.oracles.symbolic.proof import prove
    >>> derivation = derive(LAYERS["batch_norm"])
    >>> text = formulas(derivation, prove(derivation), "closed", "unicode", Layout("NC", "N", "C"))
    >>> print(text.splitlines()[-5].strip())
    ∂ℓ/∂x[i,c] = γ[c]·s⁻¹[c]·(∂ℓ/∂y[i,c] − Σᵢ′(∂ℓ/∂y[i′,c])/m − x̂[i,c]·Σᵢ′(∂ℓ/∂y[i′,c]·x̂[i′,c])/m)
    """
    return STYLES[style](derivation, proof, form, layout)


def proof_line(proof: Proof, derivation: Derivation) -> str:
    """The outcome of a proof in one line."""
    sizes = ", ".join(str(SIZES[letter]) for letter in derivation.roles)
    if proof.failure is not None:
        return f"not proved: {proof.failure.claim} fails for {proof.failure.gradient}"
    return f"proved for every {sizes}: {len(proof.steps)} equalities, each difference identically 0"


def _equations(derivation: Derivation, form: str) -> Equations:
    if form == "closed":
        return derivation.closed
    if form == "chain-rule":
        return derivation.chain_rule
    return {name: _shortened(derivation, expression) for name, expression in derivation.direct.items()}


def _shortened(derivation: Derivation, expression: sp.Expr) -> sp.Expr:
    """The direct derivative with the statistics under their names and whole numbers in front of brackets."""
    for step in reversed(derivation.steps.values()):
        if step.symbol.indices != derivation.inputs["x"].indices:
            written = contract(derivation.in_inputs(step.expression))
            expression = expression.xreplace({written: step.symbol})
    return expression.replace(
        lambda e: isinstance(e, sp.Mul),
        lambda e: sp.Mul(*(part for a in e.args for part in (a.primitive() if isinstance(a, sp.Add) else (a,)))),
    )


def _bracketed(expression: sp.Expr) -> tuple[sp.Expr, sp.Expr] | None:
    """The factors in front of a bracket and what it holds, for a closed form that has been factored."""
    brackets = [a for a in expression.args if isinstance(a, sp.Add)] if isinstance(expression, sp.Mul) else []
    if len(brackets) != 1:
        return None
    return sp.Mul(*(a for a in expression.args if a is not brackets[0])), brackets[0]


def _indices(derivation: Derivation, name: str) -> tuple[sp.Symbol, ...]:
    return tuple(derivation.symbol(name.removeprefix("d")).indices)


def _forward(derivation: Derivation) -> list[tuple[sp.Expr, sp.Expr]]:
    steps = [(step.symbol, step.expression) for step in derivation.steps.values()]
    return [*steps, *((derivation.symbol(name), root) for name, root in derivation.saved.items())]


class _Ordered:
    """Any of SymPy's printers, with the terms of a sum in the order people write."""

    printmethod = "_bncheck"  # not SymPy's own: an indexed symbol would print itself

    def _as_ordered_terms(self, expression: sp.Add, order: object = None) -> list[sp.Expr]:
        return ordered_terms(expression)


def _name(expression: sp.Indexed) -> tuple[str, bool]:
    """The name of an indexed symbol, and whether it stands for the loss's gradient with respect to that name."""
    label = expression.base.label.name
    gradient = label.startswith("d") and label[1:] in _GREEK
    return (label[1:] if gradient else label), gradient


class _Text(_Ordered, StrPrinter):  # type: ignore[misc]  # SymPy ships no types
    def _print_Indexed(self, expression: Any) -> str:  # noqa: N802  # SymPy's naming, here and below
        name, gradient = _name(expression)
        indices = ",".join(i.name.replace("'", "′") for i in expression.indices)
        return f"{'∂ℓ/∂' if gradient else ''}{_GREEK.get(name, name)}[{indices}]"

    def _print_Symbol(self, expression: Any) -> str:  # noqa: N802
        return "ε" if expression == EPS else str(expression.name).replace("'", "′")

    def _print_Sum(self, expression: Any) -> str:  # noqa: N802
        bound = "".join(self._print(index) for index, *_ in expression.limits)
        body = self._print(expression.function)
        return f"Σ{bound.replace('i', 'ᵢ').replace('k', 'ₖ').replace('n', 'ₙ')}({body})"


def _unicode_text(expression: sp.Expr) -> str:
    if (parts := _bracketed(expression)) is not None and not parts[0].atoms(sp.Sum):
        return f"{_unicode_text(parts[0])}·({_unicode_text(parts[1])})"
    text = str(_Text().doprint(expression))
    text = text.replace("**", "^").replace("*", "·").replace("sqrt", "√")
    return re.sub(r"(?<![A-Za-z])-", "−", text)


def _unicode(derivation: Derivation, proof: Proof, form: str, layout: Layout) -> str:
    lines = [f"{derivation.layer.name}, {form.replace('-', ' ')}", ""]
    for letter, axes in derivation.roles.items():
        lines.append(f"  {letter} = 1…{SIZES[letter]} runs over {'·'.join(axes)}")
    lines += ["", "  forward"]
    lines += [f"    {_unicode_text(left)} = {_unicode_text(right)}" for left, right in _forward(derivation)]
    lines += ["", "  backward"]
    for name, expression in _equations(derivation, form).items():
        left = sp.IndexedBase(name)[_indices(derivation, name)]
        lines.append(f"    {_unicode_text(left)} = {_unicode_text(expression)}")
    return "\n".join([*lines, "", f"  {proof_line(proof, derivation)}"])


class _Latex(_Ordered, LatexPrinter):  # type: ignore[misc]
    def _print_Indexed(self, expression: Any, exp: str | None = None) -> str:  # noqa: N802
        name, gradient = _name(expression)
        symbol, power = _LATEX.get(name, (name if len(name) == 1 else rf"\mathrm{{{name.replace('_', ' ')}}}", ""))
        indices = " ".join(i.name for i in expression.indices)
        symbol += (f"_{{{indices}}}" if indices else "") + (f"^{{{power}}}" if power else "")
        text = rf"\frac{{\partial \ell}}{{\partial {symbol}}}" if gradient else symbol
        return rf"\left({text}\right)^{{{exp}}}" if exp is not None else text

    def _print_Symbol(self, expression: Any, style: str = "plain") -> str:  # noqa: N802
        return r"\varepsilon" if expression == EPS else str(expression.name)


def _latex_text(expression: sp.Expr) -> str:
    printer = _Latex()
    if (parts := _bracketed(expression)) is not None and not parts[0].atoms(sp.Sum):
        return rf"{printer.doprint(parts[0])} \left({printer.doprint(parts[1])}\right)"
    return str(printer.doprint(expression))


def _latex(derivation: Derivation, proof: Proof, form: str, layout: Layout) -> str:
    rows = [rf"  {_latex_text(a)} &= {_latex_text(b)} \\" for a, b in _forward(derivation)]
    for name, expression in _equations(derivation, form).items():
        left = sp.IndexedBase(name)[_indices(derivation, name)]
        rows.append(rf"  {_latex_text(left)} &= {_latex_text(expression)} \\")
    head = f"% {derivation.layer.name}, {form}: {proof_line(proof, derivation)}"
    return "\n".join([head, r"\begin{align*}", *rows, r"\end{align*}"])


class _MathML(_Ordered, MathMLPresentationPrinter):  # type: ignore[misc]
    def _print_Indexed(self, expression: Any) -> Any:  # noqa: N802
        name, gradient = _name(expression)
        symbol = self.dom.createElement("msub")
        symbol.appendChild(self._identifier(_GREEK.get(name, name)))
        row = self.dom.createElement("mrow")
        for i in expression.indices:
            row.appendChild(self._identifier(i.name.replace("'", "′")))
        symbol.appendChild(row)
        if not gradient:
            return symbol
        fraction = self.dom.createElement("mfrac")
        fraction.appendChild(self._identifier("∂ℓ"))
        below = self.dom.createElement("mrow")
        below.appendChild(self._identifier("∂"))
        below.appendChild(symbol)
        fraction.appendChild(below)
        return fraction

    def _print_Symbol(self, expression: Any, style: str = "plain") -> Any:  # noqa: N802
        return self._identifier("ε" if expression == EPS else str(expression.name).replace("'", "′"))

    def _identifier(self, text: str) -> Any:
        element = self.dom.createElement("mi")
        element.appendChild(self.dom.createTextNode(text))
        return element


def _mathml(derivation: Derivation, proof: Proof, form: str, layout: Layout) -> str:
    def row(left: sp.Expr, right: sp.Expr) -> str:
        parts = [_MathML()._print(side).toxml() for side in (left, right)]
        return f"<mtr><mtd>{parts[0]}</mtd><mtd><mo>=</mo></mtd><mtd>{parts[1]}</mtd></mtr>"

    rows = [row(left, right) for left, right in _forward(derivation)]
    for name, expression in _equations(derivation, form).items():
        rows.append(row(sp.IndexedBase(name)[_indices(derivation, name)], expression))
    head = f"<!-- {derivation.layer.name}, {form}: {proof_line(proof, derivation)} -->"
    table = "\n".join(["<mtable>", *rows, "</mtable>"])
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">\n{head}\n{table}\n</math>'


def _numpy(derivation: Derivation, proof: Proof, form: str, layout: Layout) -> str:
    parameters = tuple(name for name in derivation.inputs if name != "x")
    source = lower(derivation.layer, layout, parameters).source.rstrip()
    return f"# {derivation.layer.name}, closed form: {proof_line(proof, derivation)}\nimport numpy as np\n\n\n{source}"


STYLES: Mapping[str, Callable[[Derivation, Proof, str, Layout], str]] = MappingProxyType(
    {"unicode": _unicode, "latex": _latex, "mathml": _mathml, "numpy": _numpy}
)
