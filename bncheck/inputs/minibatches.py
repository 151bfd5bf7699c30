"""Real mini-batches, from data that scikit-learn carries with it: nothing is downloaded.

Digits have pixels that are always 0, so groups of zero variance; wine spans 0.13 to 1680; a photograph has strongly
correlated neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bncheck.case import Array, Case
from bncheck.formats import DTYPES
from bncheck.inputs.recipes import completed
from bncheck.layers import Layer


def minibatches(layer: Layer, seed: int, dtypes: tuple[str, ...]) -> Iterator[Case]:
    """Cases of a layer whose x is real, on those of its layouts that fit; dy and the parameters are drawn.

    Shapes
        digits (16, 64), wine (16, 13), breast cancer (16, 30) where a layout has two axes; a photograph as
        (2, 3, 4, 4), or its channels as one group (2, 1, 3, 4, 4)
    """
    for dtype in dtypes:
        rng = np.random.default_rng(seed)
        for name, x in _sources(rng):
            layout = next((a for a in layer.layouts if len(a.axes) == x.ndim and a.axes[0] == "N"), None)
            if layout is None or layout.axes == "NHWC":
                continue
            yield completed(x.astype(DTYPES[dtype]), layer, layout, rng, 1e-5, f"{name}/{dtype}")


def _sources(rng: np.random.Generator) -> Iterator[tuple[str, Array]]:
    from sklearn import datasets

    for name, load in (
        ("digits", datasets.load_digits),
        ("wine", datasets.load_wine),
        ("breast_cancer", datasets.load_breast_cancer),
    ):
        data = load().data
        yield name, data[rng.choice(len(data), size=16, replace=False)]
    photograph = datasets.load_sample_image("flower.jpg")
    corners = rng.integers(0, 400, size=(2, 2))
    patches = np.stack([photograph[row : row + 4, column : column + 4] for row, column in corners])
    images = patches.transpose(0, 3, 1, 2)
    yield "photograph", images
    yield "photograph in one group", images[:, None]
