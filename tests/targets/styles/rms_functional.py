"""RMSNorm for the numpy Llama, forward and backward."""
import numpy as np


def rmsnorm(*, weight, hidden, norm_eps=1e-5):
    ss = np.mean(np.square(hidden), axis=-1, keepdims=True)
    return weight * (hidden / np.sqrt(ss + norm_eps))


def rmsnorm_vjp(*, upstream, weight, hidden, norm_eps=1e-5):
    dim = hidden.shape[-1]
    r = 1.0 / np.sqrt(np.mean(np.square(hidden), axis=-1, keepdims=True) + norm_eps)
    weighted = upstream * weight
    inner = np.einsum("...d,...d->...", weighted, hidden)[..., None]
    return {
        "hidden": r * weighted - (r**3) * hidden * inner / dim,
        "weight": np.sum(upstream * hidden * r, axis=tuple(range(hidden.ndim - 1))),
    }
