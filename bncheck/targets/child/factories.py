"""Functions that make a layer: what they return, closures or a container of them, is spoken to as an instance is."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from bncheck.targets.child.roles import assigned
from bncheck.targets.child.spoken import constructor_roles

_TRIAL = MappingProxyType({"size": 3, "eps": 1e-5, "momentum": 0.9, "rate": 0.1, "groups": 1})
"""What a function is handed to see what it makes."""


class Made:
    """What a function made; its functions are methods."""

    __factory__: ClassVar[Callable[..., Any]]

    def __init__(self, *given: Any, **named: Any) -> None:
        self.made = type(self).__factory__(*given, **named)


def made_by(function: Callable[..., Any]) -> type[Made] | None:
    """A class whose instances are what a function makes; None where it does not return functions that it defines."""
    if not _returns_functions(function):
        return None
    try:
        answer, _ = assigned(function, constructor_roles(function), _TRIAL)
        own = _functions_in(answer)
        methods = {name: _method(name, one) for name, one in own.items()}
        shown = {"__signature__": inspect.signature(function), "__doc__": function.__doc__}
    except Exception:  # it wants something else: then it is called as any function is
        return None
    body = {"__factory__": staticmethod(function), "__module__": function.__module__, **shown, **methods}
    return type(function.__name__, (Made,), body) if methods else None


def _functions_in(made: Any) -> dict[str, Callable[..., Any]]:
    """The functions in what was made, by their names, or by those under which they are kept."""
    if callable(made):
        return {"forward": made}
    if isinstance(made, Mapping):
        named = dict(made)
    elif isinstance(made, tuple | list) and not hasattr(made, "_fields"):
        named = {getattr(one, "__name__", ""): one for one in made}
    else:
        named = made._asdict() if hasattr(made, "_fields") else vars(made)
    return {name: one for name, one in named.items() if inspect.isroutine(one) and str(name).isidentifier()}


def _method(name: str, like: Callable[..., Any]) -> Callable[..., Any]:
    """A method that calls one of the functions that were made, and shows its arguments and its source."""

    @functools.wraps(like)
    def method(self: Made, *given: Any, **named: Any) -> Any:
        return _functions_in(self.made)[name](*given, **named)

    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    shown = inspect.signature(like)
    method.__signature__ = shown.replace(parameters=[itself, *shown.parameters.values()])  # type: ignore[attr-defined]
    return method


def _returns_functions(function: Callable[..., Any]) -> bool:
    """Whether a function returns functions that it defines, by its source."""
    try:
        (defined,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return False
    if not isinstance(defined, ast.FunctionDef):
        return False
    own = {node.name for node in defined.body if isinstance(node, ast.FunctionDef)}
    returned = [node for node in defined.body if isinstance(node, ast.Return) and node.value is not None]
    return any(isinstance(one, ast.Name) and one.id in own for node in returned for one in ast.walk(node))
