"""Paketnaya normalizaciya: vhod razmera (paket, priznaki)."""
import numpy as np


class PaketnayaNormalizaciya:
    def __init__(self, chislo_priznakov, malost=1e-5, inerciya=0.1):
        self.masshtab = np.ones(chislo_priznakov)
        self.sdvig = np.zeros(chislo_priznakov)
        self.malost, self.inerciya = malost, inerciya
        self.srednee_tekuschee = np.zeros(chislo_priznakov)
        self.dispersiya_tekuschaya = np.ones(chislo_priznakov)
        self.obuchenie = True

    def vpered(self, vhod):
        if self.obuchenie:
            srednee, dispersiya = vhod.mean(0), vhod.var(0)
            a = self.inerciya
            self.srednee_tekuschee = (1 - a) * self.srednee_tekuschee + a * srednee
            self.dispersiya_tekuschaya = (1 - a) * self.dispersiya_tekuschaya + a * dispersiya
        else:
            srednee, dispersiya = self.srednee_tekuschee, self.dispersiya_tekuschaya
        self.obratnoe_otklonenie = 1 / np.sqrt(dispersiya + self.malost)
        self.normirovannyj = (vhod - srednee) * self.obratnoe_otklonenie
        return self.masshtab * self.normirovannyj + self.sdvig

    def nazad(self, gradient_vyhoda):
        self.gradient_masshtaba = (gradient_vyhoda * self.normirovannyj).sum(0)
        self.gradient_sdviga = gradient_vyhoda.sum(0)
        g = gradient_vyhoda * self.masshtab
        # vychitaem srednee, potomu chto ono tozhe zavisit ot vhoda
        return self.obratnoe_otklonenie * (g - g.mean(0))
