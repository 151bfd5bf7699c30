from abc import ABC, abstractmethod

import numpy as np


class Normalizer(ABC):
    """The algorithm is here; who derives says what is averaged and how parameters lie."""

    epsilon = 1e-5

    def __init__(self, channels):
        self.slope = np.ones(channels)
        self.intercept = np.zeros(channels)

    @abstractmethod
    def averaged_axes(self, ndim): ...

    @abstractmethod
    def parameter_axes(self, ndim): ...

    @abstractmethod
    def spread_out(self, parameter, ndim): ...

    def transform(self, data):
        axes = self.averaged_axes(data.ndim)
        self._dev = np.sqrt(data.var(axis=axes, keepdims=True) + self.epsilon)
        self._unit = (data - data.mean(axis=axes, keepdims=True)) / self._dev
        return (self._unit * self.spread_out(self.slope, data.ndim)
                + self.spread_out(self.intercept, data.ndim))

    def transform_gradient(self, grad):
        axes, rest = self.averaged_axes(grad.ndim), self.parameter_axes(grad.ndim)
        self.slope_gradient = (grad * self._unit).sum(axis=rest)
        self.intercept_gradient = grad.sum(axis=rest)
        g = grad * self.spread_out(self.slope, grad.ndim)
        g_mean = g.mean(axis=axes, keepdims=True)
        g_along = (g * self._unit).mean(axis=axes, keepdims=True)
        return (g - g_mean - g_along * self._unit) / self._dev


class InstanceNormalizer(Normalizer):
    """(N, C, ...): every channel of every sample for itself."""

    def averaged_axes(self, ndim):
        return tuple(range(2, ndim))

    def parameter_axes(self, ndim):
        return (0,) + tuple(range(2, ndim))

    def spread_out(self, parameter, ndim):
        return parameter.reshape((1, -1) + (1,) * (ndim - 2))
