import numpy as np


def moments(a, axes):
    m = a.mean(axis=axes, keepdims=True)
    return m, np.square(a - m).mean(axis=axes, keepdims=True)


def project_out(v, unit, axes):
    """Removes from v what is constant and what is along unit."""
    return (v - v.mean(axis=axes, keepdims=True)
            - unit * (v * unit).mean(axis=axes, keepdims=True))
