import numpy as np

from ..slots import Slots


class SpatialNorm:
    """Batch norm of images (N, H, W, C); statistics over N, H and W.

    As usual the running variance is the unbiased one, the normalization uses the biased.
    """

    def __init__(self, channels, tau=0.1, eps=1e-5):
        self.tau, self.eps = tau, eps
        self.slots = (Slots().open("weight", np.ones(channels)).open("bias", np.zeros(channels))
                      .open("mean", np.zeros(channels), frozen=True)
                      .open("var", np.ones(channels), frozen=True))

    def visit(self, image, fitting=True):
        w, b, mean, var = (s.array for s in self.slots.values())
        if fitting:
            m, v = image.mean(axis=(0, 1, 2)), image.var(axis=(0, 1, 2))
            count = image.shape[0]
            unbiased = v * count / (count - 1)
            self.slots["mean"].array = mean + self.tau * (m - mean)
            self.slots["var"].array = var + self.tau * (unbiased - var)
            mean, var = m, v
        self.rstd = 1.0 / np.sqrt(var + self.eps)
        self.hat = (image - mean) * self.rstd
        return self.hat * w + b

    def revisit(self, d_image):
        count = d_image[..., 0].size
        dw, db = (d_image * self.hat).sum(axis=(0, 1, 2)), d_image.sum(axis=(0, 1, 2))
        self.slots["weight"].cotangent, self.slots["bias"].cotangent = dw, db
        return self.slots["weight"].array * self.rstd * (d_image - (db + self.hat * dw) / count)
