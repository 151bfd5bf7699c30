"""A layer tells its observers what happens; statistics are kept by an observer."""
import numpy as np


class RunningStatistics:
    def __init__(self, size, rate):
        self.rate, self.mean, self.var = rate, np.zeros(size), np.ones(size)

    def __call__(self, layer, event, payload):
        if event == "statistics":
            mean, var = payload
            self.mean = self.mean + self.rate * (mean - self.mean)
            self.var = self.var + self.rate * (var - self.var)


class GradientBook:
    def __init__(self):
        self.entries = {}

    def __call__(self, layer, event, payload):
        if event == "gradients":
            self.entries.update(payload)


class ObservedBatchNorm:
    def __init__(self, size, rate=0.1, eps=1e-5):
        self.scale, self.shift, self.eps = np.ones(size), np.zeros(size), eps
        self.stats, self.book = RunningStatistics(size, rate), GradientBook()
        self.observers = [self.stats, self.book]
        self.learning = True

    def notify(self, event, payload):
        for observer in self.observers:
            observer(self, event, payload)

    def emit(self, x):
        if self.learning:
            mean, var = x.mean(axis=0), x.var(axis=0)
            self.notify("statistics", (mean, var))
        else:
            mean, var = self.stats.mean, self.stats.var
        self.rsd = 1 / np.sqrt(var + self.eps)
        self.unit = (x - mean) * self.rsd
        return self.scale * self.unit + self.shift

    def absorb(self, grad):
        d_scale, d_shift = (grad * self.unit).sum(0), grad.sum(0)
        self.notify("gradients", {"scale": d_scale, "shift": d_shift})
        n = grad.shape[0]
        inner = grad if not self.learning else grad - d_shift / n - self.unit * d_scale / n
        return self.scale * self.rsd * inner
