"""Bacchi seikika (batch normalization), romaji de kaita NN no bubun."""
import numpy as np


class BatchSeikika:
    """nyuuryoku: (mai, jigen)"""

    def __init__(self, jigen, kansei=0.9, bishou=1e-6):
        self.omomi = np.ones(jigen)
        self.zure = np.zeros(jigen)
        self.kansei = kansei          # how much of the old statistics is kept
        self.bishou = bishou
        self.idou_heikin = np.zeros(jigen)
        self.idou_bunsan = np.ones(jigen)
        self.omomi_koubai = None
        self.zure_koubai = None

    def junpo(self, nyuuryoku, gakushuu_chuu=True):
        if gakushuu_chuu:
            heikin = nyuuryoku.mean(axis=0)
            hensa = nyuuryoku - heikin
            bunsan = np.mean(hensa ** 2, axis=0)
            self.hyoujun = np.sqrt(bunsan + self.bishou)
            self.hensa = hensa
            self.seikika = hensa / self.hyoujun
            self.idou_heikin = self.kansei * self.idou_heikin + (1 - self.kansei) * heikin
            self.idou_bunsan = self.kansei * self.idou_bunsan + (1 - self.kansei) * bunsan
            return self.omomi * self.seikika + self.zure
        seikika = (nyuuryoku - self.idou_heikin) / np.sqrt(self.idou_bunsan + self.bishou)
        return self.omomi * seikika + self.zure

    def gyakuden(self, shutsuryoku_koubai):
        mai = shutsuryoku_koubai.shape[0]
        self.zure_koubai = shutsuryoku_koubai.sum(axis=0)
        self.omomi_koubai = np.sum(self.seikika * shutsuryoku_koubai, axis=0)
        d_seikika = self.omomi * shutsuryoku_koubai
        d_hensa = d_seikika / self.hyoujun
        d_hyoujun = -np.sum(d_seikika * self.hensa / self.hyoujun ** 2, axis=0)
        d_bunsan = 0.5 * d_hyoujun / self.hyoujun
        d_hensa += (2.0 / mai) * self.hensa * d_bunsan
        d_heikin = np.sum(d_hensa, axis=0)
        return d_hensa - d_heikin / mai
