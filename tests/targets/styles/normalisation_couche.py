import numpy as np


class NormalisationCouche:
    def __init__(self, taille):
        self.poids = np.ones(taille)
        self.biais = np.zeros(taille)
        self.gradients = {"poids": 0, "biais": 0}

    def propager(self, entree):
        moyenne = entree.mean(axis=1, keepdims=True)
        ecart = np.sqrt(((entree - moyenne) ** 2).mean(axis=1, keepdims=True) + 1e-5)
        self.memoire = (entree - moyenne) / ecart, ecart
        return self.poids * self.memoire[0] + self.biais

    def retropropager(self, delta):
        norme, ecart = self.memoire
        self.gradients["poids"] = (delta * norme).sum(axis=0)
        self.gradients["biais"] = delta.sum(axis=0)
        d = self.poids * delta
        # projection hors des directions 1 et norme
        D = d.shape[1]
        d = d - d.sum(axis=1, keepdims=True) / D
        return (d - norme * (d * norme).sum(axis=1, keepdims=True) / D) / ecart
