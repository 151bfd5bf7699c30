import torch
import torch.nn as nn


class RMSNorm(nn.Module):
    def __init__(self, hidden_size, variance_epsilon=1e-6):
        super().__init__()
        self.amplitude = nn.Parameter(torch.ones(hidden_size))
        self.variance_epsilon = variance_epsilon

    def _norm(self, hidden_states):
        return hidden_states * torch.rsqrt(hidden_states.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)

    def forward(self, hidden_states):
        return self.amplitude * self._norm(hidden_states)

    def extra_repr(self):
        return f"{tuple(self.amplitude.shape)}, eps={self.variance_epsilon}"
