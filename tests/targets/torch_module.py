import torch

layer = torch.nn.BatchNorm2d(3)
