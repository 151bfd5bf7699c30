"""One walk over the expressions of a derivation decides what stands where, in whatever notation.

Gradients come first, then a fraction, then brackets and sums, so that a formula reads the same everywhere. A `Notation`
says only how each of these parts is written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import product
from types import MappingProxyType
from typing import Any, NamedTuple

import sympy as sp

from bncheck.case import X_TANGENT
from bncheck.oracles.symbolic.derivation import Derivation, Equations
from bncheck.oracles.symbolic.sums import contract, substitute
from bncheck.oracles.symbolic.symbols import ALONE, EPS, GradientBase, has_gradient, is_gradient
from bncheck.tangents import SUFFIX, tangent_of


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
            for indices in _namesakes(expression, step.symbol.indices):
                at_these = dict(zip(step.symbol.indices, indices, strict=True))
                expression = _named(expression, substitute(written, at_these), substitute(step.symbol, at_these))
    return expression.replace(
        lambda e: isinstance(e, sp.Mul),
        lambda e: sp.Mul(*(part for a in e.args for part in (a.primitive() if isinstance(a, sp.Add) else (a,)))),
    )


def _namesakes(expression: sp.Expr, indices: tuple[sp.Symbol, ...]) -> list[tuple[sp.Symbol, ...]]:
    """The indices under which a statistic may stand in an expression: its own, and bound ones of the same letters."""
    primed = sorted((s for s in expression.atoms(sp.Symbol) if s.name.endswith("'")), key=str)
    return list(product(*([i, *(s for s in primed if s.name.rstrip("'") == i.name)] for i in indices)))


def _named(expression: sp.Expr, written: sp.Expr, symbol: sp.Indexed) -> sp.Expr:
    """Puts a symbol for what it stands for; a mean is recognised by its sum, whatever has become of its 1/m."""
    sums = [f for f in sp.Mul.make_args(written) if isinstance(f, sp.Sum)]
    whole = len(sums) != 1 or (written / sums[0]).has(sp.Sum)
    return expression.xreplace({written: symbol} if whole else {sums[0]: symbol * sums[0] / written})


class Piece(NamedTuple):
    """A written factor, and whether it needs brackets beside other factors."""

    text: str
    loose: bool = False


class Shown(NamedTuple):
    """A name taken apart: ``new_running_var`` is the variance, marked as running, after the step."""

    name: str
    tangent: bool = False
    mark: str = ""
    after: bool = False

    @classmethod
    def of(cls, name: str) -> Shown:
        """The parts of a value's name.

        >>> Shown.of("new_running_var")
        Shown(name='var', tangent=False, mark='run', after=True)
        """
        plain = name.removesuffix(SUFFIX)
        after = plain.startswith("new_running_")
        running = plain.removeprefix("new_").startswith("running_")
        mark = "run" if running else "out" if plain.endswith("_out") else ""
        base = plain.removeprefix("new_").removeprefix("running_") if running else plain.removesuffix("_out")
        return cls(base, plain != name, mark, after)


class Equation(NamedTuple):
    """A written equation, and the name of the value or gradient that it defines."""

    name: str
    left: str
    right: str


class Notation(ABC):
    """How the parts of a formula are written; every method takes and returns text."""

    @abstractmethod
    def number(self, value: int) -> str:
        """A whole number."""

    @abstractmethod
    def size(self, name: str) -> str:
        """A size, such as m, or ε."""

    @abstractmethod
    def value(self, shown: Shown, indices: list[str]) -> str:
        """A named value with its indices: x, γ, μ, σ²; δx is the tangent of x."""

    @abstractmethod
    def gradient(self, of: str) -> str:
        """The loss's gradient with respect to a named value."""

    @abstractmethod
    def brackets(self, inner: str) -> str:
        """Brackets around an expression."""

    @abstractmethod
    def root(self, inner: str) -> str:
        """A square root."""

    @abstractmethod
    def power(self, base: str, exponent: sp.Rational) -> str:
        """A power; the base has its brackets already."""

    @abstractmethod
    def fraction(self, over: list[Piece], under: list[Piece]) -> str:
        """A product over a product; an empty one is 1, and nothing stands under the line where `under` is empty."""

    @abstractmethod
    def sum_over(self, index: str, size: str, body: str) -> str:
        """A sum from 1 to a size."""

    @abstractmethod
    def product(self, gradients: list[str], rest: list[str]) -> str:
        """Gradients, then what they are multiplied by: a fraction, brackets, sums."""

    @abstractmethod
    def terms(self, signed: list[tuple[bool, str]]) -> str:
        """A sum of terms, each with whether it is subtracted."""

    def times(self, factors: list[Piece], sign: str) -> str:
        """A product; a single factor needs no brackets."""
        return factors[0].text if len(factors) == 1 else sign.join(map(self.beside, factors))

    def beside(self, piece: Piece) -> str:
        """A factor as it stands beside others."""
        return self.brackets(piece.text) if piece.loose else piece.text


_NUMBERS = MappingProxyType({"eps": "ε", "new_weight": "w", "ddof": "d"})
"""How plain numbers are written."""

_BOUND = MappingProxyType({"n": "np", "i": "ij", "c": "cd", "k": "kl"})
"""The names of each role's index, in the order in which nested sums take them."""

_ALIKE = MappingProxyType({"mean": "mu", "mean_square": "rho", "std": "s", "rms": "r"})
"""Names that would be written alike: where both occur, the second is spelled out, with a mark."""

_SQUARES = frozenset({"var"})
"""Values whose name ends in a square, and which therefore need brackets under another exponent."""


class Writer:
    """Writes the expressions of one derivation in one notation; `names` collects the indices that occur."""

    def __init__(self, derivation: Derivation, notation: Notation) -> None:
        self.derivation = derivation
        self.notation = notation
        self.names: dict[str, set[str]] = {letter: {letter} for letter in derivation.roles}
        self.gradients = {f"d{name}": k for k, name in enumerate([*reversed(derivation.steps), *derivation.inputs])}
        self.gradients |= {f"{name}_out": 0 for name in self.gradients}
        taken = {*derivation.inputs, *derivation.constants, *derivation.steps}
        self.roots = {}
        for name in derivation.saved:
            root = name.removeprefix("inv_")
            self.roots[derivation.symbol(name).base] = sp.IndexedBase(f"root_{root}" if root in taken else root)
        taken |= {str(root.label) for root in self.roots.values()}
        self.spelled = {alike: f"{alike}_" for name, alike in _ALIKE.items() if {name, alike} <= taken}

    def equations(self, form: str) -> tuple[list[Equation], list[Equation]]:
        """The forward and the backward equations."""
        derivation, gradients = self.derivation, _equations(self.derivation, form)
        folded = {name: gradients[name] for name in derivation.steps if name in gradients}
        forward = [(name, step.symbol, folded.get(name, step.expression)) for name, step in derivation.steps.items()]
        for name, root in derivation.saved.items():
            symbol = derivation.symbol(name)
            if any(expression.has(symbol.base) for expression in gradients.values()):
                base = self.roots[symbol.base]
                forward.append((str(base.label), base[symbol.indices], 1 / root))
        backward = [
            (name, GradientBase(name)[derivation.symbol(name[1:]).indices], expression)
            for name, expression in gradients.items()
            if name not in folded
        ]
        return [self.equation(*sides) for sides in forward], [self.equation(*sides) for sides in backward]

    def equation(self, name: str, left: sp.Indexed, right: sp.Expr) -> Equation:
        """One equation; the indices on its left are those that its right side may use."""
        scope = {index: index.name for index in left.indices}
        right = right.replace(
            lambda e: isinstance(e, sp.Indexed) and e.base in self.roots,
            lambda e: 1 / self.roots[e.base][e.indices],
        )
        return Equation(name, self.indexed(left, scope), self.expression(right, scope))

    def expression(self, expression: sp.Expr, scope: Mapping[sp.Symbol, str]) -> str:
        """Any expression."""
        return self.notation.terms(self.signed(expression, scope))

    def signed(self, expression: sp.Expr, scope: Mapping[sp.Symbol, str]) -> list[tuple[bool, str]]:
        """The terms of an expression, each with whether it is subtracted."""
        terms = sorted(sp.Add.make_args(expression), key=self.rank)
        negative = [_negative(term) for term in terms]
        return [(n, self.term(-t if n else t, scope)) for n, t in zip(negative, terms, strict=True)]

    def rank(self, term: sp.Expr) -> tuple[Any, ...]:
        """Where a term of a sum stands.

        Gradients of later steps come first, as in the chain rule, and a lone ε last; then what has fewer sums, so that
        dx reads direct, through the variance, through the mean; positive terms; those that vary within a group.
        """
        factors = sp.Mul.make_args(term)
        outside = [s for f in factors if not isinstance(f, sp.Sum) for s in f.atoms(sp.Indexed)]
        whole = self.derivation.inputs["x"].indices
        later = [self.gradients[_label(s)] for s in term.atoms(sp.Indexed) if is_gradient(s)]
        return (
            min(later, default=0),
            term == EPS,
            sum(isinstance(f, sp.Sum) for f in factors),
            _negative(term),
            not any(s.indices == whole and not is_gradient(s) for s in outside),
            sp.default_sort_key(term),
        )

    def term(self, term: sp.Expr, scope: Mapping[sp.Symbol, str]) -> str:
        """A product without a sign: gradients, a fraction, brackets that hold gradients, sums."""
        number, rest = term.as_coeff_Mul()
        over = [Piece(self.notation.number(number.p))] if number.p != 1 else []
        under = [Piece(self.notation.number(number.q))] if number.q != 1 else []
        gradients, brackets, sums = [], [], []
        for factor in sorted(sp.Mul.make_args(rest), key=_factor_rank):
            base, exponent = factor.as_base_exp()
            if factor == 1:
                continue
            if isinstance(factor, sp.Sum):
                sums.append(self.sum_over(factor, scope))
            elif isinstance(factor, sp.Indexed) and is_gradient(factor):
                gradients.append(self.indexed(factor, scope))
            elif isinstance(factor, sp.Add) and (factor.has(sp.Sum) or has_gradient(factor)):
                brackets.append(self.notation.brackets(self.expression(factor, scope)))
            elif exponent.is_negative:
                under.append(self.factor(base, -exponent, scope))
            else:
                over.append(self.factor(base, exponent, scope))
        sums.sort(key=len)
        others = brackets + [self.notation.brackets(s) for s in sums[:-1]] + sums[-1:]
        if len(over) == 1 and not under and (gradients or others):
            over = [Piece(self.notation.beside(over[0]))]
        fraction = [self.notation.fraction(over, under)] if over or under or not (gradients or others) else []
        return self.notation.product(gradients, fraction + others)

    def factor(self, base: sp.Expr, exponent: sp.Rational, scope: Mapping[sp.Symbol, str]) -> Piece:
        """A power with a positive exponent."""
        if exponent == 1:
            return Piece(self.atom(base, scope), loose=not (base.is_Symbol or isinstance(base, sp.Indexed)))
        if exponent == sp.S.Half:
            return Piece(self.notation.root(self.expression(base, scope)))
        plain = isinstance(base, sp.Indexed) and not is_gradient(base) and _label(base) not in _SQUARES
        simple = base.is_Symbol or plain
        text = self.atom(base, scope)
        return Piece(self.notation.power(text if simple else self.notation.brackets(text), exponent))

    def atom(self, expression: sp.Expr, scope: Mapping[sp.Symbol, str]) -> str:
        """An expression without outer brackets."""
        if isinstance(expression, sp.Indexed):
            return self.indexed(expression, scope)
        if expression.is_Symbol:
            return self.notation.size(_NUMBERS.get(expression.name, expression.name))
        return self.expression(expression, scope)

    def sum_over(self, total: sp.Sum, scope: Mapping[sp.Symbol, str]) -> str:
        """A sum; each of its indices takes the first name that is not in use around it."""
        names: dict[sp.Symbol, str] = {}
        for index, *_ in total.limits:
            letter = index.name.rstrip("'")
            taken = {*scope.values(), *names.values()}
            candidates = [*_BOUND[letter], *(letter + "′" * k for k in range(1, len(taken) + 1))]
            names[index] = next(name for name in candidates if name not in taken)
            self.names[letter].add(names[index])
        text = self.expression(total.function, {**scope, **names})
        text = self.notation.brackets(text) if isinstance(total.function, sp.Add) else text
        for index, _, size in total.limits:
            text = self.notation.sum_over(names[index], self.notation.size(size.name), text)
        return text

    def indexed(self, symbol: sp.Indexed, scope: Mapping[sp.Symbol, str]) -> str:
        """A named value or a gradient."""
        label, indices = _label(symbol), [scope[index] for index in symbol.indices if index != ALONE]
        if is_gradient(symbol):
            return self.notation.gradient(self.notation.value(self.shown(label[1:]), indices))
        return self.notation.value(self.shown(label), indices)

    def shown(self, name: str) -> Shown:
        """How a value's name is built: of a jvp, y is itself a tangent."""
        jvp = X_TANGENT in self.derivation.inputs
        name = self.spelled.get(name, name)
        return Shown.of(tangent_of(name) if jvp and name == "y" else name)


def _label(symbol: sp.Indexed) -> str:
    return str(symbol.base.label)


def _negative(term: sp.Expr) -> bool:
    return bool(term.as_coeff_Mul()[0] < 0)


def _factor_rank(factor: sp.Expr) -> tuple[Any, ...]:
    """Where a factor stands: sizes, then parameters and statistics, then what varies most, then brackets."""
    base = factor.as_base_exp()[0]
    if isinstance(base, sp.Indexed):
        return 1, len(base.indices), _label(base)
    return 0 if base.is_Symbol else 2, 0, sp.default_sort_key(factor)
