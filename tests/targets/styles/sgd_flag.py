import numpy as np


class BatchNorm1D:
    """learning_rate comes first: BatchNorm1D(0.01, 64)"""

    def __init__(self, learning_rate, units, epsilon=1e-5):
        self.learning_rate = learning_rate
        self.scale = np.ones(units)
        self.shift = np.zeros(units)
        self.epsilon = epsilon
        self.pop_mean = np.zeros(units)
        self.pop_var = np.ones(units)
        self.is_training = True

    def feed_forward(self, layer_in):
        if not self.is_training:
            return self.scale * (layer_in - self.pop_mean) / np.sqrt(self.pop_var + self.epsilon) + self.shift
        self.m = layer_in.shape[0]
        mean = layer_in.mean(axis=0)
        var = layer_in.var(axis=0)
        self.pop_mean = 0.9 * self.pop_mean + 0.1 * mean
        self.pop_var = 0.9 * self.pop_var + 0.1 * var
        self.stddev = np.sqrt(var + self.epsilon)
        self.layer_norm = (layer_in - mean) / self.stddev
        return self.scale * self.layer_norm + self.shift

    def back_propagate(self, next_delta, update=True):
        d_scale = np.sum(next_delta * self.layer_norm, axis=0)
        d_shift = np.sum(next_delta, axis=0)
        delta = self.scale / (self.m * self.stddev) * (self.m * next_delta - d_shift - self.layer_norm * d_scale)
        if update:
            self.scale -= self.learning_rate * d_scale
            self.shift -= self.learning_rate * d_shift
        return delta
