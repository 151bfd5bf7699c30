import numpy as np

from ..algebra import moments, project_out
from .base import Stratum


class BatchStandardiser(Stratum):
    """Batch normalization; features on axis 1 of (N, D) or (N, D, L)."""

    def __init__(self, features, guard=1e-5, memory=0.9):
        super().__init__()
        self.guard, self.memory = guard, memory
        self.weights = {"tilt": np.ones(features), "level": np.zeros(features)}
        self.past_mean, self.past_var = np.zeros(features), np.ones(features)

    def _fit(self, parameter, ndim):
        return parameter if ndim == 2 else parameter[:, None]

    def ascend(self, signal):
        nd = signal.ndim
        self.axes = (0,) if nd == 2 else (0, 2)
        if self.live:
            mean, var = moments(signal, self.axes)
            self.past_mean = self.memory * self.past_mean + (1 - self.memory) * mean.ravel()
            self.past_var = self.memory * self.past_var + (1 - self.memory) * var.ravel()
        else:
            mean, var = self._fit(self.past_mean, nd), self._fit(self.past_var, nd)
        self.dev = np.sqrt(var + self.guard)
        self.unit = (signal - mean) / self.dev
        return self._fit(self.weights["tilt"], nd) * self.unit + self._fit(self.weights["level"], nd)

    def descend(self, sensitivity):
        self.sensitivities["tilt"] = (sensitivity * self.unit).sum(axis=self.axes)
        self.sensitivities["level"] = sensitivity.sum(axis=self.axes)
        v = sensitivity * self._fit(self.weights["tilt"], sensitivity.ndim)
        return (project_out(v, self.unit, self.axes) if self.live else v) / self.dev
