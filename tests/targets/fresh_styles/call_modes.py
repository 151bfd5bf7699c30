from enum import Enum, auto

import numpy as np


class Mode(Enum):
    TRAIN = auto()
    GRAD = auto()
    EVAL = auto()


class BatchNorm:
    """bn(Mode.TRAIN, x) -> y,  bn(Mode.GRAD, dy) -> dx,  bn(Mode.EVAL, x) -> y"""

    def __init__(self, size, eps=1e-5, discount=0.9):
        self.weight, self.bias = np.ones(size), np.zeros(size)
        self.weight_grad, self.bias_grad = np.zeros(size), np.zeros(size)
        self.ema_mean, self.ema_var = np.zeros(size), np.ones(size)
        self.eps, self.discount = eps, discount

    def __call__(self, mode, array):
        return {Mode.TRAIN: self._train, Mode.GRAD: self._grad, Mode.EVAL: self._eval}[mode](array)

    def _ema(self, old, new):
        return self.discount * old + (1 - self.discount) * new

    def _train(self, x):
        mu = x.mean(axis=0)
        self._c = x - mu
        var = np.square(self._c).mean(axis=0)
        self._sd = np.sqrt(var + self.eps)
        self.ema_mean, self.ema_var = self._ema(self.ema_mean, mu), self._ema(self.ema_var, var)
        return self._c / self._sd * self.weight + self.bias

    def _eval(self, x):
        return (x - self.ema_mean) / np.sqrt(self.ema_var + self.eps) * self.weight + self.bias

    def _grad(self, dy):
        xhat = self._c / self._sd
        self.weight_grad[:] = (dy * xhat).sum(axis=0)
        self.bias_grad[:] = dy.sum(axis=0)
        dc = dy * self.weight / self._sd
        dvar = -0.5 * (dy * self.weight * self._c).sum(axis=0) / self._sd ** 3
        dc = dc + 2 * self._c * dvar / len(dy)
        return dc - dc.mean(axis=0)
