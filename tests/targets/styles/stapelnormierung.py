import numpy as np


class StapelNormierung:
    """Stapelweise Normierung nach Ioffe und Szegedy."""

    def __init__(self, merkmale, traegheit=0.9, epsilon=1e-5):
        self.skala = np.ones(merkmale)
        self.versatz = np.zeros(merkmale)
        self.traegheit = traegheit
        self.epsilon = epsilon
        self.gleit_mittel = np.zeros(merkmale)
        self.gleit_varianz = np.ones(merkmale)

    def vorwaerts(self, eingabe, lernen=True):
        if lernen:
            mittel = eingabe.mean(axis=0)
            varianz = eingabe.var(axis=0)
            t = self.traegheit
            self.gleit_mittel = t * self.gleit_mittel + (1 - t) * mittel
            self.gleit_varianz = t * self.gleit_varianz + (1 - t) * varianz
        else:
            mittel, varianz = self.gleit_mittel, self.gleit_varianz
        self.abweichung = np.sqrt(varianz + self.epsilon)
        self.normiert = (eingabe - mittel) / self.abweichung
        return self.skala * self.normiert + self.versatz

    def rueckwaerts(self, fehler):
        anzahl = len(fehler)
        self.grad_versatz = fehler.sum(axis=0)
        self.grad_skala = (fehler * self.normiert).sum(axis=0)
        # alle drei Wege von y nach x auf einmal
        klammer = anzahl * fehler - self.grad_versatz - self.normiert * self.grad_skala
        return self.skala * klammer / (anzahl * self.abweichung)
