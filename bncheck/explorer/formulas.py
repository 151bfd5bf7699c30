"""How the nodes of a layer's graph are written: what each is called, how it is computed, and what comes back to it."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from bncheck.bugs.expressions import Expression, Name, Number, Power, Product, Reduced, Sum, power, signed, times
from bncheck.bugs.programs import COUNT, DY, Program
from bncheck.report.notations import Unicode
from bncheck.report.writer import Notation, Piece, Shown
from bncheck.trace import Node, trace

LONGEST = 12
"""How many letters the name of a node may have; a longer one gives way to the sign of its operation."""

_OPERATORS = {"add": "+", "subtract": "−", "multiply": "×", "divide": "÷", "negative": "−", "sqrt": "√", "mean": "Σ"}


class Formulas:
    """The expressions of one elementary program in one notation.

    A step that the definition names has its name, a lone root is s, and every other step is written out. An `index`
    says which element of the group is meant; without one, all are.
    """

    def __init__(self, notation: Notation, program: Program, nodes: Mapping[str, Node]) -> None:
        self.notation, self.program, self.nodes = notation, program, nodes
        self.signs = {name: Shown.of(name) for name in program.axes}
        named = trace(program.layer, program.layout, program.parameters).named
        self.written = {label: step for label, step in program.forward.items() if label not in named}
        glyphs = {Unicode().value(sign, []) for name, sign in self.signs.items() if name not in self.written}
        roots = [label for label, node in nodes.items() if node.operation == "sqrt"]
        if len(roots) == 1 and roots[0] in self.written and "s" not in glyphs:
            self.signs[roots[0]] = Shown("std")
            del self.written[roots[0]]

    def name(self, label: str) -> str:
        """What a node is called: its name, what it computes, or where that is long the sign of its operation."""
        plain = self if isinstance(self.notation, Unicode) else Formulas(Unicode(), self.program, self.nodes)
        if label in self.written and len(plain.expression(Name(label))) > LONGEST:
            return self.notation.size(_OPERATORS[self.nodes[label].operation])
        return self.expression(Name(label))

    def gradient(self, label: str) -> str:
        """What the gradient of a node is called."""
        return self.expression(Name(f"∂{label}"))

    def expression(self, expression: Expression, index: str = "") -> str:
        """An expression of the program."""
        return self._piece(expression, index).text

    def _piece(self, expression: Expression, index: str) -> Piece:
        """An expression, and whether it is a sum."""
        write = self.notation
        if isinstance(expression, Name):
            return self._named(expression.label, index)
        if isinstance(expression, Sum):
            terms = sorted(map(signed, expression.terms), key=lambda term: term[1])  # what is subtracted comes last
            return Piece(write.terms([(negative, self._term(term, negative, index)) for term, negative in terms]), True)
        if isinstance(expression, Reduced):
            if expression.mean:
                return self._piece(times(power(COUNT, -1), Reduced(expression.body, expression.axes)), index)
            bound = "ijk"["ijk".index(index) + 1] if index else "i"
            body = write.beside(self._piece(expression.body, bound))
            return Piece(write.sum_over(bound, write.size(COUNT.label), body))
        if isinstance(expression, Power) and expression.exponent > 0:
            base, exponent = expression.base, sp.Rational(*expression.exponent.as_integer_ratio())
            if exponent == sp.Rational(1, 2):
                return Piece(write.root(self.expression(base, index)))
            return Piece(write.power(self._tight(base, index, Sum, Product, Reduced, Power), exponent))
        positive, negative = signed(expression)
        if negative:
            return Piece(write.terms([(True, self._term(positive, negative, index))]), True)
        return Piece(self._product(expression, index))

    def _named(self, label: str, index: str) -> Piece:
        write = self.notation
        if label in self.written:
            return self._piece(self.written[label], index)
        if label == DY or label.startswith("∂"):
            of = "y" if label == DY else label[1:]
            return Piece(write.gradient(self._tight(Name(of), index, Sum, Product, Reduced)))
        if label not in self.signs:
            return Piece(write.size("ε" if label == "eps" else label))
        inner = index and "N" in self.program.axes[label]
        return Piece(write.value(self.signs[label], [index] if inner else []))

    def _term(self, term: Expression, negative: bool, index: str) -> str:
        piece = self._piece(term, index)
        return self.notation.beside(piece) if negative else piece.text

    def _product(self, product: Expression, index: str) -> str:
        """Gradients, then a fraction, then totals."""
        write = self.notation
        factors = product.factors if isinstance(product, Product) else (product,)
        gradients = [f for f in factors if isinstance(f, Name) and (f.label == DY or f.label.startswith("∂"))]
        totals = [factor for factor in factors if isinstance(factor, Reduced)]
        above: list[Piece] = []
        below: list[Piece] = []
        for factor in factors:
            if isinstance(factor, Number):
                p, q = factor.fraction.as_integer_ratio()
                above += [Piece(write.number(p))] if p != 1 or len(factors) == 1 else []
                below += [Piece(write.number(q))] if q != 1 else []
            elif isinstance(factor, Power) and factor.exponent < 0:
                inverse = power(factor, -1)
                below.append(Piece(self.expression(inverse, index), isinstance(self._out(inverse), Sum | Product)))
            elif factor not in (*gradients, *totals):
                above.append(self._piece(factor, index))
        rest = [write.fraction(above, below)] if above or below else []
        rest += [self.expression(total, index) for total in totals]
        return write.product([self.expression(gradient, index) for gradient in gradients], rest)

    def _out(self, expression: Expression) -> Expression:
        """What a name is written out as."""
        while isinstance(expression, Name) and expression.label in self.written:
            expression = self.written[expression.label]
        return expression

    def _tight(self, expression: Expression, index: str, *loose: type[Expression]) -> str:
        """An expression, in brackets where it is one of these sorts or is written with a square under a power."""
        text = self.expression(expression, index)
        out = self._out(expression)
        square = Power in loose and isinstance(out, Name) and out.label == "var"
        return self.notation.brackets(text) if isinstance(out, loose) or square else text
