"""Normalización de capa para el transformer (sin frameworks)."""
import numpy as np


class NormaCapa:
    """
    y = a * (x - media) / (desv + eps) + b

    Igual que en The Annotated Transformer, eps se suma a la desviación
    típica y no a la varianza.
    """

    def __init__(self, d_modelo, eps=1e-6):
        self.a = np.ones(d_modelo)
        self.b = np.zeros(d_modelo)
        self.eps = eps
        self.grad_a = np.zeros(d_modelo)
        self.grad_b = np.zeros(d_modelo)

    def adelante(self, x):
        media = x.mean(axis=-1, keepdims=True)
        self.xc = x - media
        self.desv = np.sqrt((self.xc ** 2).mean(axis=-1, keepdims=True))
        self.xn = self.xc / (self.desv + self.eps)
        return self.a * self.xn + self.b

    def atras(self, dy):
        ejes = tuple(range(dy.ndim - 1))
        self.grad_a = (dy * self.xn).sum(axis=ejes)
        self.grad_b = dy.sum(axis=ejes)

        n = dy.shape[-1]
        dxn = dy * self.a
        s = self.desv + self.eps
        # derivada respecto a la desviación típica
        ddesv = -(dxn * self.xc).sum(axis=-1, keepdims=True) / s ** 2
        # d desv / d xc = xc / (n * desv), cuidado con las filas constantes
        desv = np.maximum(self.desv, 1e-12)
        dxc = dxn / s + ddesv * self.xc / (n * desv)
        # restar la media
        return dxc - dxc.mean(axis=-1, keepdims=True)

    def parametros(self):
        return [(self.a, self.grad_a), (self.b, self.grad_b)]
