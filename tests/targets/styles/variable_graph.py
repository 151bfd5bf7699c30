import numpy as np


class Variable:
    """A value and, next to it, the gradient of the loss."""

    def __init__(self, val, trainable=False):
        self.val = np.array(val, dtype=np.float64)
        self.grad = np.zeros_like(self.val)
        self.trainable = trainable


class Node:
    def __init__(self, *parents):
        self.parents = parents
        self.out = None


class LayerNormNode(Node):
    def __init__(self, x, scale, shift, eps=1e-5):
        super().__init__(x, scale, shift)
        self.eps = eps

    def forward(self):
        x, scale, shift = self.parents
        m = x.val.mean(-1, keepdims=True)
        v = x.val.var(-1, keepdims=True)
        self.sd = np.sqrt(v + self.eps)
        self.z = (x.val - m) / self.sd
        self.out = Variable(self.z * scale.val + shift.val)
        return self.out

    def backward(self):
        x, scale, shift = self.parents
        g = self.out.grad
        batch_axes = tuple(range(g.ndim - 1))
        shift.grad += g.sum(batch_axes)
        scale.grad += (g * self.z).sum(batch_axes)
        gz = g * scale.val
        x.grad += (gz - gz.mean(axis=0, keepdims=True) - self.z * (gz * self.z).mean(axis=0, keepdims=True)) / self.sd
