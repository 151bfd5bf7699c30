"""Eine Schicht mit laufender Statistik; zur Auswertung ist sie nur noch eine Gerade. Der Merker ist eine dataclass."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Merker:
    abweichung: np.ndarray
    kehrwert: np.ndarray


class BatchNormSchicht:
    def __init__(self, merkmale, eps=1e-5, momentum=0.1):
        self.eps = eps
        self.momentum = momentum
        self.gamma = np.ones(merkmale)
        self.beta = np.zeros(merkmale)
        self.running_mean = np.zeros(merkmale)
        self.running_var = np.ones(merkmale)
        self.merker = None

    def forward(self, x, training=True):
        if not training:
            steigung = self.gamma / np.sqrt(self.running_var + self.eps)
            abschnitt = self.beta - steigung * self.running_mean
            return steigung * x + abschnitt

        anzahl = len(x)
        mittelwert = np.mean(x, axis=0)
        abweichung = x - mittelwert
        quadratsumme = np.sum(abweichung * abweichung, axis=0)
        kehrwert = 1 / np.sqrt(quadratsumme / anzahl + self.eps)
        self.merker = Merker(abweichung=abweichung, kehrwert=kehrwert)

        self.running_mean += self.momentum * (mittelwert - self.running_mean)
        self.running_var += self.momentum * (quadratsumme / (anzahl - 1) - self.running_var)
        return self.gamma * (abweichung * kehrwert) + self.beta

    def backward(self, dy):
        abweichung, kehrwert = self.merker.abweichung, self.merker.kehrwert
        anzahl = len(abweichung)
        self.dbeta = np.sum(dy, axis=0)
        self.dgamma = kehrwert * np.sum(dy * abweichung, axis=0)

        # beide Ableitungen folgen schon aus denen der Parameter
        dmittelwert = -self.gamma * kehrwert * self.dbeta
        dvarianz = -0.5 * self.gamma * kehrwert**2 * self.dgamma
        dx = self.gamma * dy * kehrwert
        dx += dmittelwert / anzahl
        dx += 2 * abweichung * dvarianz / anzahl
        return dx
