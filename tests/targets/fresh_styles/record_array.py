"""Everything per feature sits in one structured array."""
import numpy as np

CHANNEL = np.dtype([("scale", "f8"), ("shift", "f8"),
                    ("scale_grad", "f8"), ("shift_grad", "f8"),
                    ("avg", "f8"), ("spread", "f8")])


def new_table(width):
    table = np.zeros(width, dtype=CHANNEL)
    table["scale"] = 1.0
    table["spread"] = 1.0
    return table


class TableNorm:
    """Batch norm over axis 0."""

    def __init__(self, width, keep=0.99, tiny=1e-5):
        self.table = new_table(width)
        self.keep = keep
        self.tiny = tiny
        self._tmp = None

    def forward(self, x, train=True):
        t = self.table
        if train:
            mu, var = x.mean(0), x.var(0)
            t["avg"] += (1 - self.keep) * (mu - t["avg"])
            t["spread"] += (1 - self.keep) * (var - t["spread"])
        else:
            mu, var = t["avg"], t["spread"]
        inv = 1 / np.sqrt(var + self.tiny)
        xhat = (x - mu) * inv
        self._tmp = (xhat, inv, train)
        return t["scale"] * xhat + t["shift"]

    def backward(self, dy):
        xhat, inv, train = self._tmp
        t = self.table
        t["scale_grad"] = np.einsum("nd,nd->d", dy, xhat)
        t["shift_grad"] = dy.sum(0)
        k = t["scale"] * inv
        if not train:
            return dy * k
        n = len(dy)
        return k * (dy - t["shift_grad"] / n - xhat * t["scale_grad"] / n)
