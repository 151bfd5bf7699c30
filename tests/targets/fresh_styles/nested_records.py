from dataclasses import dataclass, field

import numpy as np


@dataclass
class Leaf:
    value: np.ndarray
    slope: np.ndarray = None


@dataclass
class Affine:
    gain: Leaf
    offset: Leaf


@dataclass
class Moments:
    first: np.ndarray
    second: np.ndarray      # central


@dataclass
class Settings:
    eps: float = 1e-3
    decay: float = 0.95


@dataclass
class BatchNormRecord:
    features: int
    settings: Settings = field(default_factory=Settings)
    affine: Affine = field(init=False)
    history: Moments = field(init=False)
    _last: tuple = field(init=False, default=None, repr=False)

    def __post_init__(self):
        d = self.features
        self.affine = Affine(Leaf(np.ones(d)), Leaf(np.zeros(d)))
        self.history = Moments(np.zeros(d), np.ones(d))

    def fwd(self, x, training: bool):
        a, h, s = self.affine, self.history, self.settings
        if not training:
            return a.gain.value * (x - h.first) / (h.second + s.eps) + a.offset.value
        now = Moments(x.mean(0), x.var(0))
        h.first = s.decay * h.first + (1 - s.decay) * now.first
        h.second = s.decay * h.second + (1 - s.decay) * now.second
        sd = np.sqrt(now.second + s.eps)
        xhat = (x - now.first) / sd
        self._last = xhat, sd
        return a.gain.value * xhat + a.offset.value

    def bwd(self, dy):
        xhat, sd = self._last
        self.affine.gain.slope = (dy * xhat).sum(0)
        self.affine.offset.slope = dy.sum(0)
        dn = dy * self.affine.gain.value
        return (dn - dn.mean(0) - xhat * (dn * xhat).mean(0)) / sd
