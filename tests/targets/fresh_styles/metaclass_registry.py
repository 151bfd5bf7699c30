import numpy as np


class Trainable:
    """Descriptor: the array lives in obj.store, its gradient in obj.store['d_' + name]."""

    def __init__(self, fill):
        self.fill = fill

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, obj, owner=None):
        return self if obj is None else obj.store[self.name]

    def __set__(self, obj, value):
        obj.store[self.name] = np.asarray(value)


class LayerMeta(type):
    registry = {}

    def __new__(mcs, name, bases, ns, kind=None):
        cls = super().__new__(mcs, name, bases, ns)
        cls.trainables = [v for v in ns.values() if isinstance(v, Trainable)]
        if kind:
            mcs.registry[kind] = cls
        return cls


class Layer(metaclass=LayerMeta):
    def __init__(self, dim, **kw):
        self.store = {t.name: np.full(dim, t.fill) for t in self.trainables}
        self.setup(dim, **kw)


class BatchNormLayer(Layer, kind="bn"):
    amplitude = Trainable(1.0)
    pedestal = Trainable(0.0)

    def setup(self, dim, eps=1e-5, mix=0.1):
        self.eps, self.mix = eps, mix
        self.longterm = np.vstack([np.zeros(dim), np.ones(dim)])

    def compute(self, x, learn=True):
        stats = np.vstack([x.mean(0), x.var(0)]) if learn else self.longterm
        if learn:
            self.longterm = self.longterm + self.mix * (stats - self.longterm)
        self.learn, self.sd = learn, np.sqrt(stats[1] + self.eps)
        self.xh = (x - stats[0]) / self.sd
        return self.amplitude * self.xh + self.pedestal

    def reverse(self, dy):
        self.store["d_amplitude"] = (dy * self.xh).sum(0)
        self.store["d_pedestal"] = dy.sum(0)
        v = dy * self.amplitude
        if self.learn:
            v = v - v.mean(0) - self.xh * (v * self.xh).mean(0)
        return v / self.sd


def make(kind, *args, **kw):
    return LayerMeta.registry[kind](*args, **kw)
