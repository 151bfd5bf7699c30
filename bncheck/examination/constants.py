"""The numbers that stand in somebody's source: whoever writes ``if len(x) > 37`` does something else from there on."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import MappingProxyType

_LEAST, _MOST = 4, 5000  # sizes below are asked anyway, above they would take long
_COUNTED = ast.Compare | ast.BinOp | ast.Slice | ast.Call | ast.AugAssign
_FOLDED: Mapping[type[ast.operator], Callable[[int, int], int]] = MappingProxyType(
    {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv}
)


@dataclass(frozen=True)
class Constants:
    """Whole numbers that could be sizes, those that are counted with first; and what is compared with, positive."""

    wholes: tuple[int, ...] = ()
    bounds: tuple[float, ...] = ()

    @classmethod
    def of(cls, place: str) -> Constants:
        """Those of a file, or of a module that can be found without running anything; none where it cannot be read.

        >>> 5000 in Constants.of(__file__).wholes
        True
        """
        path = _path(place)
        try:
            return cls.within(ast.parse(path.read_bytes())) if path else cls()
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return cls()

    @classmethod
    def within(cls, tree: ast.AST) -> Constants:
        """Those of a parsed source.

        >>> Constants.within(ast.parse("BLOCK = 8 * 8; rest = len(x) > 37 or x.max() < -50.5")).bounds
        (37.0, 50.5)
        """
        nodes = [*ast.walk(tree)]
        near = [value for node in nodes if isinstance(node, _COUNTED) for value in _numbers(node)]
        others = [value for node in nodes for value in _numbers(node)]
        compared = [abs(value) for node in nodes if isinstance(node, ast.Compare) for value in _numbers(node)]
        wholes = [n for n in (*near, *others) if isinstance(n, int) and _LEAST <= n <= _MOST]
        bounds = [float(n) for n in compared if n and (isinstance(n, float) or n >= _LEAST)]
        return cls(tuple(dict.fromkeys(wholes)), tuple(dict.fromkeys(bounds)))

    def sizes(self, thorough: bool) -> list[int]:
        """The sizes just below, at and just above each whole number, and beyond its double."""
        chosen = self.wholes[: _MANY if thorough else _FEW]
        return [size for n in chosen for size in (n - 1, n, n + 1, 2 * n + 1)]


_FEW, _MANY = 6, 40


def _numbers(node: ast.AST) -> Iterator[int | float]:
    """The numbers that a node's own parts are."""
    for part in ast.iter_child_nodes(node):
        value = _value(part)
        if value is not None:
            yield value


def _value(node: ast.AST) -> int | float | None:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(left, int) and isinstance(right, int):
            if isinstance(node.op, ast.LShift | ast.Pow) and 0 <= left <= _MOST and 0 <= right < 16:
                return left << right if isinstance(node.op, ast.LShift) else int(left**right)
            if type(node.op) in _FOLDED and (right or not isinstance(node.op, ast.FloorDiv)):
                return _FOLDED[type(node.op)](left, right)
    return None


def _path(place: str) -> Path | None:
    """Where a source lies."""
    if place.endswith(".py"):
        return Path(place)
    first, *inner = place.split(".")
    spec = PathFinder.find_spec(first)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    if not inner:
        return Path(spec.origin)
    below = Path(spec.origin).parent.joinpath(*inner)
    return next((path for path in (below.with_suffix(".py"), below / "__init__.py") if path.is_file()), None)
