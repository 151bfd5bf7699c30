import numpy as np


class NormalizacionPorLotes:

    def __init__(self, n_neuronas, *, inercia=0.9, epsilon=1e-5):
        self.parametros = [np.ones(n_neuronas), np.zeros(n_neuronas)]
        self.gradientes = [np.zeros(n_neuronas), np.zeros(n_neuronas)]
        self.inercia = inercia
        self.epsilon = epsilon
        self.media_movil = np.zeros(n_neuronas)
        self.varianza_movil = np.ones(n_neuronas)

    def adelante(self, entrada, entrenando=True):
        escala, sesgo = self.parametros
        if entrenando:
            self.media, self.varianza = entrada.mean(axis=0), entrada.var(axis=0)
            self.media_movil += (1 - self.inercia) * (self.media - self.media_movil)
            self.varianza_movil += (1 - self.inercia) * (self.varianza - self.varianza_movil)
        else:
            self.media, self.varianza = self.media_movil, self.varianza_movil
        self.entrada = entrada
        self.entrada_norm = (entrada - self.media) / np.sqrt(self.varianza + self.epsilon)
        return escala * self.entrada_norm + sesgo

    def atras(self, error):
        escala, _ = self.parametros
        self.gradientes[0] = np.sum(error * self.entrada_norm, axis=0)
        self.gradientes[1] = np.sum(error, axis=0)
        d_norm = error * escala
        d_var = np.sum(d_norm * (self.entrada - self.media), axis=0) * -0.5 * (self.varianza + self.epsilon) ** -1.5
        return d_norm / np.sqrt(self.varianza + self.epsilon) + d_var * 2 * (self.entrada - self.media) / len(error)
