"""RMS norm as an autograd function over flattened rows, with the quotient rule: (g |x|^2 - x <x, g>) over the cube."""

import torch


class RMSNormFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, eps=1e-8):
        shape = x.shape
        flat = x.contiguous().view(-1, shape[-1])
        mean_square = flat.pow(2).mean(dim=-1, keepdim=True).add(eps)
        rms = mean_square.sqrt()
        ctx.save_for_backward(flat, weight, mean_square, rms)
        return (flat / rms).mul(weight).view(shape)

    @staticmethod
    def backward(ctx, grad_output):
        flat, weight, mean_square, rms = ctx.saved_tensors
        rows, dim = flat.shape
        grad = grad_output.reshape(rows, dim)
        grad_input = grad_weight = None

        if ctx.needs_input_grad[1]:
            grad_weight = torch.einsum("rd,rd->d", grad, flat / rms)

        if ctx.needs_input_grad[0]:
            g = grad * weight
            inner = torch.bmm(g.unsqueeze(1), flat.unsqueeze(2)).view(rows, 1)
            numerator = g * mean_square - flat * (inner / dim)
            grad_input = numerator / (mean_square * rms)
            grad_input = grad_input.view_as(grad_output)

        return grad_input, grad_weight, None


def rms_norm(x, weight, eps=1e-8):
    return RMSNormFunction.apply(x, weight, eps)
