"""PyTorch as the peer: its batch norm, planted bugs that its autograd runs, its gradcheck, its native backward."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

from bncheck.case import Array, Case, Gradients, Layout
from bncheck.compare import Vjp
from bncheck.errors import MissingPackage

try:
    import torch
except ImportError:
    raise MissingPackage("torch", "torch", "comparisons with PyTorch") from None

LAYOUTS: Mapping[int, Layout] = {2: Layout("NC", "N", "C"), 4: Layout("NCHW", "NHW", "C")}
"""The layout that torch takes an array of so many axes to have."""

VERSION = str(torch.__version__)

EPS = 1e-5

Function = Callable[..., Any]
"""x, gamma and beta to y, all of them tensors."""


def batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
    """The layer as torch has it."""
    return torch.nn.functional.batch_norm(x, None, None, gamma, beta, training=True, eps=EPS)


def forward(x: Array, parameters: Mapping[str, Array]) -> Array:
    """The same, NumPy to NumPy: what finite differences are taken of."""
    arrays = (x, parameters["gamma"], parameters["beta"])
    with torch.no_grad():
        y = batch_norm(*(torch.from_numpy(np.require(array, requirements="W")) for array in arrays))
    return np.asarray(y.numpy())


def planted(mutant: Vjp) -> Function:
    """The layer with torch's forward pass and the backward pass of a mutant."""

    class Planted(torch.autograd.Function):  # type: ignore[misc]  # torch's types are not looked at
        @staticmethod
        def forward(context: Any, x: Any, gamma: Any, beta: Any) -> Any:
            context.save_for_backward(x, gamma, beta)
            return batch_norm(x, gamma, beta)

        @staticmethod
        def backward(context: Any, dy: Any) -> tuple[Any, ...]:
            x, gamma, beta = (saved.detach().numpy() for saved in context.saved_tensors)
            case = Case(LAYOUTS[x.ndim], x, dy.numpy(), {"gamma": gamma, "beta": beta}, EPS)
            found = mutant(case)
            return tuple(torch.from_numpy(found[name]) for name in ("dx", "dgamma", "dbeta"))

    return Planted.apply  # type: ignore[no-any-return]  # likewise


def vjp(function: Function) -> Vjp:
    """A torch function as bncheck takes it: a case to y and its gradients, by torch's autograd."""

    def answer(case: Case) -> Gradients:
        x, gamma, beta = _leaves(case)
        y = function(x, gamma, beta)
        y.backward(torch.tensor(case.dy))
        gradients = {"dx": x.grad, "dgamma": gamma.grad, "dbeta": beta.grad}
        return {"y": y.detach().numpy(), **{name: gradient.numpy() for name, gradient in gradients.items()}}

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


def _leaves(case: Case) -> tuple[Any, Any, Any]:
    x, gamma, beta = (torch.tensor(a, requires_grad=True) for a in (case.x, *case.parameters.values()))
    return x, gamma, beta
