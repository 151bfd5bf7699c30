"""Has nothing to call."""


def add(a, b):
    return a + b
