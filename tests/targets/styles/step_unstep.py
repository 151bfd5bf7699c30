import numpy as np

_stack = []


def step(x, gain, offset, tiny=1e-5):
    mu = np.mean(x, 0)
    var = np.var(x, 0)
    z = (x - mu) / np.sqrt(var + tiny)
    _stack.append((z, gain, var, tiny))
    return gain * z + offset


def unstep(dy):
    z, gain, var, tiny = _stack.pop()
    n = len(dy)
    dz = gain * dy
    dx = (dz - np.sum(dz, 0) / n - z * np.sum(dz * z, 0) / n) / (var + tiny)
    return dx, np.sum(dy * z, 0), np.sum(dy, 0)
