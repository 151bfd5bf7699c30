import numpy as np


class Param:
    def __init__(self, value):
        self.value = np.asarray(value, dtype=np.float64)
        self.grad = np.zeros_like(self.value)


class Layer:
    def __init__(self):
        self._params = {}
        self.is_train = True

    def register(self, name, value):
        self._params[name] = Param(value)
        return self._params[name]

    def params(self):
        return self._params

    def train(self):
        self.is_train = True

    def eval(self):
        self.is_train = False
