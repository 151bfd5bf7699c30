"""Lowers the closed form to vectorised NumPy source that reads like a slide, and compiles it.

The source works in place and shares sums between gradients; it uses only operators, `.sum`, `np.einsum` and `np.sqrt`,
so the same function runs on floats of any dtype, on midpoint-radius arrays and on arrays of Arb balls.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from sympy.printing.str import StrPrinter

from bncheck.case import X_TANGENT, Layout
from bncheck.errors import InvalidDefinition
from bncheck.layers import Layer
from bncheck.oracles.symbolic import budgets
from bncheck.oracles.symbolic.derivation import Derivation, derive, factored, ordered_terms, too_long
from bncheck.oracles.symbolic.sums import normal
from bncheck.oracles.symbolic.symbols import SIZES, gradient_symbol, replace_indexed, upstream_symbol
from bncheck.oracles.symbolic.vanishing import Step, centrings


@dataclass(frozen=True)
class Lowered:
    """The compiled backward pass of one layer on one layout.

    `saved(*saved_arguments, eps)` computes what is kept from the forward pass; `backward(*arguments)` returns the
    gradients in the order of `outputs`. Of a jvp, `product(*product_arguments)` is ẏ itself, folded; other layers have
    none.

    Shapes
        x, dy: those of the layout; statistics and parameters: such that they broadcast against x.

    Error
        Within the computed tolerance: tests/test_tolerance.py.
    """

    source: str
    saved: Callable[..., tuple[Any, ...]]
    saved_arguments: tuple[str, ...]
    saved_outputs: tuple[str, ...]
    backward: Callable[..., tuple[Any, ...]]
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    product: Callable[..., Any] | None = None
    product_arguments: tuple[str, ...] = ()


@lru_cache(maxsize=64)
def lower(layer: Layer, layout: Layout, parameters: tuple[str, ...] | None = None) -> Lowered:
    """The backward pass of `layer` on `layout`, from its derivation.

    >>> from bncheck.layers import LAYERS
    >>> lowered = lower(LAYERS["batch_norm"], Layout("NC", "N", "C"))
    >>> print(lowered.source.partition("m = x.shape[0]")[2].strip())
    centred = x - mean
        dgamma = inv_std * np.einsum("nc,nc->c", centred, dy).reshape(mean.shape)
        dbeta = dy.sum(axis=(0,), keepdims=True)
        dx = centred  # not needed any more: its memory becomes dx
        dx *= -dgamma * inv_std / m
        dx += dy
        dx -= dbeta / m
        dx *= gamma * inv_std
        return dx, dgamma, dbeta
    """
    derivation = derive(layer, layout, parameters)
    budget = budgets.Budget(budgets.DERIVATION)
    try:
        with budget.running():
            return _lowered(derivation, layer, layout)
    except budgets.Spent:
        if budget.seconds > 0:
            raise  # a budget around this one
        raise too_long(layer, "to lower to code") from None
    except RecursionError:
        raise too_long(layer, "to lower to code") from None


def _lowered(derivation: Derivation, layer: Layer, layout: Layout) -> Lowered:
    gradients = {name: derivation.closed[name] for name in derivation.outputs}
    backward = _Writer(derivation, layout, gradients)
    sources = [backward.saved_source(), backward.source(f"{layer.name}_backward")]
    product = None
    if "y" in derivation.closed:
        product = _Writer(derivation, layout, {"y": derivation.closed["y"]})
        sources.insert(1, product.source(layer.name))
    source = "\n\n".join(sources)
    namespace: dict[str, Any] = {"np": np, "__name__": f"bncheck.lowered.{layer.name}"}
    filename = f"<bncheck {layer.name} {layout} {','.join(derivation.inputs)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), namespace)  # the source was just written above, from the derivation
    return Lowered(
        source,
        namespace[f"{layer.name}_saved"],
        tuple(backward.saved_arguments),
        tuple(derivation.saved),
        namespace[f"{layer.name}_backward"],
        tuple(backward.arguments),
        derivation.outputs,
        namespace.get(layer.name),
        tuple(product.arguments) if product else (),
    )


class _Printer(StrPrinter):  # type: ignore[misc]  # SymPy ships no types
    """Python text of formulas over arrays: an indexed symbol is its array, a root is np.sqrt."""

    printmethod = "_bncheck"  # not _sympystr: an indexed symbol would print itself, indices and all

    def _print_Indexed(self, expression: sp.Indexed) -> str:  # noqa: N802  # SymPy's naming
        return str(expression.base.label)

    def _as_ordered_terms(self, expression: sp.Add, order: object = None) -> list[sp.Expr]:
        return ordered_terms(expression)

    def _print_Pow(self, expression: sp.Pow, rational: bool = False) -> str:  # noqa: N802  # likewise
        base, exponent = expression.args
        if exponent.is_Rational and not exponent.is_Integer:
            root = self._print(base)
            for _ in range(int(exponent.q).bit_length() - 1):
                root = f"np.sqrt({root})"
            power = root if abs(exponent.p) == 1 else f"{root}**{abs(exponent.p)}"
            return power if exponent > 0 else f"1/{power}"
        return str(super()._print_Pow(expression, rational=rational))


class _Writer:
    """Writes the source of some of one derivation's formulas on one layout.

    The formulas are the closed form with x̂ = root · centred put in: the root leaves the sums, so x̂ itself is never
    stored, and `centred` is the one array that becomes dx.
    """

    def __init__(self, derivation: Derivation, layout: Layout, formulas: Mapping[str, sp.Expr]) -> None:
        self.derivation = derivation
        self.layout = layout
        self.known: dict[sp.Sum, sp.Expr] = {}
        self.printer = _Printer()
        whole = derivation.inputs["x"].indices
        self.whole = {n for n in formulas if n == "y" or derivation.symbol(n.removeprefix("d")).indices == whole}
        symbols = [*derivation.inputs.values(), *(step.symbol for step in derivation.steps.values())]
        self.large = {symbol for symbol in symbols if symbol.indices == whole}
        self.large.add(gradient_symbol(derivation.steps["y"].symbol))
        self.locals: dict[str, sp.Expr] = {}
        self.taken: set[str] = set()
        self.formulas = dict(formulas)
        self._name_deviations()
        for step in derivation.steps.values():
            if step.symbol.indices == whole and any(e.has(step.symbol.base) for e in self.formulas.values()):
                self._put_in(step)
        for formula in (*self.formulas.values(), *self.locals.values()):
            if any(power.base.has(sp.Sum) for power in formula.atoms(sp.Pow) if not isinstance(power.base, sp.Sum)):
                raise InvalidDefinition(
                    f"definition={derivation.layer.name} takes the root of a mean that it does not return, expected"
                    " every statistic among the named results. Return it as well, {'mean_square': ..., 'y': ...}."
                )
        written = [*self.formulas.values(), *self.locals.values()]
        bases = {s.base.label.name for e in written for s in e.atoms(sp.Indexed)}
        upstream = [upstream_symbol(derivation.symbol(name)).base.label.name for name in derivation.layer.outputs[:-1]]
        first = [X_TANGENT, "x"] if "y" in formulas else ["dy", *upstream, "x"]
        self.small = [*derivation.steps, *derivation.constants, *derivation.saved, *derivation.inputs]
        self.small = [name for name in self.small if name in bases and name not in first]
        self.arguments = [*(name for name in first if name in bases or name in ("dy", "x")), *self.small]
        self.arguments += [number for number in ("eps", *derivation.layer.settings) if _mentioned(number, written)]
        roots = derivation.saved.values()
        owners = [*derivation.inputs, *derivation.constants, *derivation.steps]
        self.saved_arguments = [n for n in owners if any(root.has(derivation.symbol(n)) for root in roots)]
        self.saved_arguments += [number for number in derivation.layer.settings if _mentioned(number, roots)]

    def _name_deviations(self) -> None:
        """Makes a local array of what an input differs by from its mean, where the formulas have that difference."""
        for centring in centrings(self.derivation.inputs, self.derivation.steps):
            base = centring.symbol.base
            elements = {s for e in self.formulas.values() for s in e.atoms(sp.Indexed) if s.base == base}
            differences = {centring.difference(s.indices): s.indices for s in elements}
            if any(e.has(difference) for e in self.formulas.values() for difference in differences):
                name = self.local("centred", centring.difference(centring.symbol.indices))
                array = sp.IndexedBase(name)
                self.large.add(array[centring.symbol.indices])
                written = {difference: array[indices] for difference, indices in differences.items()}
                self.formulas = {n: e.xreplace(written) for n, e in self.formulas.items()}

    def local(self, name: str, array: sp.Expr) -> str:
        """The local variable that holds an array, under this name if there is none yet."""
        known = {value: local for local, value in self.locals.items()}
        if array not in known:
            name = self.fresh(name)
            self.locals[name] = array
        return known.get(array, name)

    def _put_in(self, step: Step) -> None:
        """Replaces a step as large as x by its factors; what varies most becomes a local array of its own."""
        small, array = self.derivation.named_roots(step.expression).as_independent(*self.large, as_Add=False)
        if not isinstance(array, sp.Indexed):
            centring = isinstance(array, sp.Add) and "centred" not in self.locals
            name = self.local("centred" if centring else f"scaled_{step.symbol.base}", array)
            array = sp.IndexedBase(name)[step.symbol.indices]
            self.large.add(array)
        for name, formula in self.formulas.items():
            self.formulas[name] = factored(normal(replace_indexed(formula, step.symbol, small * array)))

    def fresh(self, name: str) -> str:
        """A name for a variable of the function, which no argument and no other variable has."""
        name = self.derivation.fresh(name, self.taken)
        self.taken.add(name)
        return name

    def saved_source(self) -> str:
        """The function that computes what backward keeps from forward."""
        derivation = self.derivation
        lines = [f"def {derivation.layer.name}_saved({', '.join([*self.saved_arguments, 'eps'])}):"]
        lines += [f"    {name} = {self.text(root)}" for name, root in derivation.saved.items()]
        returned = ", ".join(derivation.saved)
        return "\n".join([*lines, f"    return {returned}," if returned else "    return ()", ""])

    def source(self, function: str) -> str:
        """The function that computes every formula; the arrays as large as x come last."""
        layout = self.layout
        results = ", ".join(self.formulas)
        shape, over = ", ".join(layout.axes), ", ".join(layout.reduced)
        arrays = ", ".join(name for name in ("x", X_TANGENT, "dy") if name in self.arguments)
        text = f"{results} for {arrays} of shape ({shape}); statistics over {over}."
        text = text if len(text) < 100 else text.replace(" for ", "\n\n    for ", 1) + "\n    "
        body = self.sizes()
        body += [f"{name} = {self.text(array)}" for name, array in self.locals.items()]
        pending = sorted(self.formulas, key=lambda name: (name in self.whole, name == "dx"))
        while pending:
            body += self.gradient(pending.pop(0), later=pending)
        return "\n".join(
            [
                f"def {function}({', '.join(self.arguments)}):",
                f'    """{text}"""',
                *(f"    {line}" for line in body),
                f"    return {results}{',' if self.formulas.keys() == {'dx'} else ''}",
                "",
            ]
        )

    def text(self, expression: sp.Expr) -> str:
        """The Python text of an expression."""
        return re.sub(r"(?<![*])([*/])(?![*])", r" \1 ", str(self.printer.doprint(expression)))

    def sizes(self) -> list[str]:
        """Assignments of the sizes that stand outside the sums."""
        mentioned = set()
        for formula in self.formulas.values():
            mentioned |= formula.xreplace({s: sp.Dummy() for s in formula.atoms(sp.Sum)}).free_symbols
        return [
            f"{SIZES[letter]} = " + " * ".join(f"x.shape[{self.layout.axes.index(axis)}]" for axis in axes)
            for letter, axes in self.derivation.roles.items()
            if SIZES[letter] in mentioned
        ]

    def gradient(self, name: str, later: list[str]) -> list[str]:
        """Assignments that leave the gradient in a variable of its name; `later` names those still to come."""
        formula = self.formulas[name]
        sums = sorted(
            formula.atoms(sp.Sum) - set(self.known), key=lambda s: (len(s.atoms(sp.Sum)), sp.default_sort_key(s))
        )  # a sum within a sum comes first
        if name not in self.whole and len(sums) == 1 and not (formula / sums[0]).has(sp.Sum):
            (total,) = sums
            small = formula / total
            if self.never_zero(small):  # or what is divided by it to be used again could be lost
                self.known[total] = sp.Symbol(name) / small
                return [f"{name} = {'' if small == 1 else self.text(small) + ' * '}{self.sum_text(total)}"]
        lines = []
        for total in sums:
            factors = self.factors(total)
            words = "_".join(map(self.text, factors)).replace("np.", "")
            label = self.fresh("sum_" + re.sub(r"[\W_]+", "_", words).strip("_"))
            lines.append(f"{label} = {self.sum_text(total)}")
            self.known[total] = sp.Symbol(label)
        formula = formula.xreplace(self.known)
        if name not in self.whole:
            return [*lines, f"{name} = {self.text(formula)}"]
        if formula == 0:
            return [f"{name} = 0 * dy"]
        front, terms = _split(formula)
        wanted = [self.formulas[other] for other in later]
        lines += self.in_place(name, terms, wanted)
        return [*lines, *([f"{name} *= {self.text(front)}"] if front != 1 else [])]

    def never_zero(self, small: sp.Expr) -> bool:
        """Whether a factor is made of numbers, sizes and the roots that are saved."""
        roots = {self.derivation.symbol(name) for name in self.derivation.saved}
        return not small.has(sp.Add) and small.atoms(sp.Indexed) <= roots

    def factors(self, total: sp.Sum) -> list[sp.Expr]:
        """What a sum multiplies, sums within it by their names, in the order of their names."""
        return sorted(sp.Mul.make_args(total.function.xreplace(self.known)), key=sp.default_sort_key)

    def sum_text(self, total: sp.Sum) -> str:
        """A sum over axes that keeps them with size 1; a product of two arrays needs no temporary."""
        factors = self.factors(total)
        labels = [self.text(factor) for factor in factors]
        letters = [index.name.rstrip("'") for index, *_ in total.limits]
        summed = "".join(self.derivation.roles[letter] for letter in letters)
        axes = [k for k, axis in enumerate(self.layout.axes) if axis in summed]
        kept = "".join(axis for axis in self.layout.axes if axis not in summed)
        large = {symbol.base for symbol in self.large}
        like = next((name for name in self.small if self.varies_along(name) == kept), None)
        if len(factors) == 2 and all(isinstance(f, sp.Indexed) and f.base in large for f in factors) and like:
            every = self.layout.axes.lower()
            return f'np.einsum("{every},{every}->{kept.lower()}", {", ".join(labels)}).reshape({like}.shape)'
        body = labels[0] if labels[0].isidentifier() and len(labels) == 1 else f"({self.text(sp.Mul(*factors))})"
        over = ", ".join(map(str, axes))
        return f"{body}.sum(axis=({over}{',' if len(axes) == 1 else ''}), keepdims=True)"

    def varies_along(self, argument: str) -> str:
        """The axes along which an argument varies, in the layout's order."""
        indices = self.derivation.symbol(argument).indices
        varying = "".join(self.derivation.roles.get(index.name, "") for index in indices)
        return "".join(axis for axis in self.layout.axes if axis in varying)

    def in_place(self, name: str, terms: list[sp.Expr], later: list[sp.Expr]) -> list[str]:
        """A running total: first the term whose array can be overwritten, last those that are constant."""
        parts = sorted((t.as_independent(*self.large, as_Add=False) for t in terms), key=lambda part: part[1] == 1)
        wanted = [*later, *self.locals.values()]
        owned = [part for part in parts if self.text(part[1]) in self.locals]
        owned = [part for part in owned if not any(formula.has(part[1].base) for formula in wanted)]
        if owned and sum(array.has(owned[0][1]) for _, array in parts) == 1:
            first = owned[0]
            lines = [f"{name} = {self.text(first[1])}  # not needed any more: its memory becomes {name}"]
            lines += [f"{name} *= {self.text(first[0])}"] if first[0] != 1 else []
        else:
            first = parts[0]
            fresh = self.text(sp.Mul(*first))
            lines = [f"{name} = {fresh}{'.copy()' if fresh.isidentifier() else ''}"]
        for small, array in (part for part in parts if part is not first):
            negative = small.could_extract_minus_sign()
            amount = self.text(sp.Mul(-small if negative else small, array))
            lines.append(f"{name} {'-' if negative else '+'}= {amount}")
        return lines


def _mentioned(number: str, expressions: Iterable[sp.Expr]) -> bool:
    """Whether a plain number, eps or a setting, occurs in expressions."""
    return any(sp.Symbol(number) in _plain(expression) for expression in expressions)


def _plain(expression: sp.Expr) -> set[sp.Symbol]:
    """The symbols of an expression, labels of indexed bases aside."""
    symbols: set[sp.Symbol] = expression.atoms(sp.Symbol)
    return symbols - {s.base.label for s in expression.atoms(sp.Indexed)}


def _split(closed: sp.Expr) -> tuple[sp.Expr, list[sp.Expr]]:
    """A common factor in front and the terms behind it."""
    if isinstance(closed, sp.Mul):
        sums = [a for a in closed.args if isinstance(a, sp.Add)]
        if len(sums) == 1:
            return sp.Mul(*(a for a in closed.args if a is not sums[0])), list(sums[0].args)
    return sp.S.One, list(sp.Add.make_args(closed))
