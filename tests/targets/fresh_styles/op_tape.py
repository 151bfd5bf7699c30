"""Ops are classes with go() and back(); the tape remembers which were used."""
import numpy as np


class Op:
    def __init__(self, *parents):
        self.parents, self.adjoint = parents, 0.0
        self.data = self.go(*(p.data for p in parents))

    def send(self, *grads):
        for p, g in zip(self.parents, grads):
            while np.ndim(g) > np.ndim(p.data):
                g = g.sum(0)
            for ax, n in enumerate(np.shape(p.data)):
                if n == 1 and g.shape[ax] != 1:
                    g = g.sum(ax, keepdims=True)
            p.adjoint = p.adjoint + g


class Const(Op):
    def __init__(self, data):
        self.data, self.parents, self.adjoint = data, (), 0.0

    def back(self, g): pass


class Sub(Op):
    def go(self, a, b): return a - b
    def back(self, g): self.send(g, -g)


class Mul(Op):
    def go(self, a, b): return a * b
    def back(self, g): self.send(g * self.parents[1].data, g * self.parents[0].data)


class Add(Op):
    def go(self, a, b): return a + b
    def back(self, g): self.send(g, g)


class Mean(Op):
    def go(self, a): return a.mean(-1, keepdims=True)
    def back(self, g):
        a = self.parents[0].data
        self.send(np.broadcast_to(g, a.shape) / a.shape[-1])


class InvRoot(Op):
    def go(self, a): return (a + 1e-5) ** -0.5
    def back(self, g): self.send(-0.5 * g * self.data ** 3)


class LayerNorm:
    def __init__(self, dim):
        self.gain, self.bias = Const(np.ones(dim)), Const(np.zeros(dim))

    def record(self, x):
        tape = self.tape = [Const(x)]
        put = lambda node: tape.append(node) or node
        centred = put(Sub(tape[0], put(Mean(tape[0]))))
        rate = put(InvRoot(put(Mean(put(Mul(centred, centred))))))
        put(Add(put(Mul(put(Mul(centred, rate)), self.gain)), self.bias))
        return tape[-1].data

    def rewind(self, seed):
        self.gain.adjoint = self.bias.adjoint = 0.0
        self.tape[-1].adjoint = seed
        for node in reversed(self.tape):
            node.back(node.adjoint)
        return self.tape[0].adjoint
