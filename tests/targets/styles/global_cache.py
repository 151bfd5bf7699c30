import numpy as np

X_HAT = None
STD = None
EPS = 1e-5


def norm_layer(h, gain, shift):
    """h is (features, batch); gain and shift are columns."""
    global X_HAT, STD
    mu = h.mean(axis=1, keepdims=True)
    STD = np.sqrt(((h - mu) ** 2).mean(axis=1, keepdims=True) + EPS)
    X_HAT = (h - mu) / STD
    return gain * X_HAT + shift


def norm_layer_grad(dh, gain):
    dgain = np.sum(dh * X_HAT, axis=1, keepdims=True)
    dshift = np.sum(dh, axis=1, keepdims=True)
    t = dh * gain
    t = t - t.mean(axis=0, keepdims=True) - X_HAT * (t * X_HAT).mean(axis=1, keepdims=True)
    return t / STD, dgain, dshift
