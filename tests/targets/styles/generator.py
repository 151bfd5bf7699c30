import numpy as np


def layer(x, gamma, beta, eps=1e-5):
    """First yields the output; send the gradient of the output, and the gradients come back."""
    mean = x.mean(axis=0)
    inv_std = (x.var(axis=0) + eps) ** -0.5
    x_hat = (x - mean) * inv_std
    dy = yield gamma * x_hat + beta
    dx_hat = gamma * dy
    yield (
        inv_std * (dx_hat - dx_hat.mean(axis=0) - x_hat * (x_hat * dx_hat).mean(axis=0)),
        (x_hat * dy).sum(axis=0),
        dy.sum(axis=0),
    )


def run(x, gamma, beta, dy):
    g = layer(x, gamma, beta)
    y = next(g)
    return y, g.send(dy)
