import numpy as np


class NormalizacaoDeCamada:
    """Normaliza cada exemplo pelas suas proprias caracteristicas (ultimo eixo)."""

    def __init__(self, tamanho, folga=1e-5):
        self.tamanho = tamanho
        self.folga = folga
        self.pesos = {"escala": np.ones(tamanho), "deslocamento": np.zeros(tamanho)}
        self.derivadas = {}
        self._lembranca = None

    def propagar(self, entrada):
        media = entrada.mean(axis=-1, keepdims=True)
        centrada = entrada - media
        variancia = (centrada * centrada).mean(axis=-1, keepdims=True)
        inverso = (variancia + self.folga) ** -0.5
        normalizada = centrada * inverso
        self._lembranca = normalizada, inverso
        return normalizada * self.pesos["escala"] + self.pesos["deslocamento"]

    def retropropagar(self, erro):
        normalizada, inverso = self._lembranca
        outros = tuple(range(erro.ndim - 1))
        self.derivadas["escala"] = (erro * normalizada).sum(axis=outros)
        self.derivadas["deslocamento"] = erro.sum(axis=outros)
        sinal = erro * self.pesos["escala"]
        soma = sinal.sum(axis=-1, keepdims=True)
        projecao = (sinal * normalizada).sum(axis=-1, keepdims=True)
        return inverso * (sinal - (soma + normalizada * projecao) / self.tamanho)
