"""A network here is a list of steps; each has run(direction, array)."""
import numpy as np

UP, DOWN = "up", "down"


class LayerNormStep:
    def __init__(self, size, epsilon=1e-5):
        self.epsilon = epsilon
        self.tensors = [np.ones(size), np.zeros(size)]
        self.slopes = [None, None]
        self.trace = None

    def run(self, direction, array):
        if direction == UP:
            return self._run_up(array)
        if direction == DOWN:
            return self._run_down(array)
        raise ValueError(f"no such direction: {direction}")

    def _run_up(self, array):
        gain, bias = self.tensors
        centre = array.mean(axis=-1, keepdims=True)
        width = np.sqrt(array.var(axis=-1, keepdims=True) + self.epsilon)
        self.trace = array, centre, width
        return gain * ((array - centre) / width) + bias

    def _run_down(self, array):
        before, centre, width = self.trace
        size = before.shape[-1]
        unit = (before - centre) / width
        self.slopes[0] = (array * unit).reshape(-1, size).sum(axis=0)
        self.slopes[1] = array.reshape(-1, size).sum(axis=0)
        slope = array * self.tensors[0]
        d_width = -(slope * unit).sum(axis=-1, keepdims=True) / width
        d_centre = -slope.sum(axis=-1, keepdims=True) / width
        return slope / width + d_width * unit / size + d_centre / size
