from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BNContext:
    centred: NDArray[np.float64]
    std: NDArray[np.float64]
    scale: NDArray[np.float64]


@dataclass(frozen=True)
class BNGradients:
    inputs: NDArray[np.float64]
    scale: NDArray[np.float64]
    shift: NDArray[np.float64]


def bn_apply(inputs: NDArray, scale: NDArray, shift: NDArray, epsilon: float = 1e-5) -> tuple[NDArray, BNContext]:
    centred = inputs - np.mean(inputs, axis=0)
    std = np.sqrt(np.var(inputs, axis=0) + epsilon)
    return scale * centred / std + shift, BNContext(centred, std, scale)


def bn_gradient(ctx: BNContext, upstream: NDArray) -> BNGradients:
    n = upstream.shape[0]
    normalized = ctx.centred / ctx.std
    d_normalized = upstream * ctx.scale
    d_std = -np.sum(d_normalized * ctx.centred, axis=0) / ctx.std**2
    d_centred = d_normalized / ctx.std + d_std * ctx.centred / ((n - 1) * ctx.std)
    return BNGradients(
        inputs=d_centred - np.mean(d_centred, axis=0),
        scale=np.sum(upstream * normalized, axis=0),
        shift=np.sum(upstream, axis=0),
    )
