import numpy as np


def unbroadcast(g, shape):
    while g.ndim > len(shape):
        g = g.sum(axis=0)
    for i, s in enumerate(shape):
        if s == 1:
            g = g.sum(axis=i, keepdims=True)
    return g


class Tensor:
    def __init__(self, data, _children=(), requires_grad=True):
        self.data = np.asarray(data, dtype=np.float64)
        self.grad = np.zeros_like(self.data)
        self._prev = _children
        self._backward = lambda: None

    def __add__(self, other):
        other = other if isinstance(other, Tensor) else Tensor(other)
        out = Tensor(self.data + other.data, (self, other))

        def _backward():
            self.grad += unbroadcast(out.grad, self.data.shape)
            other.grad += unbroadcast(out.grad, other.data.shape)
        out._backward = _backward
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Tensor) else Tensor(other)
        out = Tensor(self.data * other.data, (self, other))

        def _backward():
            self.grad += unbroadcast(out.grad * other.data, self.data.shape)
            other.grad += unbroadcast(out.grad * self.data, other.data.shape)
        out._backward = _backward
        return out

    def __pow__(self, k):
        out = Tensor(self.data ** k, (self,))

        def _backward():
            self.grad += k * self.data ** (k - 1) * out.grad
        out._backward = _backward
        return out

    def mean0(self):
        n = self.data.shape[0]
        out = Tensor(self.data.mean(axis=0, keepdims=True), (self,))

        def _backward():
            self.grad += np.broadcast_to(out.grad / n, self.data.shape)
        out._backward = _backward
        return out

    def __sub__(self, other):
        return self + other * -1.0

    def backward(self, grad=None):
        topo, seen = [], set()

        def build(v):
            if id(v) not in seen:
                seen.add(id(v))
                for c in v._prev:
                    build(c)
                topo.append(v)
        build(self)
        self.grad = np.ones_like(self.data) if grad is None else grad
        for v in reversed(topo):
            v._backward()


class BatchNorm1d:
    def __init__(self, nin):
        self.gamma = Tensor(np.ones(nin))
        self.beta = Tensor(np.zeros(nin))

    def __call__(self, x):
        centred = x - x.mean0()
        var = (centred * centred).mean0()
        return centred * (var + 1e-5) ** -0.5 * self.gamma + self.beta

    def parameters(self):
        return [self.gamma, self.beta]
