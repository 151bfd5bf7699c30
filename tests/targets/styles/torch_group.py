import torch
from torch import nn


class GN(nn.Module):
    def __init__(self, ch: int, n_groups: int = 2, eps: float = 1e-5):
        super(GN, self).__init__()
        assert ch % n_groups == 0
        self.G = n_groups
        self.eps = eps
        self.a = nn.Parameter(torch.ones(1, ch, 1, 1))
        self.c = nn.Parameter(torch.zeros(1, ch, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        N, C, H, W = x.size()
        x = x.view(N, C // self.G, self.G, H * W)
        mean = x.mean(dim=(1, 3), keepdim=True)
        var = x.var(dim=(1, 3), keepdim=True, unbiased=False)
        x = (x - mean) / torch.sqrt(var + self.eps)
        x = x.view(N, C, H, W)
        return x * self.a + self.c
