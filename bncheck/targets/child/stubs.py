"""Tells code that is not written yet from code that is wrong: by what stands there, not by what it answers."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Set
from typing import Any

from bncheck.targets.child.failures import is_library

_METHODS = {
    "forward": re.compile(r"forward|fprop|^(__call__|call|apply)$"),
    "backward": re.compile(r"backward|bprop|backprop|^(grad|vjp)$"),
}


def unwritten(style: object) -> str:
    """Which half of an implementation is not written yet, ``forward`` or ``backward``; "" where neither is so."""
    return next((which for which in _METHODS if (own := _functions(style, which)) and all(map(is_stub, own))), "")


def _functions(style: object, which: str) -> list[Callable[..., Any]]:
    """The function, or the methods of a class, by which a style is called."""
    if function := getattr(style, which, None):
        return [function]
    thing = getattr(style, "thing", None)
    kind = thing if isinstance(thing, type) else type(thing)
    methods = {name: f for base in reversed(kind.__mro__) for name, f in vars(base).items() if inspect.isfunction(f)}
    return [f for name, f in methods.items() if _METHODS[which].search(name) and not is_library(f.__code__.co_filename)]


def is_stub(function: Callable[..., Any]) -> bool:
    """Whether a function does nothing, raises NotImplementedError, or returns nothing but None.

    One that computes and forgets to return is none, nor is one whose source cannot be seen.

    >>> is_stub(is_stub)
    False
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError, ValueError):
        return False
    defined = next((node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)), None)
    if defined is None:
        return False
    nodes = [node for statement in defined.body for node in ast.walk(statement)]
    if any(isinstance(step, ast.Raise) and "NotImplementedError" in ast.dump(step) for step in defined.body):
        return True
    answers = [node.value for node in nodes if isinstance(node, ast.Return)]
    if not answers:
        return not any(isinstance(node, ast.Call | ast.BinOp | ast.AugAssign | ast.Raise) for node in nodes)
    empty = {name for node in nodes for name in _left_empty(node)}
    empty -= {name for node in nodes for name in _assigned(node)}
    return all(_is_nothing(value, empty) for value in answers)


def _assigned(node: ast.AST) -> set[str]:
    """The names that a statement gives something other than None."""
    if isinstance(node, ast.Assign) and _is_nothing(node.value, frozenset()):
        return set()
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.For | ast.NamedExpr | ast.withitem):
        return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    return set()


def _left_empty(node: ast.AST) -> set[str]:
    """The names that a statement gives None."""
    if not (isinstance(node, ast.Assign) and _is_nothing(node.value, frozenset())):
        return set()
    return {one.id for target in node.targets for one in ast.walk(target) if isinstance(one, ast.Name)}


def _is_nothing(value: ast.expr | None, empty: Set[str]) -> bool:
    """Whether an expression is None, several of it, or names that are `empty`."""
    if isinstance(value, ast.Tuple | ast.List):
        return bool(value.elts) and all(_is_nothing(one, empty) for one in value.elts)
    if isinstance(value, ast.Name):
        return value.id in empty
    return value is None or (isinstance(value, ast.Constant) and value.value is None)
