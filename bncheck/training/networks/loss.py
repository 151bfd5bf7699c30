"""Softmax cross-entropy, from scores to the loss and its gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bncheck.case import Array


class Loss(NamedTuple):
    """The mean loss of a batch, and its gradient with respect to the scores."""

    value: Any
    gradient: Any


def softmax_cross_entropy(scores: Any, labels: Array) -> Loss:
    """−log of what softmax gives the right class, averaged over the batch; the gradient is (softmax − one-hot) / N.

    Shapes
        scores: (N, classes); labels: (N,), whole numbers

    >>> loss = softmax_cross_entropy(np.zeros((2, 4)), np.array([0, 3]))
    >>> round(float(loss.value), 4), loss.gradient[0].tolist()
    (1.3863, [-0.375, 0.125, 0.125, 0.125])
    """
    count, classes = scores.shape
    right = np.eye(classes, dtype=bool)[labels]
    shifted = scores - scores.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=(1,), keepdims=True)
    losses = np.log(total).reshape(count, 1) - shifted[right].reshape(count, 1)
    value = (losses.sum(axis=(0,), keepdims=True) / count).reshape(())
    return Loss(value, (exponentials / total - right) / count)
