# Gruppennormalisierung, Eingabe (N, C, H, W)
# Die Gradienten werden über mehrere Mini-Batches gesammelt, schritt() wendet sie an.
import numpy as np


class GruppenNorm:
    def __init__(self, kanaele, gruppen=2, eps=1e-5):
        assert kanaele % gruppen == 0
        self.kanaele = kanaele
        self.gruppen = gruppen
        self.eps = eps
        self.gamma = np.ones((1, kanaele, 1, 1))
        self.beta = np.zeros((1, kanaele, 1, 1))
        self.d_gamma = np.zeros_like(self.gamma)
        self.d_beta = np.zeros_like(self.beta)

    def vorwaerts(self, x):
        N, C, H, W = x.shape
        xg = x.reshape(N, self.gruppen, C // self.gruppen, H, W)
        mittel = xg.mean(axis=(2, 3, 4), keepdims=True)
        varianz = xg.var(axis=(2, 3, 4), keepdims=True)
        self.inv = 1.0 / np.sqrt(varianz + self.eps)
        self.xn = (xg - mittel) * self.inv
        return self.gamma * self.xn.reshape(x.shape) + self.beta

    def rueckwaerts(self, dy):
        xn = self.xn.reshape(dy.shape)
        self.d_gamma += (dy * xn).sum(axis=(0, 2, 3), keepdims=True)
        self.d_beta += dy.sum(axis=(0, 2, 3), keepdims=True)

        d = (dy * self.gamma).reshape(self.xn.shape)
        achsen = (2, 3, 4)
        m = d.mean(axis=achsen, keepdims=True)
        k = (d * self.xn).mean(axis=achsen, keepdims=True)
        return (self.inv * (d - m - self.xn * k)).reshape(dy.shape)

    def schritt(self, lernrate):
        self.gamma -= lernrate * self.d_gamma
        self.beta -= lernrate * self.d_beta
        self.nullen()

    def nullen(self):
        self.d_gamma = np.zeros_like(self.gamma)
        self.dbeta = np.zeros_like(self.beta)
