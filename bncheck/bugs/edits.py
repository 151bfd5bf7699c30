"""Edits: every small change in one place of a derived program, made by machine.

A factor or a term is lost, a sign turned, a constant or an exponent is another, one array stands for another, an
operator for another, a sum goes over other axes or is a mean. Planted, an edit is a bug; matched with an answer, it is
a diagnosis. An edit of the forward pass is one of four bugs, by what the backward pass makes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import combinations, permutations, product

from bncheck.bugs.expressions import (
    MINUS,
    ONE,
    ZERO,
    Expression,
    Name,
    Number,
    Power,
    Product,
    Reduced,
    Sum,
    divides,
    exchanged,
    minus,
    number,
    over,
    places,
    plus,
    power,
    put,
    signed,
    throughout,
    times,
)
from bncheck.bugs.programs import COUNT, HOLE, Program, Steps, axes_of, gradient, size, varies

FORWARD, SAVED, BACKWARD = "forward", "saved", "backward"


@dataclass(frozen=True, eq=False)
class Edit:
    """A program with one place written otherwise.

    `kind` is the sort of change, `step` the label of the equation in which it is; `was` stood there, `now` stands
    there. `side` is whose equation that is: that of the forward pass, of what the backward pass saved or recomputes of
    it, or of the backward pass. `right` is the equation before the edit where it is written otherwise than the
    program's own.
    """

    kind: str
    program: Program
    side: str
    step: str
    was: Expression
    now: Expression
    throughout: bool = False
    right: Expression | None = None

    @property
    def equation(self) -> Expression:
        """The step's expression after the edit."""
        return self._steps(self.program)[self.step]

    def _steps(self, program: Program) -> Steps:
        return {FORWARD: program.forward, SAVED: program.saved, BACKWARD: program.backward}[self.side]


def _is_last(steps: Steps, label: str) -> bool:
    """Whether no other step reads this one, so that it may come after all of them."""
    return not any(label in expression.names for name, expression in steps.items() if name != label)


def _known(steps: Steps, label: str) -> list[str]:
    """The steps that may be read where one is computed."""
    names = list(steps)
    return [name for name in names if name != label] if _is_last(steps, label) else names[: names.index(label)]


def _with(steps: Steps, label: str, expression: Expression) -> dict[str, Expression]:
    """Steps with another expression in one, which comes last where it reads later ones."""
    changed, names = {**steps, label: expression}, list(steps)
    if not expression.names.isdisjoint(names[names.index(label) :]):
        changed[label] = changed.pop(label)
    return changed


def of_backward(program: Program) -> Iterator[Edit]:
    """Every edit of the backward pass, in one place; then those that hold throughout it."""
    before = [*program.axes_of_inputs, *program.saved]
    for label, expression in program.backward.items():
        for kind, was, now, new in one_place(expression, [*before, *_known(program.backward, label)], program):
            for backward in _in_either_shape(program, label, _with(program.backward, label, new)):
                yield Edit(kind, replace(program, backward=backward), BACKWARD, label, was, now)
    yield from _everywhere(program)


def _in_either_shape(program: Program, label: str, backward: Steps) -> Iterator[Steps]:
    """Changed steps; and where one has lost an axis, what they are if the array has, and sums go over the next one."""
    yield backward
    new, known = backward[label], program.axes
    if varies(new, known) < set(known[label]) or _over_what_is_left(new, known) != new:
        axes = axes_of(program.own, program.layout, program.parameters, program.saved)
        moved: dict[str, Expression] = {}
        for name, expression in backward.items():
            moved[name] = _over_what_is_left(expression, axes)
            axes[name] = "".join(axis for axis in program.layout.axes if axis in varies(moved[name], axes))
        if moved != backward:
            yield moved


def _over_what_is_left(expression: Expression, axes: Mapping[str, str]) -> Expression:
    """An expression whose sums over axes that there are none of go over those that there are."""
    parts = tuple(_over_what_is_left(part, axes) for part in expression.parts)
    changed = expression.with_parts(parts)
    if isinstance(changed, Reduced) and changed.body.names:
        left = varies(changed.body, axes)
        if left and not left & set(changed.axes):
            return replace(changed, axes="".join(sorted(left)))
    return changed


def _everywhere(program: Program) -> Iterator[Edit]:
    """Names read for others in the whole backward pass: what was saved is not what is used."""
    names = frozenset[str]().union(*(expression.names for expression in program.backward.values()))
    forward = [*program.axes_of_inputs, *program.saved]
    used = [label for label in forward if label in names]
    for first, second in combinations(used, 2):
        swapped = {first: Name(second), second: Name(first)}
        backward: Steps = {name: exchanged(e, swapped) for name, e in program.backward.items()}
        step = next(name for name, expression in program.backward.items() if first in expression.names)
        changed = replace(program, backward=backward)
        yield Edit("swapped", changed, BACKWARD, step, Name(first), Name(second), True)
    for label in used:
        steps = [name for name, expression in program.backward.items() if label in expression.names]
        inside = program.saved.get(label)
        for now in (
            *_others(label, forward),
            *([new for *_, new in one_place(inside, forward, program)] if inside else ()),
        ):
            read = {name: exchanged(e, {label: now}) for name, e in program.backward.items()}
            for backward in _in_either_shape(program, steps[0], read):
                yield Edit("exchanged", replace(program, backward=backward), BACKWARD, steps[0], Name(label), now, True)


def of_forward(program: Program) -> Iterator[Edit]:
    """Every edit of the forward pass, with the backward pass as it was, which reads what is saved."""
    for label, expression in program.forward.items():
        known = [*program.axes_of_inputs, *_known(program.forward, label)]
        for kind, was, now, new in one_place(expression, known, program):
            forward = _with(program.forward, label, new)
            yield Edit(kind, replace(program, forward=forward, saved=forward), FORWARD, label, was, now)


def at_once(program: Program) -> Iterator[Edit]:
    """Edits of a step of the forward pass in which the others of x's size are written out: what is saved is right."""
    large = {n: e for n, e in program.forward.items() if set(program.axes[n]) == set(program.layout.axes)}
    for label, expression in large.items():
        whole = expression
        for name in reversed(large):
            whole = exchanged(whole, {name: large[name]}) if name != label else whole
        known = [*program.axes_of_inputs, *_known(program.forward, label)]
        for kind, was, now, new in one_place(whole, known, program) if whole != expression else ():
            forward = _with(program.forward, label, new)
            changed = replace(program, forward=forward, saved=forward)
            yield Edit(kind, changed, FORWARD, label, was, now, right=whole)


def misread(program: Program) -> Iterator[Edit]:
    """What is another in both passes: an input with its sign turned, doubled, or in place of another; the axes."""
    for label in ("x", *program.parameters):
        name = Name(label)
        others = [Name(other) for other in ("x", *program.parameters) if other != label]
        for now in (minus(name), times(number(2), name), over(name, number(2)), power(name, -1), *others):
            yield from _throughout(program, name, now)
    for axis in program.layout.axes if any(COUNT.label in e.names for e in program.forward.values()) else ():
        yield from _throughout(program, COUNT, size(axis))
    for axes in _other_axes(program.layout.reduced, program):
        forward = {n: throughout(e, partial(_over, axes=axes)) for n, e in program.forward.items()}
        step = next((n for n, e in program.forward.items() if forward[n] != e), "")
        if step:
            changed = replace(program, forward=forward, saved=forward)
            yield Edit("axes", changed, FORWARD, step, program.forward[step], forward[step])


def _throughout(program: Program, name: Name, now: Expression) -> Iterator[Edit]:
    """A name read as something else in both passes, where the forward pass reads it."""
    step = next((n for n, e in program.forward.items() if name.label in e.names), "")
    forward, backward = (
        {n: exchanged(e, {name.label: now}) for n, e in steps.items()} for steps in (program.forward, program.backward)
    )
    if step:
        changed = replace(program, forward=forward, saved=forward, backward=backward)
        yield Edit("exchanged", changed, FORWARD, step, name, now, throughout=True)


def returned(program: Program) -> Iterator[Edit]:
    """Two gradients handed back in each other's place."""
    labels = [gradient(name) for name in ("x", *program.parameters)]
    for first, second in combinations(labels, 2):
        steps = program.backward
        inner = {n: e for n, e in steps.items() if n not in (first, second)}
        swapped = {first: steps[second], second: steps[first]}
        written = {
            n: exchanged(e, {first: steps[first], second: steps[second]}) for n, e in {**inner, **swapped}.items()
        }
        yield Edit("exchanged", replace(program, backward=written), BACKWARD, first, steps[first], steps[second])


def at_one_use(program: Program) -> Iterator[Edit]:
    """Edits of a step in one place where it is used: what is computed there anew is not what other places read."""
    known = [*program.axes_of_inputs, *program.saved, *program.backward]
    for label, expression in program.backward.items():
        for way, node in places(expression):
            inner = (
                program.backward.get(node.label) or program.saved.get(node.label) if isinstance(node, Name) else None
            )
            if inner is None or not isinstance(node, Name):
                continue
            uses = sum(node.label in other.names for other in (*program.backward.values(), *program.saved.values()))
            before = known[: known.index(node.label)]
            for kind, was, now, new in one_place(inner, before, program) if uses > 1 else ():
                changed = replace(program, backward=_with(program.backward, label, put(expression, way, new)))
                yield Edit(kind, changed, BACKWARD, label, was, now, right=put(expression, way, inner))


def holes(program: Program) -> Iterator[Edit]:
    """The backward pass with a factor that is not known yet before one of its terms or steps: linear in that."""
    hole = Name(HOLE)
    for label, expression in program.backward.items():
        for way, node in places(expression):
            terms = node.terms if isinstance(node, Sum) else (node,) if not way else ()
            changes = [
                (term, times(hole, term), plus(*terms[:k], times(hole, term), *terms[k + 1 :]))
                for k, term in enumerate(terms)
            ]
            if isinstance(node, Name):
                changes.append((node, hole, hole))
            for was, now, changed in changes:
                backward = _with(program.backward, label, put(expression, way, changed))
                yield Edit("constant", replace(program, backward=backward), BACKWARD, label, was, now)


def forward_holes(program: Program) -> Iterator[Edit]:
    """The forward pass with such a factor before a name, a term or a step."""
    hole = Name(HOLE)
    for label, expression in program.forward.items():
        for way, node in places(expression):
            several = [times(hole, node)] if isinstance(node, Name | Number) or not way else []
            several += [hole] if isinstance(node, Name) else []
            for now in several:
                forward = _with(program.forward, label, put(expression, way, now))
                yield Edit("constant", replace(program, forward=forward, saved=forward), FORWARD, label, node, now)


def recomputed(edit: Edit, right: Program) -> Edit:
    """An edit of the forward pass that only the backward pass makes, which computes what it needs anew."""
    return replace(edit, side=SAVED, program=replace(edit.program, forward=right.forward))


def one_place(
    expression: Expression, known: Iterable[str], program: Program
) -> Iterator[tuple[str, Expression, Expression, Expression]]:
    """Every edit of one expression: its kind, what stood there, what stands there, and the whole."""
    names = list(known)
    yield "zero", expression, ZERO, ZERO
    yield from (("exchanged", expression, Name(name), Name(name)) for name in names)
    yield "sign", expression, minus(expression), minus(expression)
    reductions = [node.axes for _, node in places(expression) if isinstance(node, Reduced)]
    for axes in _other_axes(reductions[0], program) if len(reductions) > 1 else ():
        everywhere = throughout(expression, partial(_over, axes=axes))
        if everywhere != expression:
            yield "axes", expression, everywhere, everywhere
    for factor in _factors(names, program):
        yield "factor-added", ONE, factor, times(expression, factor)
    for way, node in places(expression):
        for kind, was, now in _alternatives(node, names, program):
            if now != node:
                yield kind, was, now, put(expression, way, now)


def _factors(names: Iterable[str], program: Program) -> Iterator[Expression]:
    """What a step may be multiplied by once too often."""
    for name in names:
        small = set(program.axes.get(name, "")) != set(program.layout.axes)
        if small or not name.startswith("∂"):
            yield Name(name)
            yield power(Name(name), -1)
    yield from (number(2), number(Fraction(1, 2)))


def _over(node: Expression, axes: str) -> Expression | None:
    """A reduction, and all within it, over other axes."""
    if not isinstance(node, Reduced):
        return None
    return replace(node, axes=axes, body=throughout(node.body, lambda inner: _over(inner, axes)))


def _other_axes(own: str, program: Program) -> list[str]:
    """The axes that a sum may go over by mistake: one, all but one, all; one more, less or other than its own."""
    layout = program.layout
    axes = layout.axes
    few: list[str] = [axes, *axes, layout.reduced, layout.affine, layout.kept]
    few += [axes.replace(axis, "") for axis in axes]
    rest = [axis for axis in axes if axis not in own]
    few += [own + new for new in rest] + ["".join(rest)]
    few += [own.replace(old, new) for old in own for new in ("", *rest)]
    return sorted({"".join(axis for axis in axes if axis in chosen) for chosen in few} - {own, ""})


_EXPONENTS = (Fraction(1, 2), Fraction(1), Fraction(3, 2), Fraction(2), Fraction(3))


def _alternatives(node: Expression, names: list[str], program: Program) -> Iterator[tuple[str, Expression, Expression]]:
    """What may stand in the place of a node: the kind of edit, the part that it touches, and what is new."""
    if isinstance(node, Name):
        yield from (("exchanged", node, other) for other in _others(node.label, names))
        yield from (
            ("constant", node, times(factor, node)) for factor in (number(2), number(Fraction(1, 2)), number(3))
        )
        if node == COUNT:
            yield from (("constant", node, plus(node, number(k))) for k in (-1, 1))
        yield "constant", node, plus(ONE, node)
        yield "constant", node, plus(ONE, minus(node))
    elif isinstance(node, Number):
        value = node.fraction
        others = {
            value + 1,
            value - 1,
            2 * value,
            value / 2,
            -value,
            -value - 1,
            1 / value if value else value,
            Fraction(1),
        }
        yield from (("constant", node, Number(other)) for other in sorted(others))
        yield "constant", node, COUNT
    elif isinstance(node, Power):
        yield from _powers(node, names)
    elif isinstance(node, Sum):
        yield from _sums(node, names)
        yield from (("exchanged", node, Name(name)) for name in names)
    elif isinstance(node, Product):
        yield from _products(node, program)
    elif isinstance(node, Reduced):
        yield from _reductions(node, program)


def _others(label: str, names: Iterable[str]) -> Iterator[Expression]:
    yield from (Name(other) for other in names if other != label)
    yield from (power(Name(other), -1) for other in names if other == label)
    yield from (power(Name(label), Fraction(2)), power(Name(label), Fraction(1, 2)))


def _powers(node: Power, names: Iterable[str]) -> Iterator[tuple[str, Expression, Expression]]:
    base, exponent = node.base, node.exponent
    steps = {exponent + sign * step for step in _EXPONENTS for sign in (1, -1)}
    above, below = exponent.as_integer_ratio()  # ** (-3 - 2) for ** (-3 / 2)
    steps |= {Fraction(above + below), Fraction(above - below), Fraction(above * below)}
    for other in sorted({*steps, -exponent, 2 * exponent, exponent / 2, Fraction(1)} - {exponent, Fraction(0)}):
        if other.denominator <= 8:
            yield "exponent", node, power(base, other)
    if exponent < 0:
        yield "factor-lost", node, ONE
        yield from (("operator", node, plus(ONE, operand)) for operand in (base, minus(base)))  # 1 - a for 1 / a
    yield "operator", node, times(number(exponent), base)
    yield "operator", node, over(base, number(exponent))
    yield "operator", node, plus(base, number(exponent))
    yield "operator", node, plus(base, number(-exponent))
    if exponent.numerator not in (1, -1):  # ** -3 / 2 without its brackets
        yield "exponent", node, over(power(base, exponent.numerator), number(exponent.denominator))
    if exponent == Fraction(1, 2) or exponent == Fraction(-1, 2):
        sign = 1 if exponent > 0 else -1
        if isinstance(base, Sum):  # √a + b for √(a + b)
            for k, term in enumerate(base.terms):
                rest = plus(*base.terms[:k], *base.terms[k + 1 :])
                yield "misplaced", node, power(plus(power(rest, abs(exponent)), term), sign)
        yield "misplaced", node, power(times(base, power(number(2), -1)), sign)
    if exponent == 2:
        if isinstance(base, Name):
            yield from (("exchanged", base, times(base, other)) for other in _others(base.label, names))
        if isinstance(base, Sum):
            for _, was, now in _sums(base):
                yield "operator", was, times(base, now)
            for name in names:
                yield "exchanged", base, times(base, Name(name))


def _sums(node: Sum, names: Iterable[str] = ()) -> Iterator[tuple[str, Expression, Expression]]:
    terms = node.terms
    for k, term in enumerate(terms):
        others = plus(*terms[:k], *terms[k + 1 :])
        plain, negative = signed(term)
        yield "term-lost", term, others
        yield "sign", term, plus(*terms[:k], minus(term), *terms[k + 1 :])
        yield "term-doubled", term, plus(*terms, term)
        yield "operator", node, times(others, plain)
        yield "operator", node, over(others, plain)
        for name in names:
            other = minus(Name(name)) if negative else Name(name)
            yield "exchanged", term, plus(*terms[:k], other, *terms[k + 1 :])
    yield "sign", node, minus(node)
    for k, j in permutations(range(len(terms)), 2):
        (first, negative), (second, _) = signed(terms[k]), signed(terms[j])
        rest = plus(*(term for n, term in enumerate(terms) if n not in (k, j)))
        for joined in (times(first, second), over(first, second)):  # with the sign of the one that is written first
            yield "operator", plus(terms[k], terms[j]), plus(rest, minus(joined) if negative else joined)
        if rest != ZERO:
            yield "misplaced", node, times(plus(rest, terms[k]), second)
    for k, term in enumerate(terms):  # a bracket closed elsewhere: (a + b)·c for a + b·c, a/c + b for (a + b)/c
        if isinstance(term, Product):
            for factor in term.factors:
                if not isinstance(factor, Number) or factor.fraction != MINUS:
                    rest = plus(*terms[:k], over(term, factor), *terms[k + 1 :])
                    yield "misplaced", node, times(rest, factor)


def _upright(factor: Expression, program: Program) -> tuple[Expression, ...]:
    """A factor; and what it divides by, where it is a divisor."""
    below = []
    for part in factor.factors if isinstance(factor, Product) else (factor,):
        if divides(part):
            below.append(power(part, -1))
        elif isinstance(part, Name) and part.label in program.inverses:
            below.append(program.inverses[part.label])
        else:
            return (factor,)
    return factor, times(*below)


def _products(node: Product, program: Program) -> Iterator[tuple[str, Expression, Expression]]:
    factors = node.factors
    for k, factor in enumerate(factors):
        others = (*factors[:k], *factors[k + 1 :])
        yield "factor-lost", factor, times(*others)
        yield "operator", factor, times(*others, power(factor, -1))
        yield "factor-doubled", factor, times(*factors, factor)
        if isinstance(factor, Power) and factor.exponent.denominator == 1 and factor.exponent < -1:
            yield "factor-lost", factor, times(*others, power(factor.base, -1))
        for many in range(1, len(others) + 1):  # + or − for × or ÷, between one factor and those before it
            for chosen in combinations(range(len(others)), many):
                before = times(*(others[n] for n in chosen))
                rest = times(*(other for n, other in enumerate(others) if n not in chosen))
                for left, right in product(_upright(before, program), _upright(factor, program)):
                    for joined in (plus(left, right), plus(left, minus(right)), plus(right, minus(left))):
                        yield "operator", factor, times(joined, rest)
                        if left is not before and right is not factor:  # a/(b + c) for a/(b·c)
                            yield "operator", factor, over(rest, joined)
                yield "operator", factor, over(rest, before, factor)
    yield "sign", node, minus(node)
    for lost in (*combinations(factors, 2), *combinations(factors, 3)):
        yield "factor-lost", times(*lost), times(*(factor for factor in factors if factor not in lost))
    for k, factor in enumerate(factors):  # Σ a·b for Σ(a·b): one factor inside the total, or outside
        if isinstance(factor, Reduced):
            for j, other in enumerate(factors):
                if j != k and not isinstance(other, Number):
                    inside = Reduced(times(factor.body, other), factor.axes, factor.mean)
                    yield "misplaced", node, times(inside, *(f for n, f in enumerate(factors) if n not in (k, j)))


def _reductions(node: Reduced, program: Program) -> Iterator[tuple[str, Expression, Expression]]:
    body = node.body
    yield "not-summed", node, body
    yield "averaged", node, replace(node, mean=not node.mean)
    for other in _other_axes(node.axes, program):
        yield "axes", node, replace(node, axes=other)
    if isinstance(body, Product):
        for k, factor in enumerate(body.factors):
            rest = times(*body.factors[:k], *body.factors[k + 1 :])
            yield "misplaced", node, times(factor, replace(node, body=rest))
    if isinstance(body, Power):
        yield "misplaced", node, power(replace(node, body=body.base), body.exponent)
    if isinstance(body, Sum):
        for k, term in enumerate(body.terms):
            rest = plus(*body.terms[:k], *body.terms[k + 1 :])
            yield "misplaced", node, plus(term, replace(node, body=rest))
