"""PyTorch's own normalization layers as suspects, on the CPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from bncheck.case import Array, Case, Gradients
from bncheck.formats import DTYPES

Call = Callable[[Any, Any, Any, Case], Any]
"""x, weight and bias as torch wants them (a missing one is None), and the case, to y."""


def batch_norm(case: Case) -> Gradients:
    """`torch.nn.functional.batch_norm` in training mode: channels on axis 1, several affine axes flattened into it."""
    layout = case.layout
    order = [*layout.reduced_axes[:1], *layout.affine_axes, *layout.reduced_axes[1:]]
    batch, *spatial = (case.x.shape[k] for k in layout.reduced_axes)
    channels = math.prod(case.x.shape[k] for k in layout.affine_axes)

    def call(x: Any, weight: Any, bias: Any, case: Case) -> Any:
        flat = x.permute(order).reshape(batch, channels, *spatial)
        y = functional.batch_norm(flat, None, None, weight, bias, training=True, eps=case.eps)
        return y.reshape([case.x.shape[k] for k in order]).permute([order.index(k) for k in range(len(order))])

    return _run(call, case, (channels,))


def layer_norm(case: Case) -> Gradients:
    """`torch.nn.functional.layer_norm` over the reduced axes, which come last."""
    shape = case.layout.parameter_shape(case.x.shape)
    return _run(lambda x, w, b, case: functional.layer_norm(x, shape, w, b, case.eps), case, shape)


def rms_norm(case: Case) -> Gradients:
    """`torch.nn.functional.rms_norm` over the reduced axes, which come last."""
    shape = case.layout.parameter_shape(case.x.shape)
    return _run(lambda x, w, b, case: functional.rms_norm(x, shape, w, case.eps), case, shape)


def instance_norm(case: Case) -> Gradients:
    """`torch.nn.functional.instance_norm` with statistics of each sample."""
    return _run(
        lambda x, w, b, case: functional.instance_norm(x, weight=w, bias=b, eps=case.eps), case, case.x.shape[1:2]
    )


def group_norm(case: Case) -> Gradients:
    """`torch.nn.functional.group_norm`: the groups' channels side by side on axis 1."""
    samples, groups, channels, *spatial = case.x.shape

    def call(x: Any, weight: Any, bias: Any, case: Case) -> Any:
        flat = x.reshape(samples, groups * channels, *spatial)
        return functional.group_norm(flat, groups, weight, bias, case.eps).reshape(x.shape)

    return _run(call, case, (groups * channels,))


@contextmanager
def _one_thread() -> Iterator[None]:
    """These cases are small: threads would only wait for each other, and for whatever else the machine does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _tensor(array: Array) -> Any:
    """A copy as a tensor. torch and NumPy name bfloat16 differently; its bits are the same."""
    if array.dtype == DTYPES["bfloat16"]:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


def _array(tensor: Any) -> Array:
    """What `_tensor` takes."""
    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.contiguous().view(torch.int16).numpy()).view(DTYPES["bfloat16"])
    return np.asarray(tensor.numpy())


@_one_thread()
def _run(call: Call, case: Case, parameter_shape: tuple[int, ...]) -> Gradients:
    """Forward and backward of one call, on copies of the case's arrays."""
    leaves = {name: _tensor(value).requires_grad_() for name, value in case.parameters.items()}
    x = _tensor(case.x).requires_grad_()
    weight, bias = (leaves[n].reshape(parameter_shape) if n in leaves else None for n in ("gamma", "beta"))
    y = call(x, weight, bias, case)
    y.backward(_tensor(case.dy))
    gradients = {f"d{name}": _array(leaf.grad) for name, leaf in leaves.items()}
    return {"y": _array(y.detach()), "dx": _array(x.grad), **gradients}
