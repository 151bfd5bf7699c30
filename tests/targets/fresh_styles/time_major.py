import numpy as np


class SequenceBatchNorm:
    """For recurrent networks: sequences are (T, N, C), statistics over time and batch."""

    def __init__(self, channels, smoothing=0.95, floor=1e-5):
        self.gain, self.bias = np.ones(channels), np.zeros(channels)
        self.d_gain, self.d_bias = np.zeros(channels), np.zeros(channels)
        self.smooth_mean, self.smooth_var = np.zeros(channels), np.ones(channels)
        self.smoothing, self.floor = smoothing, floor

    def unroll(self, seq):
        steps, batch, _ = seq.shape
        count = steps * batch
        mean = sum(frame.sum(axis=0) for frame in seq) / count
        var = sum(((frame - mean) ** 2).sum(axis=0) for frame in seq) / count
        s = self.smoothing
        self.smooth_mean = s * self.smooth_mean + (1 - s) * mean
        self.smooth_var = s * self.smooth_var + (1 - s) * var
        self._mean, self._scale, self._count = mean, 1 / np.sqrt(var + self.floor), count
        self._seq = seq
        return np.stack([self.gain * (f - mean) * self._scale + self.bias for f in seq])

    def roll_back(self, d_seq):
        """Backward through the whole sequence, last frame first."""
        self.d_gain, self.d_bias = np.zeros_like(self.gain), np.zeros_like(self.bias)
        for frame, d in zip(self._seq[::-1], d_seq[::-1]):
            self.d_gain += (d * (frame - self._mean) * self._scale).sum(axis=0)
            self.d_bias += d.sum(axis=0)
        out = np.empty_like(d_seq)
        for t in range(len(d_seq) - 1, -1, -1):
            unit = (self._seq[t] - self._mean) * self._scale
            out[t] = self.gain * self._scale * (
                d_seq[t] - self.d_bias / self._count - unit * self.d_gain / self._count)
        return out

    def single_step(self, frame):
        """One frame (N, C) at inference time."""
        return self.gain * (frame - self.smooth_mean) / np.sqrt(self.smooth_var + self.floor) + self.bias
