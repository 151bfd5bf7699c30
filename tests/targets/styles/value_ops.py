import numpy as np


class Tensor:
    def __init__(self, data, parents=(), op=""):
        self.data = np.asarray(data, dtype=np.float64)
        self.grad = np.zeros(self.data.shape)
        self.op = op
        self._parents = parents
        self._backward = None

    @property
    def shape(self):
        return self.data.shape

    def backward(self, g):
        self.grad = self.grad + g
        order, visited = [], set()

        def visit(t):
            if t not in visited:
                visited.add(t)
                for p in t._parents:
                    visit(p)
                order.append(t)

        visit(self)
        for t in order[::-1]:
            if t._backward is not None:
                t._backward()

    def batchnorm(self, weight, bias, eps=1e-5):
        mu = self.data.mean(0)
        rstd = (self.data.var(0) + eps) ** -0.5
        xhat = (self.data - mu) * rstd
        out = Tensor(weight.data * xhat + bias.data, (self, weight, bias), "batchnorm")

        def _backward():
            dy = out.grad
            n = self.shape[0]
            weight.grad += (dy * xhat).sum(0)
            bias.grad += dy.sum(0)
            self.grad += rstd / n * (n * dy - dy.sum(0) - xhat * (dy * xhat).sum(0))

        out._backward = _backward
        return out
