# no numpy at all: a batch is a list of lists
from math import sqrt


def column(rows, j):
    return [row[j] for row in rows]


class BatchNorm:
    def __init__(self, n):
        self.n = n
        self.gamma = [1.0] * n
        self.beta = [0.0] * n
        self.eps = 1e-5

    def forward(self, rows):
        m = len(rows)
        self.hat = [[0.0] * self.n for _ in rows]
        self.inv = [0.0] * self.n
        out = [[0.0] * self.n for _ in rows]
        for j in range(self.n):
            col = column(rows, j)
            mu = sum(col) / m
            var = sum((c - mu) ** 2 for c in col) / m
            self.inv[j] = 1.0 / sqrt(var + self.eps)
            for i, c in enumerate(col):
                self.hat[i][j] = (c - mu) * self.inv[j]
                out[i][j] = self.gamma[j] * self.hat[i][j] + self.beta[j]
        return out

    def backward(self, dout):
        m = len(dout)
        self.dbeta = [sum(column(dout, j)) for j in range(self.n)]
        self.dgamma = [sum(d * h for d, h in zip(column(dout, j), column(self.hat, j))) for j in range(self.n)]
        return [
            [
                self.gamma[j] * self.inv[j] * (dout[i][j] - self.dbeta[j] / m - self.hat[i][j] * self.dgamma[j] / m)
                for j in range(self.n)
            ]
            for i in range(m)
        ]
