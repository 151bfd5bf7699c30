"""Every one-token change of a source: what a slip of the hand makes of right code.

A change replaces one node of the syntax tree by another. What is written to a file and shown is what `ast.unparse`
makes of the tree, so that a change shows in one line, whatever stood around it.
"""

from __future__ import annotations

import ast
import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

NAMES_AT_A_PLACE = 2
"""How many other names are put at one place, unless all are wanted; which, a seed draws."""

_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_OTHER_OPERATORS: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    **{operator: tuple(o for o in _ARITHMETIC if o is not operator) for operator in _ARITHMETIC},
    ast.Pow: (ast.Mult, ast.Div),
    ast.FloorDiv: (ast.Mult, ast.Add, ast.Sub),
}
_OTHER_METHODS = {"sum": "mean", "mean": "sum", "var": "std", "std": "var"}
_DROPPED_CALLS = ("sum", "mean", "sqrt", "rsqrt")
_AXIS_WORDS = ("axis", "dim")
_REDUCTIONS = ("sum", "mean", "var", "std")


@dataclass(frozen=True)
class Mutant:
    """A source after one change: `before` and `after` are the statement's lines, `line` its number in the source."""

    source: str
    kind: str
    line: int
    before: str
    after: str
    text: str

    @property
    def id(self) -> str:
        """The source and a fingerprint of what was made of it: the same wherever and in whatever order it is made."""
        return f"{self.source}/{hashlib.sha256(self.text.encode()).hexdigest()[:6]}"

    def __str__(self) -> str:
        return f"{self.id} line {self.line}, {self.kind}: {self.before}  →  {self.after}"


@dataclass(frozen=True)
class _Place:
    """Where a node hangs in the tree: a field of its parent, or an item of one."""

    parent: ast.AST
    field: str
    index: int | None = None

    @property
    def node(self) -> Any:
        held = getattr(self.parent, self.field)
        return held if self.index is None else held[self.index]

    def put(self, node: Any) -> None:
        """Hangs another node there."""
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def mutants(name: str, source: str, names_at_a_place: int | None = NAMES_AT_A_PLACE) -> list[Mutant]:
    """Every change of a source, in its own order, each text once; None puts every name at every place.

    >>> [mutant.after for mutant in mutants("one", "y = x / 2")]  # doctest: +ELLIPSIS
    ['y = -(x / 2)', 'y = x + 2', 'y = x - 2', 'y = x * 2', 'y = x', 'y = 1 / 2', ...]
    """
    tree = ast.parse(source)
    original = ast.unparse(tree)
    by_text: dict[str, Mutant] = {}
    for place, line, scope in _places(tree):
        node = place.node
        rng = random.Random(f"{name} {line} {ast.dump(node)} {place.field} {place.index}")
        for kind, replacement in _changes(place, scope, rng, names_at_a_place):
            place.put(replacement)
            text = ast.unparse(tree)
            place.put(node)
            if text != original and text not in by_text:
                by_text[text] = Mutant(name, kind, line, *_lines(original, text), text)
    return list(by_text.values())


def _lines(original: str, text: str) -> tuple[str, str]:
    """The line that changed, before and after."""
    pairs = zip(original.splitlines(), text.splitlines(), strict=True)
    return next((before.strip(), after.strip()) for before, after in pairs if before != after)


def _places(tree: ast.Module) -> Iterator[tuple[_Place, int, Sequence[str]]]:
    """Every place, with its line and the names that its function, or the methods of its class, know."""

    def within(parent: ast.AST, line: int, scope: Sequence[str]) -> Iterator[tuple[_Place, int, Sequence[str]]]:
        if isinstance(parent, ast.ClassDef):
            scope = _attributes(parent)
        elif isinstance(parent, ast.FunctionDef):
            scope = [*(name for name in scope if "." in name), *_locals(parent)]
        for field, value in ast.iter_fields(parent):
            for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(node, ast.AST) and not _is_docstring(node):
                    here = getattr(node, "lineno", line)
                    yield _Place(parent, field, index), here, scope
                    yield from within(node, here, scope)

    yield from within(tree, 0, ())


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _locals(function: ast.FunctionDef) -> list[str]:
    """Arguments and assigned names, in their order; no `self`, which is none to be mistaken."""
    arguments = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    assigned = [n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return [name for name in dict.fromkeys([*arguments, *assigned]) if name not in ("self", "ctx", "_")]


def _attributes(class_: ast.ClassDef) -> list[str]:
    """What the methods of a class keep on self, as ``self.x``."""
    assigned = [n for n in ast.walk(class_) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)]
    return list(
        dict.fromkeys(ast.unparse(n) for n in assigned if isinstance(n.value, ast.Name) and n.value.id == "self")
    )


def _changes(
    place: _Place, scope: Sequence[str], rng: random.Random, names: int | None
) -> Iterator[tuple[str, ast.AST]]:
    """What can stand at a place instead, and the kind of each change."""
    node = place.node
    if isinstance(node, ast.Assign | ast.Return | ast.AugAssign):
        yield from _of_statement(node)
    elif isinstance(node, ast.BinOp):
        yield from _of_operation(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        if isinstance(node.operand, ast.Constant) and isinstance(node.operand.value, int | float):
            yield from _of_number(-node.operand.value, place)
        else:
            yield "sign", node.operand
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "condition", node.operand
    elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
        other = ast.NotEq() if isinstance(node.ops[0], ast.Eq) else ast.Eq()
        yield "condition", ast.Compare(node.left, [other], node.comparators)
    elif isinstance(node, ast.Constant):
        yield from _of_constant(node, place)
    elif isinstance(node, ast.Call):
        yield from _of_call(node)
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield "transpose dropped", node.value
    if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load):
        yield from _of_tuple(node, place)
    if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in scope and isinstance(node.ctx, ast.Load):
        others = [name for name in scope if name != ast.unparse(node)]
        several = others if names is None else sorted(rng.sample(others, min(names, len(others))), key=others.index)
        for name in several:
            yield "name", ast.parse(name, mode="eval").body


def _of_statement(node: ast.Assign | ast.Return | ast.AugAssign) -> Iterator[tuple[str, ast.AST]]:
    """A minus before the whole value; another way of adding on."""
    if isinstance(node.value, ast.BinOp | ast.Call | ast.Name):
        negative = ast.UnaryOp(ast.USub(), node.value)
        if isinstance(node, ast.Assign):
            yield "sign", ast.Assign(node.targets, negative, lineno=node.lineno)
        elif isinstance(node, ast.Return):
            yield "sign", ast.Return(negative)
    if isinstance(node, ast.AugAssign):
        for other in _OTHER_OPERATORS[type(node.op)]:
            yield "operator", ast.AugAssign(node.target, other(), node.value)
        yield "term dropped", ast.Assign([node.target], node.value, lineno=node.lineno)


def _of_operation(node: ast.BinOp) -> Iterator[tuple[str, ast.AST]]:
    """Another operator; one side alone."""
    for other in _OTHER_OPERATORS.get(type(node.op), ()):
        yield "operator", ast.BinOp(node.left, other(), node.right)
    if isinstance(node.op, ast.Mult) and isinstance(node.right, ast.Constant | ast.UnaryOp):
        yield "operator", ast.BinOp(node.left, ast.Pow(), node.right)
    if isinstance(node.op, ast.Add | ast.Sub):
        yield "term dropped", node.left
        yield "term dropped", node.right if isinstance(node.op, ast.Add) else ast.UnaryOp(ast.USub(), node.right)
    elif isinstance(node.op, ast.Mult | ast.MatMult):
        yield "factor dropped", node.left
        yield "factor dropped", node.right
    elif isinstance(node.op, ast.Div | ast.FloorDiv):
        yield "factor dropped", node.left
        if not (isinstance(node.left, ast.Constant) and node.left.value == 1):
            yield "factor dropped", ast.BinOp(ast.Constant(1), node.op, node.right)
    elif isinstance(node.op, ast.Pow):
        yield "exponent dropped", node.left


def _of_constant(node: ast.Constant, place: _Place) -> Iterator[tuple[str, ast.AST]]:
    """Numbers nearby and far off; the other truth value; other letters in Einstein's notation."""
    value = node.value
    if isinstance(value, bool):
        yield "flag", ast.Constant(not value)
    elif isinstance(value, int | float):
        if not _is_negated(place):
            yield from _of_number(value, place)
    elif isinstance(value, str) and "->" in value:
        for other in _other_letters(value):
            yield "letter", ast.Constant(other)


def _is_negated(place: _Place) -> bool:
    """Whether a number stands behind a minus, with which it is changed as one."""
    return isinstance(place.parent, ast.UnaryOp) and isinstance(place.parent.op, ast.USub)


def _of_number(value: float, place: _Place) -> Iterator[tuple[str, ast.AST]]:
    half = value // 2 if isinstance(value, int) and value % 2 == 0 else value / 2
    whole = isinstance(value, int) and _counts_places(place)
    near = (value + 1, value - 1, 0, 1, 2 * value, *(() if whole else (half,)), -value)
    for other in dict.fromkeys(n for n in near if n != value):
        yield "constant", _number(other)
    if isinstance(place.parent, ast.keyword) and place.parent.arg in _AXIS_WORDS:
        yield "axis", ast.Constant(None)


def _counts_places(place: _Place) -> bool:
    """Whether a whole number says which axis or which item, so that no half of it makes sense."""
    return isinstance(place.parent, ast.keyword | ast.Tuple | ast.Subscript | ast.Call)


def _number(value: float) -> ast.expr:
    return ast.UnaryOp(ast.USub(), ast.Constant(-value)) if value < 0 else ast.Constant(value)


def _other_letters(subscripts: str) -> Iterator[str]:
    """Each letter dropped or exchanged for another one of the same subscripts."""
    for k, letter in enumerate(subscripts):
        if letter.isalpha():
            yield subscripts[:k] + subscripts[k + 1 :]
            for other in sorted({c for c in subscripts if c.isalpha()} - {letter}):
                yield subscripts[:k] + other + subscripts[k + 1 :]


def _of_call(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    """A sum for a mean, a deviation for a variance, or the call dropped; an axis, or all keywords but it, dropped."""
    if not isinstance(node.func, ast.Attribute):
        return
    function = node.func
    if function.attr in _OTHER_METHODS:
        other = ast.Attribute(function.value, _OTHER_METHODS[function.attr], ast.Load())
        yield "reduction", ast.Call(other, node.args, node.keywords)
    if function.attr in _DROPPED_CALLS:
        of_module = isinstance(function.value, ast.Name) and function.value.id in ("np", "torch")
        yield "call dropped", node.args[0] if of_module else function.value
    if function.attr in _REDUCTIONS:
        for k, keyword in enumerate(node.keywords):
            yield f"{keyword.arg} dropped", ast.Call(function, node.args, node.keywords[:k] + node.keywords[k + 1 :])


def _of_tuple(node: ast.Tuple, place: _Place) -> Iterator[tuple[str, ast.AST]]:
    """Two items exchanged; a minus before one; of a tuple of axes, one left out.

    In which order a function returns things is its own convention, which `check` finds out.
    """
    numbers = all(isinstance(item, ast.Constant) and isinstance(item.value, int) for item in node.elts)
    own = numbers or isinstance(place.parent, ast.Return)
    for j, k in [] if own else combinations(range(len(node.elts)), 2):
        items = list(node.elts)
        items[j], items[k] = items[k], items[j]
        yield "order", ast.Tuple(items, ast.Load())
    if isinstance(place.parent, ast.Return):
        for k, item in enumerate(node.elts):
            if not isinstance(item, ast.Constant | ast.Tuple):
                signed = [*node.elts[:k], ast.UnaryOp(ast.USub(), item), *node.elts[k + 1 :]]
                yield "sign", ast.Tuple(signed, ast.Load())
    if numbers:
        for k in range(len(node.elts)):
            yield "axis", ast.Tuple(node.elts[:k] + node.elts[k + 1 :], ast.Load())
