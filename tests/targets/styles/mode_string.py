import numpy as np

TRAIN, INFER = "train", "infer"


class BatchNorm:
    def __init__(self, shape, mode=TRAIN):
        (self.d,) = shape
        self.mode = mode
        self.gamma, self.beta = np.ones(self.d), np.zeros(self.d)
        self.ema = {"mean": np.zeros(self.d), "var": np.ones(self.d)}
        self.eps = 1e-5
        self.alpha = 0.05

    def set_mode(self, mode):
        assert mode in (TRAIN, INFER)
        self.mode = mode
        return self

    def forward(self, x):
        if self.mode == INFER:
            return self.gamma * (x - self.ema["mean"]) / (self.ema["var"] + self.eps) + self.beta
        mean = x.mean(axis=0)
        var = x.var(axis=0)
        self.ema["mean"] = (1 - self.alpha) * self.ema["mean"] + self.alpha * mean
        self.ema["var"] = (1 - self.alpha) * self.ema["var"] + self.alpha * var
        self.std = np.sqrt(var + self.eps)
        self.xhat = (x - mean) / self.std
        return self.gamma * self.xhat + self.beta

    def backward(self, dy):
        dxhat = dy * self.gamma
        dx = (dxhat - dxhat.mean(axis=0) - self.xhat * (dxhat * self.xhat).mean(axis=0)) / self.std
        return dx, {"gamma": (dy * self.xhat).sum(axis=0), "beta": dy.sum(axis=0)}
