import abc


class Block(abc.ABC):
    params: list
    grads: list

    @abc.abstractmethod
    def __call__(self, x): ...

    @abc.abstractmethod
    def backward(self, dout): ...

    def zero_grad(self):
        for g in self.grads:
            g[...] = 0
