"""PyTorch as the peer: its batch norm, planted bugs that its autograd runs, its gradcheck, its native backward."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.plants import EPS
from bncheck.case import Array, Case, Gradients, Layout, Vjp
from bncheck.errors import MissingPackage

try:
    import torch
except ImportError:
    raise MissingPackage("torch", "torch", "comparisons with PyTorch") from None

LAYOUTS: Mapping[int, Layout] = {2: Layout("NC", "N", "C"), 4: Layout("NCHW", "NHW", "C")}
"""The layout that torch takes an array of so many axes to have."""

VERSION = str(torch.__version__)

Function = Callable[..., Any]
"""x and the parameters to y, or to all that is returned, as tensors."""


def batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
    """The layer as torch has it."""
    return torch.nn.functional.batch_norm(x, None, None, gamma, beta, training=True, eps=EPS)


def forward(x: Array, parameters: Mapping[str, Array]) -> Array:
    """The same, NumPy to NumPy: what finite differences are taken of."""
    arrays = (x, parameters["gamma"], parameters["beta"])
    with torch.no_grad():
        y = batch_norm(*(torch.from_numpy(np.require(array, requirements="W")) for array in arrays))
    return np.asarray(y.numpy())


def planted(forward: Vjp, backward: Vjp, case: Case) -> Function:
    """The function of x and the parameters with this forward and this backward pass; the rest is as in the case."""

    class Planted(torch.autograd.Function):  # type: ignore[misc]  # torch's types are not looked at
        @staticmethod
        def forward(context: Any, *inputs: Any) -> Any:
            context.save_for_backward(*inputs)
            found = forward(posed(case, _arrays(inputs)))
            outputs = {name: torch.from_numpy(value) for name, value in found.items()}
            context.outputs = tuple(outputs)
            context.mark_non_differentiable(*(outputs[name] for name in outputs if name not in arriving(case)))
            return tuple(outputs.values())

        @staticmethod
        def backward(context: Any, *upstream: Any) -> tuple[Any, ...]:
            given = dict(zip(context.outputs, _arrays(upstream), strict=True))
            found = backward(posed(case, _arrays(context.saved_tensors), given))
            return tuple(torch.from_numpy(found[name]) for name in case.gradient_names)

    return Planted.apply  # type: ignore[no-any-return]  # likewise


def arriving(case: Case) -> Mapping[str, Array]:
    """The upstream gradients, by the name of what they are the gradient of."""
    return {"y": case.dy, **case.upstream}


def posed(case: Case, inputs: Sequence[Array], upstream: Mapping[str, Array] | None = None) -> Case:
    """The case with these for x and the parameters, and these upstream gradients."""
    given = arriving(case) if upstream is None else upstream
    return replace(
        case,
        x=inputs[0],
        dy=given["y"],
        parameters=dict(zip(case.parameters, inputs[1:], strict=True)),
        upstream={name: given[name] for name in case.upstream},
    )


def vjp(function: Function, names: Sequence[str] = ("y",)) -> Vjp:
    """A torch function that returns what is named, as bncheck takes it: a case to all that and every gradient."""

    def answer(case: Case) -> Gradients:
        leaves = _leaves(case)
        found = function(*leaves)
        outputs = dict(zip(names, found if isinstance(found, tuple) else (found,), strict=True))
        upstream = arriving(case)
        torch.autograd.backward([outputs[name] for name in upstream], [torch.tensor(a) for a in upstream.values()])
        gradients = {name: leaf.grad for name, leaf in zip(case.gradient_names, leaves, strict=True)}
        return {name: tensor.detach().numpy() for name, tensor in {**outputs, **gradients}.items()}

    return answer


def gradcheck(function: Function, case: Case, *, fast: bool) -> bool:
    """Whether torch's own check lets a function pass.

    Where fast mode finds fault it runs slow mode too, for the words of its error alone; here it need not.
    """
    module = importlib.import_module("torch.autograd.gradcheck")
    with patch.object(module, "_run_slow_mode_and_get_error", lambda *_, **__: "", create=True):
        return bool(torch.autograd.gradcheck(function, _leaves(case), fast_mode=fast, raise_exception=False))


def native_backward(dy: Array, x: Array, mean: Array, inv_std: Array, gamma: Array) -> Callable[[], tuple[Array, ...]]:
    """A call of torch's compiled backward on these arrays; none of them is copied."""
    tensors = [torch.from_numpy(array) for array in (dy, x)]
    weight, saved_mean, saved_inv_std = (torch.from_numpy(array.reshape(-1)) for array in (gamma, mean, inv_std))

    def call() -> tuple[Array, ...]:
        gradients = torch.ops.aten.native_batch_norm_backward(
            *tensors, weight, None, None, saved_mean, saved_inv_std, True, EPS, [True, True, True]
        )
        return tuple(gradient.numpy() for gradient in gradients)

    return call


def thread_count() -> int:
    """How many threads torch computes with."""
    return int(torch.get_num_threads())


@contextmanager
def one_thread() -> Iterator[None]:
    """Makes torch compute on one thread: on small arrays more of them only slow it down."""
    count = thread_count()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


def _leaves(case: Case) -> tuple[Any, ...]:
    return tuple(torch.tensor(array, requires_grad=True) for array in (case.x, *case.parameters.values()))


def _arrays(tensors: Sequence[Any]) -> list[Array]:
    return [tensor.detach().numpy() for tensor in tensors]
