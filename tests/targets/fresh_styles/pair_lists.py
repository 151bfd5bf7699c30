"""Trainable things are [value, grad] lists, as the optimizer here wants them."""
import numpy as np

VALUE, GRAD = 0, 1


def pair(a):
    return [a, np.zeros_like(a)]


def layernorm_pairs(width):
    return [pair(np.ones(width)), pair(np.zeros(width))]


def layernorm_there(pairs, x, eps=1e-5):
    (g, _), (b, _) = pairs
    u = x - x.mean(-1, keepdims=True)
    q = 1 / np.sqrt((u * u).mean(-1, keepdims=True) + eps)
    return g * (u * q) + b, [u, q]


def layernorm_back(pairs, notes, err):
    """Adds to the grads in place and returns the error of the input."""
    u, q = notes
    gain, bias = pairs
    flat = lambda t: t.reshape(-1, t.shape[-1])
    gain[GRAD] += flat(err * u * q).sum(0)
    bias[GRAD] += flat(err).sum(0)
    e = err * gain[VALUE]
    dq = (e * u).sum(-1, keepdims=True)
    du = e * q - u * q ** 3 * dq / x_width(u)
    return du - du.mean(-1, keepdims=True)


def x_width(t):
    return t.shape[-1]


def clear(pairs):
    for p in pairs:
        p[GRAD][...] = 0
