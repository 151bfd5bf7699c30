"""How fast the compiled NumPy backward is, beside the closed form, a staged class, torch, and a plain copy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import geometric_mean

import numpy as np

import bncheck
from benchmarks.result import Effort, Requirement, Result, Table
from benchmarks.tables import number, shape_text
from benchmarks.timing import Call, apart
from bncheck.case import Array, Layout
from bncheck.errors import MissingPackage

Shape = tuple[int, ...]
Gradients = tuple[Array, ...]

SHAPES: tuple[Shape, ...] = ((256, 1000), (4096, 1024), (32, 64, 56, 56))
SMOKE_SHAPES: tuple[Shape, ...] = ((2, 3, 4, 4),)
LAYOUTS = {2: Layout("NC", "N", "C"), 4: Layout("NCHW", "NHW", "C")}


def run(effort: Effort) -> Result:
    """Times every contender on every shape in both precisions."""
    smoke = effort is Effort.SMOKE
    names, note = ["compiled", "naive", "staged", "torch", "torch 1", "copy"], ""
    try:
        from benchmarks import peers

        note = f"torch: its own compiled backward, threads: {peers.thread_count()}; torch 1: the same on one."
    except MissingPackage as error:
        names = [name for name in names if not name.startswith("torch")]
        note = str(error)
    times = {}
    for shape in SMOKE_SHAPES if smoke else SHAPES:
        for dtype in ("float64",) if smoke else ("float32", "float64"):
            agree([name for name in names if name != "copy"], shape, dtype)
            contenders = {name: (name, shape, dtype) for name in names}
            times[f"{shape_text(shape)} {dtype}"] = apart(contender, contenders, rounds=2 if smoke else 9)
    ratios = {name: geometric_mean(best["compiled"] / best[name] for best in times.values()) for name in names}
    rows = [(row, *(number(best[name]) for name in names)) for row, best in times.items()]
    rows.append(("compiled ÷ this", *(number(ratios[name]) for name in names)))
    return Result(
        "The backward pass, in milliseconds",
        (Table(("x", *names), tuple(rows), f"{_NOTES} {note}"),),
        (
            Requirement("compiled ÷ naive, geometric mean", ratios["naive"], 0.7, judged=not smoke),
            Requirement("compiled ÷ staged, geometric mean", ratios["staged"], 0.4, judged=not smoke),
        ),
    )


_NOTES = (
    "dx, dγ and dβ from dy, x, mean, 1/σ and γ. compiled: `bncheck.lower(layer, layout).backward`; naive: the closed "
    "form as one writes it in NumPy; staged: the textbook class that goes back through the graph node by node, from "
    "what its forward pass kept; copy: of one array of x's size, the memory's own pace. Best of interleaved rounds, "
    "each contender in a process of its own, since large temporaries cost according to what the process freed before; "
    "the last row is the geometric mean over the others. NumPy computes on one thread."
)


@dataclass(frozen=True)
class Inputs:
    """The arguments of a backward pass; statistics and γ broadcast against x."""

    dy: Array
    x: Array
    mean: Array
    inv_std: Array
    gamma: Array

    @classmethod
    def draw(cls, shape: Shape, axes: tuple[int, ...], dtype: str) -> Inputs:
        """Random ones, the same each time."""
        rng = np.random.default_rng(0)
        x, dy = (rng.normal(size=shape).astype(dtype) for _ in range(2))
        mean = x.mean(axes, keepdims=True)
        inv_std = 1 / np.sqrt(x.var(axes, keepdims=True) + x.dtype.type(1e-5))
        return cls(dy, x, mean, inv_std, rng.normal(size=mean.shape).astype(dtype))


def contender(name: str, shape: Shape, dtype: str) -> Call:
    """A call of the backward pass of this name, which returns dx, dγ and dβ; or of the copy."""
    layout = LAYOUTS[len(shape)]
    axes = layout.reduced_axes
    inputs = Inputs.draw(shape, axes, dtype)
    if name == "compiled":
        lowered = bncheck.lower(bncheck.LAYERS["batch_norm"], layout)
        arguments = [getattr(inputs, argument) for argument in lowered.arguments]
        return lambda: lowered.backward(*arguments)
    if name == "naive":
        return lambda: naive(inputs, axes)
    if name == "staged":
        staged = Staged(inputs.gamma, axes)
        staged.forward(inputs.x)
        return lambda: staged.backward(inputs.dy)
    if name.startswith("torch"):
        from benchmarks import peers

        native = peers.native_backward(inputs.dy, inputs.x, inputs.mean, inputs.inv_std, inputs.gamma)
        return peers.one_thread()(native) if name == "torch 1" else native
    return inputs.dy.copy


def naive(inputs: Inputs, axes: tuple[int, ...]) -> Gradients:
    """The closed form, written down as it stands."""
    dy = inputs.dy
    xhat = (inputs.x - inputs.mean) * inputs.inv_std
    dxhat = dy * inputs.gamma
    mean_dxhat = dxhat.mean(axes, keepdims=True)
    mean_product = (dxhat * xhat).mean(axes, keepdims=True)
    dx = inputs.inv_std * (dxhat - mean_dxhat - xhat * mean_product)
    return dx, (dy * xhat).sum(axes, keepdims=True), dy.sum(axes, keepdims=True)


class Staged:
    """Batch norm as textbooks have it: forward keeps what backward needs, and backward reads off the graph."""

    def __init__(self, gamma: Array, axes: tuple[int, ...]) -> None:
        self.gamma = gamma
        self.axes = axes

    def forward(self, x: Array) -> Array:
        """y but for beta, which has no part in any gradient."""
        self.count = math.prod(x.shape[k] for k in self.axes)
        mu = x.mean(self.axes, keepdims=True)
        self.xc = x - mu
        var = np.mean(self.xc**2, self.axes, keepdims=True)
        self.std = np.sqrt(var + x.dtype.type(1e-5))
        self.xn = self.xc / self.std
        return np.asarray(self.gamma * self.xn)

    def backward(self, dy: Array) -> Gradients:
        """dx, dγ and dβ, one node of the graph after the other."""
        dbeta = dy.sum(self.axes, keepdims=True)
        dgamma = np.sum(self.xn * dy, self.axes, keepdims=True)
        dxn = self.gamma * dy
        dxc = dxn / self.std
        dstd = -np.sum((dxn * self.xc) / (self.std * self.std), self.axes, keepdims=True)
        dvar = 0.5 * dstd / self.std
        dxc += (2.0 / self.count) * self.xc * dvar
        dmu = np.sum(dxc, self.axes, keepdims=True)
        dx = dxc - dmu / self.count
        return dx, dgamma, dbeta


def agree(names: list[str], shape: Shape, dtype: str) -> None:
    """Before anything is timed: all of them compute the same gradients, to half of the digits.

    Raises
        ArithmeticError: they do not.
    """
    first, *others = names
    expected = contender(first, shape, dtype)()
    for name in others:
        for got, wanted in zip(contender(name, shape, dtype)(), expected, strict=True):
            error = np.abs(got.ravel() - wanted.ravel()).max() / np.abs(wanted).max()
            if not error <= math.sqrt(np.finfo(dtype).eps):
                raise ArithmeticError(f"{name} disagrees with {first} by {error:.1e} at {shape_text(shape)} {dtype}")
