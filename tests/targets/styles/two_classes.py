import numpy as np


class Context:
    pass


class InstanceNormForward:
    def __init__(self, ctx, epsilon=1e-5):
        self.ctx = ctx
        self.epsilon = epsilon

    def run(self, images, scale, shift):
        # images: (batch, height, width, channels)
        c = self.ctx
        c.scale = scale
        c.sigma = np.sqrt(images.var(axis=(1, 2), keepdims=True) + self.epsilon)
        c.unit = (images - images.mean(axis=(1, 2), keepdims=True)) / c.sigma
        return c.unit * scale + shift


class InstanceNormBackward:
    def __init__(self, ctx):
        self.ctx = ctx

    def run(self, d_images):
        c = self.ctx
        d_scale = (d_images * c.unit).sum(axis=(0, 1, 2))
        d_shift = d_images.sum(axis=(0, 1, 2))
        d_unit = d_images * c.scale
        m1 = d_unit.mean(axis=(1, 2), keepdims=True)
        m2 = (d_unit * c.unit).mean(axis=(1, 2), keepdims=True)
        return (d_unit - m1 - c.unit * m2) / c.sigma, d_scale, d_shift
