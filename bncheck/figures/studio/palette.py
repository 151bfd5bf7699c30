"""Few colours for many pictures, as GIF has them: paper and lines keep theirs, and nothing is dotted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from PIL import Image

from bncheck.case import Array

EXACT, OTHERS = 64, 192
"""How many colours are kept as they are, the most frequent, and how many stand for all others."""


def indexed(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """The pictures with one palette of 256 colours; each pixel gets the nearest.

    >>> picture, = indexed([Image.new("RGB", (2, 2), "#fefefe")])
    >>> picture.convert("RGB").getpixel((1, 1))
    (254, 254, 254)
    """
    count: Counter[int] = Counter()
    for picture in pictures:
        codes, times = np.unique(_codes(picture), return_counts=True)
        count.update(dict(zip(codes.tolist(), times.tolist(), strict=True)))
    every = np.array(sorted(count, key=lambda code: (-count[code], code)))
    colours = np.stack([every >> 16, every >> 8 & 255, every & 255], axis=-1).astype(np.uint8)
    others = Image.fromarray(colours[None]).quantize(OTHERS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    kept = np.reshape(others.getpalette() or [], (-1, 3))[:OTHERS]  # before Pillow 12 filled up to 256 with black
    palette = np.concatenate([colours[:EXACT], kept.astype(np.uint8)])
    nearest = np.array([_nearest(colour, palette) for colour in colours], dtype=np.uint8)
    order = np.argsort(every)
    reduced = []
    for picture in pictures:
        place = order[np.searchsorted(every, _codes(picture), sorter=order)]
        small = Image.fromarray(nearest[place])
        small.putpalette(palette.tobytes())
        reduced.append(small)
    return reduced


def _codes(picture: Image.Image) -> Array:
    """Each pixel's colour as one number."""
    red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB"), dtype=np.int32), -1, 0)
    return np.asarray(red << 16 | green << 8 | blue)


def _nearest(colour: Array, palette: Array) -> int:
    return int(np.argmin(((palette.astype(int) - colour.astype(int)) ** 2).sum(axis=-1)))
