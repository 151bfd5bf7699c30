"""PyTorch's own layers as suspects."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bncheck.case import Case, Gradients


@contextmanager
def _one_thread() -> Iterator[None]:
    """These cases are small: threads would only wait for each other, and for whatever else the machine does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@_one_thread()
def batch_norm(case: Case) -> Gradients:
    """Runs `torch.nn.functional.batch_norm` in training mode forward and backward, on the CPU.

    torch wants the channels on axis 1: the affine axes are moved there and flattened, and back again.
    """
    layout = case.layout
    order = [*layout.reduced_axes[:1], *layout.affine_axes, *layout.reduced_axes[1:]]
    batch, *spatial = (case.x.shape[k] for k in layout.reduced_axes)
    channels = math.prod(case.parameters["gamma"].shape) if "gamma" in case.parameters else -1
    leaves = {name: torch.from_numpy(v.copy()).requires_grad_() for name, v in case.parameters.items()}
    x = torch.from_numpy(case.x.copy()).requires_grad_()
    flat = x.permute(order).reshape(batch, channels, *spatial)
    weight = leaves["gamma"].reshape(-1) if "gamma" in leaves else None
    bias = leaves["beta"].reshape(-1) if "beta" in leaves else None
    y = torch.nn.functional.batch_norm(flat, None, None, weight, bias, training=True, eps=case.eps)
    inverse = [order.index(k) for k in range(len(order))]
    y = y.reshape([case.x.shape[k] for k in order]).permute(inverse)
    y.backward(torch.from_numpy(case.dy.copy()))
    gradients = {f"d{name}": leaf.grad.numpy() for name, leaf in leaves.items()}
    return {"y": y.detach().numpy(), "dx": x.grad.numpy(), **gradients}
