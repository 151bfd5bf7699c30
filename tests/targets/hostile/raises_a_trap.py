"""Raises an exception whose text raises."""


class Trap(Exception):
    def __str__(self):
        raise SystemExit(3)


def forward(x, gamma, beta, eps):
    raise Trap


def backward(dy, cache):
    raise Trap
