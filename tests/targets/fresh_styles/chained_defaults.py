from collections import ChainMap

import numpy as np

DEFAULTS = {"groups": 2, "eps": 1e-5}


class GroupNorm:
    """x: (N, C, H, W); options given here win over DEFAULTS."""

    def __init__(self, channels, **options):
        self.conf = ChainMap(options, DEFAULTS)
        if channels % self.conf["groups"]:
            raise ValueError("channels must be divisible by groups")
        self.trainable = ChainMap({"scale": np.ones(channels)}, {"bias": np.zeros(channels)})
        self.gradients = ChainMap()

    def _blocks(self, t):
        return t.reshape(t.shape[0], self.conf["groups"], -1)

    def output(self, x):
        z = self._blocks(x)
        z = z - z.mean(axis=2, keepdims=True)
        self.r = 1.0 / np.sqrt((z ** 2).mean(axis=2, keepdims=True) + self.conf["eps"])
        self.z = (z * self.r).reshape(x.shape)
        s, b = self.trainable["scale"], self.trainable["bias"]
        return self.z * s[:, None, None] + b[:, None, None]

    def input_gradient(self, delta):
        self.gradients = self.gradients.new_child({
            "scale": (delta * self.z).sum(axis=(0, 2, 3)),
            "bias": delta.sum(axis=(0, 2, 3)),
        })
        d = self._blocks(delta * self.trainable["scale"][:, None, None])
        z = self._blocks(self.z)
        out = self.r * (d - d.mean(2, keepdims=True) - z * (d * z).mean(2, keepdims=True))
        return out.reshape(delta.shape)
