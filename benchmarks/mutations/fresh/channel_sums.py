"""Group norm as a layer with a tape; in backward each mean over a group is made of the sums over its channels."""

import numpy as np


class GroupNormalization:
    axes = (2, 3, 4)  # the channels of a group, height, width

    def __init__(self, channels, groups=32, epsilon=1e-3):
        assert channels % groups == 0, "groups must divide channels"
        self.groups = groups
        self.epsilon = epsilon
        self.gamma = np.ones(channels)
        self.beta = np.zeros(channels)
        self._tape = []

    def _split(self, t):
        b, c, h, w = t.shape
        return np.reshape(t, (b, self.groups, c // self.groups, h, w))

    def forward(self, inputs):
        grouped = self._split(inputs)
        mean = np.mean(grouped, axis=self.axes, keepdims=True)
        variance = np.var(grouped, axis=self.axes, keepdims=True)
        rsqrt = np.reciprocal(np.sqrt(variance + self.epsilon))
        self._tape.append((grouped - mean, rsqrt))
        normalized = ((grouped - mean) * rsqrt).reshape(inputs.shape)
        return normalized * self.gamma[:, None, None] + self.beta[:, None, None]

    def backward(self, upstream):
        deviation, rsqrt = self._tape.pop()
        b, c, h, w = upstream.shape
        size = h * w * (c // self.groups)

        # per sample and channel first: everything else is made of these two
        db = np.add.reduce(upstream, axis=(2, 3))
        ds = np.add.reduce(upstream * deviation.reshape(upstream.shape), axis=(2, 3))
        self.dbeta = db.sum(axis=0)
        self.dgamma = (ds.reshape(b, self.groups, -1) * rsqrt.reshape(b, self.groups, 1)).sum(axis=0).reshape(c)

        per_group = (b, self.groups, c // self.groups, 1, 1)
        mean_g = (self.gamma * db).reshape(per_group).sum(axis=2, keepdims=True) / size
        mean_gd = (self.gamma * ds).reshape(per_group).sum(axis=2, keepdims=True) / size
        grad = self._split(upstream * self.gamma[:, None, None]) - mean_g
        grad -= deviation * (rsqrt * rsqrt * mean_gd)
        return (grad * rsqrt).reshape(upstream.shape)
