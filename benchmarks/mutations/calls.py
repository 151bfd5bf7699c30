"""Sources, and how each is called: directly, in the words of its folder's ``calls.toml``, without bncheck's guesses."""

from __future__ import annotations

import re
import signal
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

from bncheck.case import Array, Case, Layout
from bncheck.layers import LAYERS, Layer

FOLDER = Path(__file__).parent / "sources"

FRESH = Path(__file__).parent / "fresh"
"""Sources that were written when the diagnosis was done."""

ANSWERS = ("y", "dx", "dgamma", "dbeta")


@dataclass(frozen=True, eq=False)
class Source:
    """A file of right code, what layer it is, and the statements that call it."""

    path: Path
    layer: Layer
    layouts: tuple[Layout, ...]
    calls: Mapping[str, str]
    eps: float = 0.0
    arrays: str = "numpy"

    @property
    def name(self) -> str:
        """That of the file."""
        return self.path.stem

    @cached_property
    def text(self) -> str:
        """The code."""
        return self.path.read_text(encoding="utf-8")

    @property
    def modes(self) -> tuple[bool, ...]:
        """Whether settings are left to the code, in each way of calling it."""
        return (False, True) if any(step.endswith("_default") for step in self.calls) else (False,)

    def hands_over(self, setting: str, *, by_default: bool) -> bool:
        """Whether eps, or the weight of a new batch, are handed over in a way of calling it."""
        statements = (self.step(name, by_default=by_default) for name in ("begin", "forward"))
        return any(re.search(rf"\b{setting}\b", statement) for statement in statements)

    def step(self, name: str, *, by_default: bool) -> str:
        """The statement of one step; empty where there is none."""
        return (self.calls.get(f"{name}_default", "") if by_default else "") or self.calls.get(name, "")

    def begin(self, code: str, case: Case, *, by_default: bool = False, new_weight: float = 0.0) -> Session:
        """A session with some code, which need not be the source's own."""
        return Session(self, _namespace(code), case, by_default, new_weight)


def sources(folder: Path = FOLDER) -> dict[str, Source]:
    """Those of a folder, by name, in the order of its table."""
    return dict(_sources(folder))


@lru_cache(maxsize=4)
def _sources(folder: Path) -> Mapping[str, Source]:
    with (folder / "calls.toml").open("rb") as file:
        table = tomllib.load(file)
    return {
        name: Source(
            folder / f"{name}.py",
            LAYERS[row.pop("layer")],
            tuple(map(Layout.parse, row.pop("layouts"))),
            eps=row.pop("eps", 0.0),
            arrays=row.pop("arrays", "numpy"),
            calls=row,
        )
        for name, row in table.items()
    }


class Session:
    """One instance at work on the arrays of one case. Whatever the code raises passes through."""

    def __init__(
        self, source: Source, namespace: dict[str, Any], case: Case, by_default: bool, new_weight: float
    ) -> None:
        self.source, self.by_default = source, by_default
        self.handed = {"x": case.x.copy(), "dy": case.dy.copy()}
        self.handed |= {name: value.copy() for name, value in case.parameters.items()}
        self.before = {name: value.tobytes() for name, value in self.handed.items()}
        sizes = dict(zip(case.layout.axes, case.x.shape, strict=True))
        self.names = {
            **namespace,
            **sizes,
            "eps": case.eps,
            "new_weight": new_weight,
            **{name: self._as_array(value) for name, value in self.handed.items()},
        }
        self._run("begin")

    def answers(self) -> dict[str, Array]:
        """y and the gradients, as they come."""
        self._run("forward")
        self._run("backward")
        return {name: self._taken(name) for name in ANSWERS if name in ("y", "dx") or name[1:] in self.handed}

    def forward(self, x: Array) -> Array:
        """y of another batch."""
        self.names["x"] = self._as_array(x.copy())
        self._run("forward")
        return self._taken("y")

    def evaluate(self, x: Array) -> Array:
        """y in evaluation mode."""
        self.names["x"] = self._as_array(x.copy())
        self._run("evaluate")
        return self._taken("y")

    def running(self) -> tuple[Array, Array]:
        """The running mean and variance, flat."""
        self._run("running")
        mean, variance = (self._taken(f"running_{name}").ravel().copy() for name in ("mean", "var"))
        return mean, variance

    def overwritten(self) -> list[str]:
        """The arrays that were handed in and written to."""
        return [name for name, value in self.handed.items() if value.tobytes() != self.before[name]]

    def _run(self, name: str) -> None:
        statement = self.source.step(name, by_default=self.by_default)
        if statement:
            with np.errstate(all="ignore"):
                exec(_compiled(statement), self.names)

    def _as_array(self, value: Array) -> Any:
        if self.source.arrays == "numpy":
            return value
        import torch

        return torch.from_numpy(value).requires_grad_()

    def _taken(self, name: str) -> Array:
        value = self.names[name]
        if hasattr(value, "detach"):
            value = value.detach().numpy()
        if not isinstance(value, np.ndarray | np.floating):
            raise TypeError(f"{name} is a {type(value).__name__}")
        return np.array(value)


@lru_cache(maxsize=256)
def _compiled(text: str) -> CodeType:
    return compile(text, "calls", "exec")


@lru_cache(maxsize=4)
def _module(code: str) -> CodeType:
    return compile(code, "source", "exec", dont_inherit=True)


def _namespace(code: str) -> dict[str, Any]:
    """What a file defines, run anew; its imports are there for the calls, too."""
    namespace: dict[str, Any] = {"__name__": "source"}
    exec(_module(code), namespace)
    return namespace


class Wrong(Exception):
    """Some code's answer; the text says which, and what is wrong with it."""


class Crashed(Exception):
    """Some code did not answer; the text says why."""


def raised_text(error: Exception) -> str:
    """What some code raised, in one line."""
    return f"raises {type(error).__name__}: {' '.join(str(error).split())}"


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Ends what takes longer with a TimeoutError; in the main thread of a process only."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no answer within {seconds:g} s")

    handler = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
