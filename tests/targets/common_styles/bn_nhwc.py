# Projet réseau de neurones - normalisation par lots
# Les images sont au format (lot, hauteur, largeur, canaux)
import numpy as np


class NormalisationLot:
    def __init__(self, nb_canaux, epsilon=1e-5, inertie=0.9):
        self.poids = [np.ones(nb_canaux), np.zeros(nb_canaux)]  # gamma, beta
        self.gradients = [None, None]
        self.epsilon = epsilon
        self.inertie = inertie
        self.moyenne_mobile = np.zeros(nb_canaux)
        self.variance_mobile = np.ones(nb_canaux)

    def propagation(self, entree, apprentissage=True):
        gamma, beta = self.poids
        if not apprentissage:
            echelle = gamma / np.sqrt(self.variance_mobile + self.epsilon)
            return entree * echelle + (beta - self.moyenne_mobile * echelle)

        # on aplatit tout sauf les canaux
        self.forme = entree.shape
        plat = entree.reshape(-1, self.forme[-1])
        moyenne = plat.mean(0)
        variance = plat.var(0)
        self.ecart_type = np.sqrt(variance + self.epsilon)
        self.centre_reduit = (plat - moyenne) / self.ecart_type

        a = self.inertie
        self.moyenne_mobile = a * self.moyenne_mobile + (1 - a) * moyenne
        self.variance_mobile = a * self.variance_mobile + (1 - a) * variance
        return (gamma * self.centre_reduit + beta).reshape(self.forme)

    def retropropagation(self, delta):
        gamma, _ = self.poids
        d = delta.reshape(-1, self.forme[-1])
        z = self.centre_reduit
        self.gradients[0] = (d * z).sum(0)
        self.gradients[1] = d.sum(0)

        dz = d * gamma
        dx = (dz - dz.mean(0) - z * (dz * z).mean(0)) / self.ecart_type
        return dx.reshape(self.forme)

    def mise_a_jour(self, pas):
        for p, g in zip(self.poids, self.gradients):
            p -= pas * g
