import numpy as np


def spatial_norm_forward(x, weights, stats, test_mode=False, **hp):
    """
    x: (N, C, H, W); weights: {'scale', 'shift'} of (C,); stats: {'mean', 'var'} of (C,), changed in place
    """
    eps = hp.pop("eps", 1e-5)
    decay = hp.pop("decay", 0.9)
    col = lambda v: v.reshape(1, -1, 1, 1)
    if test_mode:
        z = (x - col(stats["mean"])) / np.sqrt(col(stats["var"]) + eps)
        return z * col(weights["scale"]) + col(weights["shift"]), None

    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    stats["mean"] *= decay
    stats["mean"] += (1 - decay) * mean
    stats["var"] *= decay
    stats["var"] += (1 - decay) * var
    inv = 1 / np.sqrt(var + eps)
    z = (x - col(mean)) * col(inv)
    return z * col(weights["scale"]) + col(weights["shift"]), (z, inv, weights)


def spatial_norm_backward(dy, saved):
    z, inv, weights = saved
    col = lambda v: v.reshape(1, -1, 1, 1)
    count = dy.size // dy.shape[1]
    grads = {"scale": np.einsum("nchw,nchw->c", dy, z), "shift": np.einsum("nchw->c", dy)}
    dx = col(weights["scale"] * inv) * (dy - col(grads["shift"]) / count - z * col(grads["scale"]) / count)
    return dx, grads
