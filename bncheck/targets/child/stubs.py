"""Tells a function that is not written yet from one that computes and forgets to return."""

from __future__ import annotations

import dis
import inspect
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from bncheck.targets.child.failures import is_library

_FORWARD = re.compile(r"forward|fprop|^(__call__|call|apply)$")
_BACKWARD = re.compile(r"backward|bprop|backprop|^(grad|vjp)$")
_COMPUTING = ("CALL", "BINARY_OP", "UNARY", "COMPARE")


def functions_of(style: object, which: str) -> list[Callable[..., Any]]:
    """The functions, or the methods of a class, by which a style calls ``forward`` or ``backward``."""
    if function := getattr(style, f"call_{which}", None):
        return [function]
    thing = getattr(style, "thing", None)
    pattern = _FORWARD if which == "forward" else _BACKWARD
    kind = thing if isinstance(thing, type) else type(thing)
    methods = {name: f for base in reversed(kind.__mro__) for name, f in vars(base).items() if inspect.isfunction(f)}
    return [f for name, f in methods.items() if pattern.search(name) and not is_library(f.__code__.co_filename)]


def forgets_to_return(function: Callable[..., Any]) -> bool:
    """Whether a function computes something, and no way through it returns anything.

    >>> def stub(dy, cache):
    ...     dx = None
    ...     return dx
    >>> def forgetful(dy, cache):
    ...     dx = dy * cache
    >>> forgets_to_return(stub), forgets_to_return(forgetful), forgets_to_return(lambda dy, cache: dy * cache)
    (False, True, False)
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return True
    steps = list(dis.get_instructions(code))
    computes = any(step.opname.startswith(_COMPUTING) for step in steps)
    returned = [before for before, step in pairwise(steps) if step.opname == "RETURN_VALUE"]
    nothing = all(before.opname.startswith("LOAD_CONST") and before.argval is None for before in returned)
    return computes and nothing
