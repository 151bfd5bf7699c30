"""Has live objects answered for in this process: a class, an instance, a function, a pair of them, a module.

They are not moved to a sandbox, for what an object is depends on the process that it lives in: what it closes over,
what its module has become, the cell or the prompt where it was written. So there is no limit of time or memory, and
what ends a process ends this one. What can be kept apart is: each call works on a copy of an instance, and finds the
generators, NumPy's error state and torch's modes as a fresh process has them; all of that is as before afterwards, and
nothing that is printed, and no warning, is shown.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import random
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from bncheck.case import Array
from bncheck.errors import InvalidInput, TargetFailed
from bncheck.targets.child.recognition import Candidate, Contents, candidates_among, contents_of
from bncheck.targets.child.roles import arguments, role
from bncheck.targets.child.session import Session
from bncheck.targets.child.spoken import Spoken
from bncheck.targets.sandbox import Frame, Sandbox

IN_THIS_PROCESS = "in this process, without limits"


class Here(Sandbox):
    """What a `Sandbox` is to a file, this is to a live object: it answers the same requests, in this process.

    >>> with Here(max) as here:
    ...     here.load()["candidates"]
    []
    """

    def __init__(self, thing: Any) -> None:
        super().__init__(name_of(thing))
        self.thing, self.session = thing, Session()

    def close(self) -> None:
        """Nothing was started that would have to be ended."""

    def load(self) -> dict[str, Any]:
        """What the object can be called as."""
        if not self.loaded:
            with _as_in_a_fresh_process():
                self.session = Session()
                self.session.files = tuple(_sources(self.thing))
                self.loaded = self.session.hold(_contents(self.thing))
                named = _packages(self.thing)
                self.loaded["families"] = [
                    one for one in self.loaded["families"] if one in named or one not in ("torch", "jax")
                ]
        return self.loaded

    def call(self, header: Mapping[str, Any], arrays: Mapping[str, Array] | None = None) -> Frame:
        """Has one request answered by the object.

        Raises
            TargetFailed: it raised, or gave no proper answer.
        """
        self.load()
        with _as_in_a_fresh_process():
            try:
                return self.session.answer(header, arrays or {})
            except KeyboardInterrupt:
                self.session.surroundings.restored()
                raise
            except BaseException as error:
                failure = self.session.failure(error)
        raise TargetFailed(failure["failed"], f"{self._who(header)} {failure['words']}.", failure["deliberate"])

    def _who(self, header: Mapping[str, Any]) -> str:
        name = str(self.loaded["candidates"][header["candidate"]]["name"])
        return name if name == self.address else f"{self.address}:{name}"


def asks_for_a_case(thing: Any) -> bool:
    """Whether something is a function in bncheck's own form, `vjp(case)`.

    It is one whose only argument without a default is no x by its name, or whose arguments cannot be told.

    >>> asks_for_a_case(lambda case: {}), asks_for_a_case(lambda x: x), asks_for_a_case(lambda x, gamma, beta: x)
    (True, False, False)
    """
    if isinstance(thing, type) or not callable(thing):
        return False
    named = arguments(thing)
    if not named:
        return inspect.isroutine(thing) or isinstance(thing, functools.partial)
    insisted = [argument.name for argument in named if argument.default is argument.empty]
    return len(insisted) == 1 and not role(insisted[0], ("x",))


def name_of(thing: Any) -> str:
    """What an object is called: by its own name, its function's or its class's; a pair by both."""
    if isinstance(thing, tuple | list):
        return "+".join(map(name_of, thing))
    while isinstance(thing, functools.partial):
        thing = thing.func
    return str(getattr(thing, "__name__", None) or type(thing).__name__)


def _contents(thing: Any) -> Contents:
    """What can be called in a live object.

    Raises
        InvalidInput: it is a sequence, but no pair of functions.
    """
    if isinstance(thing, ModuleType):
        held = ModuleType(thing.__name__)
        vars(held).update({name: _bounded(one) for name, one in vars(thing).items()})
        return contents_of(held)
    name = name_of(thing)
    if isinstance(thing, tuple | list):
        if len(thing) != 2 or not all(map(callable, thing)):
            raise InvalidInput("target", repr(thing), "a pair of functions, (forward, backward)")
        pair = Spoken("a pair of functions", forward=_bounded(thing[0]), backward=_bounded(thing[1]))
        return Contents([Candidate(name, pair, name_of(thing[0]))])
    return candidates_among({name: _bounded(thing)}, name)


def _bounded(thing: Any) -> Any:
    """A function that numba compiles, compiled such that arrays in shapes that do not fit raise, and write nowhere."""
    numba = sys.modules.get("numba")
    if numba is None or not isinstance(thing, numba.core.dispatcher.Dispatcher):
        return thing
    return numba.jit(**{**thing.targetoptions, "boundscheck": True})(thing.py_func)


def _packages(thing: Any) -> set[str]:
    """The packages that an object's own code names, and that of whatever of the same author's it uses.

    What else is imported in this process says nothing about it: ``x.var(0)`` is one thing of NumPy's, another of
    torch's.
    """
    found, seen = set[str](), dict[int, Any]()
    left = list[Any](thing if isinstance(thing, tuple | list) else [thing])
    left += vars(thing).values() if isinstance(thing, ModuleType) else ()
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen[id(one)] = one
            with contextlib.suppress(Exception):  # what cannot be looked at tells nothing
                homes = {str(getattr(each, "__module__", "")).partition(".")[0] for each in (one, type(one))}
                homes |= {one.__name__.partition(".")[0]} if isinstance(one, ModuleType) else set()
                found |= homes
                left += [] if homes & _LIBRARIES else _uses(one)
    return {"jax" if name in ("jaxlib", "flax") else name for name in found}


def _uses(one: Any) -> list[Any]:
    """What an object is made of: its class and what that holds, or what a function's code and annotations name."""
    if isinstance(one, ModuleType):
        return []
    if isinstance(one, type):
        return [*one.__bases__, *vars(one).values()]
    function = inspect.unwrap(one.func if isinstance(one, functools.partial) else getattr(one, "__func__", one))
    if not inspect.isfunction(function):
        return [type(one), function]
    annotations = function.__annotations__.values()
    written = re.findall(r"\w+", " ".join(words for words in annotations if isinstance(words, str)))
    names = {*_names_in(function.__code__), *written}
    imported = [sys.modules[name] for name in names & _LIBRARIES if name in sys.modules]  # when it is called
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return [*imported, *cells, *(v for name, v in function.__globals__.items() if name in names), *annotations]


_LIBRARIES = frozenset({"numpy", "torch", "jax", "jaxlib", "flax", "keras", "scipy", "numba", "matplotlib"})


def _names_in(code: CodeType) -> set[str]:
    """The names that some code uses, and those of the functions within it."""
    within = (_names_in(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*within)


def _sources(thing: Any) -> Iterator[str]:
    """The files, or the cells, that an object was written in, as far as can be told."""
    if isinstance(thing, tuple | list):
        for one in thing:
            yield from _sources(one)
    elif isinstance(thing, ModuleType):
        yield getattr(thing, "__file__", None) or ""
    else:
        one = inspect.unwrap(thing.func if isinstance(thing, functools.partial) else thing)
        kind = one if isinstance(one, type) else type(one)
        methods = [method for base in kind.__mro__ for method in vars(base).values()]
        yield from (f.__code__.co_filename for f in (one, *methods) if inspect.isfunction(f))


@contextlib.contextmanager
def _as_in_a_fresh_process() -> Iterator[None]:
    """Calls somebody's code quietly, in the state that a fresh process has, and puts back the state that was."""
    own, numpys = random.getstate(), np.random.get_state()
    with contextlib.ExitStack() as stack:
        stack.callback(random.setstate, own)
        stack.callback(np.random.set_state, numpys)
        stack.callback(setattr, sys, "breakpointhook", sys.breakpointhook)
        sys.breakpointhook = lambda *arguments, **named: None  # its prompt would not be seen
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        torch = sys.modules.get("torch")
        if torch is not None:
            stack.callback(torch.set_rng_state, torch.get_rng_state())
            stack.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)  # as in a sandbox: arrays are small, and the order of sums is always the same
            stack.enter_context(torch.inference_mode(mode=False))
            stack.enter_context(torch.enable_grad())
        yield
