"""Real mini-batches, from data that scikit-learn carries with it: nothing is downloaded.

Digits have pixels that are always 0, so groups of zero variance; wine spans 0.13 to 1680; a photograph has strongly
correlated neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bncheck.case import DTYPES, Array, Case, Layout


def minibatches(parameters: tuple[str, ...], seed: int, dtypes: tuple[str, ...]) -> Iterator[Case]:
    """Cases of batch-norm layouts whose x is real; dy and the parameters are drawn with the seed.

    Shapes
        digits (16, 64), wine (16, 13), breast cancer (16, 30), a photograph (2, 3, 4, 4) as NCHW
    """
    for dtype in dtypes:
        rng = np.random.default_rng(seed)
        for name, layout, x in _sources(rng):
            sizes = layout.parameter_shape(x.shape)
            drawn = {parameter: rng.normal(size=sizes).astype(DTYPES[dtype]) for parameter in parameters}
            dy = rng.normal(size=x.shape).astype(DTYPES[dtype])
            yield Case(layout, x.astype(DTYPES[dtype]), dy, drawn, 1e-5, f"{name}/{dtype}")


def _sources(rng: np.random.Generator) -> Iterator[tuple[str, Layout, Array]]:
    from sklearn import datasets

    table = Layout("NC", reduced="N", affine="C")
    for name, load in (
        ("digits", datasets.load_digits),
        ("wine", datasets.load_wine),
        ("breast_cancer", datasets.load_breast_cancer),
    ):
        data = load().data
        yield name, table, data[rng.choice(len(data), size=16, replace=False)]
    photograph = datasets.load_sample_image("flower.jpg")
    corners = rng.integers(0, 400, size=(2, 2))
    patches = np.stack([photograph[row : row + 4, column : column + 4] for row, column in corners])
    yield "photograph", Layout("NCHW", reduced="NHW", affine="C"), patches.transpose(0, 3, 1, 2)
