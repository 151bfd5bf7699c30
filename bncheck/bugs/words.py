"""Programs in words: names as papers write them, and every step as a formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType

from bncheck.bugs.edits import BACKWARD, SAVED, Edit
from bncheck.bugs.expressions import (
    Expression,
    Held,
    Larger,
    Name,
    Number,
    Power,
    Product,
    Reduced,
    Sum,
    power,
    signed,
    times,
)
from bncheck.bugs.programs import COUNT, Program
from bncheck.trace import trace

SIGNS: Mapping[str, str] = MappingProxyType(
    {
        "mean": "μ",
        "var": "σ²",
        "mean_square": "ρ",
        "xhat": "x̂",
        "gamma": "γ",
        "beta": "β",
        "eps": "ε",
        "running_mean": "R",
        "running_var": "V",
        "new_running_mean": "R′",
        "new_running_var": "V′",
        "new_weight": "w",
        "ddof": "d",
    }
)
"""What papers call the names of the definitions."""

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_FRACTIONS = {Fraction(1, 2): "½", Fraction(1, 4): "¼", Fraction(3, 4): "¾", Fraction(1, 3): "⅓", Fraction(1, 8): "⅛"}
_ATOM, _FACTOR, _TERM = range(3)  # how loosely a text holds together


class Wording:
    """How the names of one layer's programs are written."""

    def __init__(self, program: Program) -> None:
        self.layout, self.parameters = program.layout, program.parameters
        named = trace(program.own, program.layout, program.parameters).named
        self.written: dict[str, Expression] = {}
        self.signs: dict[str, str] = {}
        for label, expression in program.forward.items():
            if label in named:
                self.signs[label] = SIGNS.get(label, label)
            elif label.startswith("inv_"):
                self.written[label] = expression
            elif label.startswith("std"):
                self.signs[label] = label.replace("std", "s").replace(" ", "")
            else:
                self.written[label] = expression

    def equation(self, label: str, expression: Expression) -> str:
        """A step as a formula.

        >>> from bncheck.bugs.programs import programs
        >>> from bncheck.layers import LAYERS
        >>> layer = LAYERS["batch_norm"]
        >>> program = programs(layer, layer.layouts[0], ("gamma", "beta"))["equations"]
        >>> print(Wording(program).equation("∂var", program.backward["∂var"]))
        dσ² = −½·Σ dx̂·(x − μ)·(σ² + ε)^(−3/2)
        """
        return f"{self.sign(label)} = {self.text(expression)}"

    def sign(self, label: str) -> str:
        """What a name is written as; a gradient begins with d."""
        if label.endswith(" from outside"):
            return f"∂ℓ/{self.sign(label.removesuffix(' from outside')[1:]).join(('∂', ''))}"
        if label.startswith("∂"):
            return f"d{self._tight(Name(label[1:]))}"
        if label.startswith("#"):
            return label[1:]
        if label == "ones":
            return "1"
        return self.signs.get(label, SIGNS.get(label, label))

    def text(self, expression: Expression) -> str:
        """An expression as a formula."""
        return self._said(expression)[0]

    def _tight(self, expression: Expression) -> str:
        text, loose = self._said(expression)
        return text if loose == _ATOM else f"({text})"

    def _said(self, expression: Expression) -> tuple[str, int]:
        if isinstance(expression, Name):
            if expression.label in self.written:
                return self._said(self.written[expression.label])
            return self.sign(expression.label), _ATOM
        if isinstance(expression, Sum):
            return self._sum(expression), _TERM
        if isinstance(expression, Held):
            return f"const({self.text(expression.body)})", _ATOM
        if isinstance(expression, Larger):
            left, right = self.text(expression.left), self.text(expression.right)
            return (f"[{left} > {right}]" if expression.which else f"max({left}, {right})"), _ATOM
        return self._product(expression)

    def _sum(self, expression: Sum) -> str:
        text = ""
        terms = sorted(expression.terms, key=lambda term: signed(term)[1])  # what is subtracted comes last
        for term in terms:
            plain, negative = signed(term)
            said, loose = self._said(plain)
            said = f"({said})" if loose == _TERM and negative else said
            text += (" − " if negative else " + ") + said if text else ("−" if negative else "") + said
        return text

    def _product(self, expression: Expression) -> tuple[str, int]:
        expression = self._out(expression)
        expression, negative = signed(expression)
        factors = list(expression.factors) if isinstance(expression, Product) else [expression]
        above: list[str] = []
        below: list[str] = []
        loosest = _ATOM
        if isinstance(factors[0], Number):
            value = factors.pop(0).fraction  # type: ignore[attr-defined]  # a product's number comes first
            fraction = _FRACTIONS.get(value)
            if fraction or value.denominator == 1 or not factors:
                above.append(fraction or str(value))
            else:
                above += [str(value.numerator)] * (value.numerator != 1)
                below.append(str(value.denominator))
        total = next((f for f in factors if isinstance(f, Reduced)), None)
        mean = self._mean(factors, total)
        if mean:
            factors.remove(power(COUNT, -1))
        for factor in sorted(factors, key=self._place):
            if isinstance(factor, Power) and factor.exponent < 0 and self._divides(factor):
                below.append(self._raised(factor.base, -factor.exponent))
            elif isinstance(factor, Power):
                above.append(self._raised(factor.base, factor.exponent))
            elif isinstance(factor, Reduced):
                body, loose = self._said(self._out(factor.body))
                lone = factor is factors[-1] if not below else False
                head = "mean" if mean and factor is total else self._head(factor)
                simple = loose == _ATOM or (loose == _FACTOR and head.startswith("Σ") and lone and len(factors) == 1)
                above.append(f"{head} {body}" if simple else f"{head}({body})")
            else:
                said, loose = self._said(factor)
                alone = len(factors) == 1 and not above and not below
                above.append(
                    f"({said})" if loose == _TERM or (loose == _FACTOR and "/" in said and not alone) else said
                )
        text = "·".join(above) or "1"
        loosest = _FACTOR if len(above) > 1 or below or text.startswith(("Σ ", "mean ")) else _ATOM
        if below:
            divisor = below[0] if len(below) == 1 and "·" not in below[0] else f"({'·'.join(below)})"
            text = f"{text}/{divisor}"
        return (f"−{text}", _TERM) if negative else (text, loosest)

    def _place(self, factor: Expression) -> tuple[bool, ...]:
        """Where a factor stands in a product: parameters first, then arrays, brackets, powers of them, totals."""
        parameter = isinstance(factor, Name) and factor.label in self.parameters
        root = isinstance(factor, Power) and factor.exponent.denominator > 1
        return (not parameter, isinstance(factor, Reduced), root, isinstance(factor, Sum))

    def _out(self, expression: Expression) -> Expression:
        """A product with the number in a total in front of it, and 1/s written as a divisor."""
        factors = list(expression.factors) if isinstance(expression, Product) else [expression]
        result: list[Expression] = []
        for factor in factors:
            base, exponent = (factor.base, factor.exponent) if isinstance(factor, Power) else (factor, Fraction(1))
            if isinstance(base, Name) and isinstance(self.written.get(base.label), Power):
                result.append(power(self.written[base.label], exponent))
            elif isinstance(factor, Reduced):
                body = self._out(factor.body)
                if isinstance(body, Product) and isinstance(body.factors[0], Number):
                    result += [body.factors[0], Reduced(times(*body.factors[1:]), factor.axes, factor.mean)]
                else:
                    result.append(factor)
            else:
                result.append(factor)
        return times(*result)

    def _mean(self, factors: list[Expression], total: Expression | None) -> bool:
        """Whether a total over a group and 1/m make a mean."""
        return (
            isinstance(total, Reduced)
            and not total.mean
            and total.axes == self.layout.reduced
            and power(COUNT, -1) in factors
        )

    def _head(self, reduced: Reduced) -> str:
        """Σ or mean; over which axes, where they are neither a group's nor those that share a parameter."""
        head = "mean" if reduced.mean else "Σ"
        shared = "".join(axis for axis in self.layout.axes if axis not in self.layout.affine)
        usual = (self.layout.reduced,) if reduced.mean else (self.layout.reduced, shared)
        return head if reduced.axes in usual else f"{head} over {','.join(reduced.axes)} of"

    @staticmethod
    def _divides(factor: Power) -> bool:
        """Whether a negative power is written below the line: a root or a whole power is."""
        return factor.exponent.denominator == 1 or factor.exponent.numerator == -1

    def _raised(self, base: Expression, exponent: Fraction) -> str:
        if exponent.numerator == 1 and exponent.denominator in (2, 4):
            tight = self._tight(base)
            return ("√" if exponent.denominator == 2 else "∜") + tight
        tight = self._tight(base)
        if exponent == 1:
            return tight
        if exponent.denominator == 1 and exponent > 0:
            raised = f"{exponent}".translate(_SUPERSCRIPTS)
            return f"({tight}){raised}" if tight.endswith("²") else f"{tight}{raised}"
        return f"{tight}^({'−' if exponent < 0 else ''}{abs(exponent)})"


def told(edit: Edit, right: Program) -> tuple[str, str]:
    """The equation of an edit as it is computed, and as it is right."""
    wording = Wording(right)
    steps = right.backward if edit.side == BACKWARD else right.forward
    where = " in the backward pass" if edit.side == SAVED else ""
    computed, expected = (wording.equation(edit.step, e) for e in (edit.equation, edit.right or steps[edit.step]))
    return computed + where, expected + where


_SIMPLICITY = (
    "eps-ignored",
    "eps-mismatch",
    "count-wrong",
    "sign",
    "factor-lost",
    "term-lost",
    "averaged",
    "not-summed",
    "zero",
    "axes",
    "term-doubled",
    "constant",
    "exponent",
    "factor-doubled",
    "exchanged",
    "swapped",
    "factor-added",
    "operator",
    "misplaced",
)
"""The sorts of edit, those that people think of first before the others."""

_STYLES = (
    "equations",
    "equations in s",
    "stages",
    "closed in dx̂",
    "closed",
    "multiplied by m",
    "through dγ",
    "factors in front",
    "reciprocal",
    "root anew",
    "written out",
    "expanded",
)


def simplicity(edits: Sequence[tuple[str, Edit]]) -> tuple[int, ...]:
    """How plainly edits can be told, to choose among those that come to the same."""
    _, edit = edits[-1]
    sort = _SIMPLICITY.index(edit.kind) if edit.kind in _SIMPLICITY else 0
    style = plainness(edit.program.style)
    return (-len(edits), edit.side != SAVED, not edit.throughout, -sort, -_length(edit.now), -style)


def plainness(style: str) -> int:
    """The place of a style among those that people think in, the plainest first."""
    return _STYLES.index(style) if style in _STYLES else len(_STYLES)


def _length(expression: Expression) -> int:
    return 1 + sum(map(_length, expression.parts))


_TEMPLATES: Mapping[str, str] = MappingProxyType(
    {
        "sign": "{where} the sign of {was} is turned",
        "factor-lost": "{where} the factor {was} is missing",
        "factor-added": "{where} there is a factor {now} too many",
        "factor-doubled": "{where} the factor {was} occurs twice",
        "term-lost": "{where} the term {was} is missing",
        "term-doubled": "{where} the term {was} occurs twice",
        "constant": "{where} {now} stands where {was} should",
        "exponent": "{where} the power is another: {now} for {was}",
        "exchanged": "{where} {now} stands where {was} should",
        "swapped": "{where} {was} and {now} stand for each other",
        "operator": "{where} an operator at {was} is another",
        "misplaced": "{where} a bracket or a sum ends in another place",
        "axes": "{where} it is {now} where it should be {was}",
        "not-summed": "{where} {was} is not summed",
        "averaged": "{where} a mean stands where a sum should, or a sum where a mean should",
        "zero": "{step} is zero",
    }
)
"""Each sort of edit in words; `where` is the equation, `was` what should stand there, `now` what does."""


def said(kind: str, edit: Edit, right: Program) -> str:
    """What an edit changes, in words; nothing where the catalogue's own words say it all."""
    if edit.kind not in _TEMPLATES:
        return ""
    wording = Wording(right)
    step, was, now = wording.sign(edit.step), wording.text(edit.was), wording.text(edit.now)
    where = f"in {step}"
    if edit.side == SAVED:
        where = f"in the {step} that the backward pass computes"
    elif edit.throughout:
        where = "throughout the backward pass" if edit.side == BACKWARD else "in both passes"
    return _TEMPLATES[edit.kind].format(where=where, was=was, now=now, step=step)


def glossary(right: Program, formulas: str) -> tuple[str, ...]:
    """What the signs in some formulas of a layer stand for, a formula each.

    >>> from bncheck.bugs.programs import programs
    >>> from bncheck.layers import LAYERS
    >>> layer = LAYERS["rms_norm"]
    >>> glossary(programs(layer, layer.layouts[0], ("gamma",))["stages"], "dx = dx̂/s")
    ('dx̂ = γ·dy', 's = √(ρ + ε)', 'ρ = mean x²')
    """
    wording = Wording(right)
    steps = {wording.sign(n): wording.equation(n, e) for n, e in (*right.forward.items(), *right.backward.items())}
    ordered = sorted(steps, key=lambda sign: (not sign.startswith("d"), -len(sign)))  # dx̂ before the x̂ in it
    told, pending = dict[str, str](), formulas
    while pending:
        more = ""
        for sign in ordered:
            if sign in pending and sign not in (*_PLAIN, *told) and f"{sign} = " not in formulas:
                told[sign] = steps[sign]
                more += steps[sign].partition("=")[2]
            pending = pending.replace(sign, " ")
        pending = more
    return tuple(told.values())


_PLAIN = ("y", "μ", "σ²", "dx", "dγ", "dβ", "R′", "V′")
"""What needs no explanation."""
