import numpy as np


def moments(x, axis):
    mean = np.mean(x, axis=axis, keepdims=True)
    return mean, np.mean(np.square(x - mean), axis=axis, keepdims=True)


def reduce_like(grad, axis):
    return np.sum(grad, axis=axis, keepdims=True)
