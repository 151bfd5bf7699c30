from typing import Callable, NamedTuple

import numpy as np


class Weights(NamedTuple):
    gain: np.ndarray
    bias: np.ndarray


class Normed(NamedTuple):
    out: np.ndarray
    gradient: Callable[[np.ndarray], tuple]     # dout -> (dx, Weights)


def init_weights(dim: int) -> Weights:
    return Weights(np.ones(dim), np.zeros(dim))


def layer_norm(weights: Weights, x: np.ndarray, eps: float = 1e-5) -> Normed:
    """Normalizes the last axis of x."""
    dim = x.shape[-1]
    mu = x.mean(axis=-1, keepdims=True)
    var = x.var(axis=-1, keepdims=True, ddof=1)
    inv = 1.0 / np.sqrt(var + eps)
    xhat = (x - mu) * inv

    def gradient(dout):
        batch = tuple(range(dout.ndim - 1))
        dxhat = dout * weights.gain
        dx = inv / dim * (
            dim * dxhat
            - dxhat.sum(axis=-1, keepdims=True)
            - xhat * (dxhat * xhat).sum(axis=-1, keepdims=True)
        )
        return dx, Weights((dout * xhat).sum(axis=batch), dout.sum(axis=batch))

    return Normed(xhat * weights.gain + weights.bias, gradient)
