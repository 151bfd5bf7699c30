import numpy as np


class AffineMixin:
    def setup(self, size):
        super().setup(size)
        self.scale_, self.shift_ = np.ones(size), np.zeros(size)

    def up(self, x):
        self.unit_ = super().up(x)
        return self.scale_ * self.unit_ + self.shift_

    def down(self, dy):
        self.scale_grad_ = (dy * self.unit_).sum(axis=0)
        self.shift_grad_ = dy.sum(axis=0)
        return super().down(dy * self.scale_)


class RunningMixin:
    retention = 0.9

    def setup(self, size):
        super().setup(size)
        self.mean_, self.var_ = np.zeros(size), np.ones(size)

    def moments(self, x):
        mean, var = super().moments(x)
        if not self.training:
            return self.mean_, var
        r = self.retention
        self.mean_ = r * self.mean_ + (1 - r) * mean
        self.var_ = r * self.var_ + (1 - r) * var
        return mean, var


class Standardize:
    eps = 1e-5
    training = True

    def setup(self, size):
        self.size = size

    def moments(self, x):
        return x.mean(axis=0), x.var(axis=0)

    def up(self, x):
        mean, var = self.moments(x)
        self.rs_ = 1 / np.sqrt(var + self.eps)
        self.z_ = (x - mean) * self.rs_
        return self.z_

    def down(self, dz):
        return self.rs_ * (dz - dz.mean(axis=0) - self.z_ * (dz * self.z_).mean(axis=0))


class BatchNorm(AffineMixin, RunningMixin, Standardize):
    def __init__(self, size):
        self.setup(size)
