"""Images with labels: the digits that scikit-learn carries, or a file that the user gives; nothing is downloaded.

A file is read with NumPy alone, and never unpickled.
"""

from __future__ import annotations

import gzip
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bncheck.case import Array
from bncheck.errors import InvalidInput

TRAIN, TEST = 1000, 797
"""How many images an experiment learns from and is tested on: all 1797 digits; of larger data as many, drawn once."""

DIGITS = "digits"

POOLED = 4
"""By what height and width have to be divisible: convolutional networks halve them twice."""


@dataclass(frozen=True, eq=False)
class Data:
    """Images for training and for testing, pixels from 0 to 1.

    Shapes
        x_train, x_test: (images, H, W, channels), float32; y_train, y_test: (images,), from 0 to `classes` − 1
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(max(self.y_train.max(), self.y_test.max())) + 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        height, width, channels = self.x_train.shape[1:]
        return height, width, channels

    @property
    def features(self) -> int:
        """How many numbers an image has."""
        return math.prod(self.x_train.shape[1:])

    @property
    def flat(self) -> Data:
        """The same with each image in a row."""
        x_train, x_test = (x.reshape(len(x), -1) for x in (self.x_train, self.x_test))
        return replace(self, x_train=x_train, x_test=x_test)

    def astype(self, dtype: Any) -> Data:
        """The same with pixels of another dtype."""
        return replace(self, x_train=self.x_train.astype(dtype), x_test=self.x_test.astype(dtype))

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
        """Mini-batches without end: each epoch in an order of its own, without what is left over at its end."""
        count = len(self.x_train)
        while True:
            order = rng.permutation(count)
            for start in range(0, count - size + 1, size):
                chosen = order[start : start + size]
                yield self.x_train[chosen], self.y_train[chosen]

    def steps(self, size: int) -> int:
        """How many mini-batches of this size an epoch has."""
        return len(self.x_train) // size


def digits() -> Data:
    """The 1797 handwritten digits of 8×8 pixels that scikit-learn carries, split once and for all.

    >>> data = digits()
    >>> data.x_train.shape, data.x_test.shape, data.classes
    ((1000, 8, 8, 1), (797, 8, 8, 1), 10)
    """
    from sklearn.datasets import load_digits

    loaded = load_digits()
    images = np.asarray(loaded.images)[..., None] / 16
    return _split(DIGITS, images, np.asarray(loaded.target))


def load(path: Path | None) -> Data:
    """The digits, or what a file holds: `.npz` with x_train, y_train, x_test, y_test, or idx files, also with .gz.

    Of idx files the one with the training images is named; the other three lie beside it under MNIST's names.

    Raises
        InvalidInput: no such file, another format, or arrays that do not go together; the text says which.
    """
    if path is None:
        return digits()
    if not path.is_file():
        raise InvalidInput("data", str(path), "a file that exists", "Name an .npz or an idx file.")
    try:
        arrays = _npz(path) if path.suffix == ".npz" else _idx_files(path)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput("data", str(path), f"a file that can be read; {error}", "Is it whole?") from error
    x_train, y_train, x_test, y_test = arrays
    train = _checked(path, x_train, y_train, "train")
    test = _checked(path, x_test, y_test, "test")
    if train[0].shape[1:] != test[0].shape[1:]:
        raise InvalidInput(
            "data", str(path), f"images of one shape, not {train[0].shape[1:]} and {test[0].shape[1:]}", "Mend it."
        )
    scale = float(max(train[0].max(), test[0].max()))
    (x, y), (other_x, other_y) = _drawn(*train, TRAIN), _drawn(*test, TEST)
    return Data(path.name, _scaled(x, scale), y, _scaled(other_x, scale), other_y)


NAMES = ("x_train", "y_train", "x_test", "y_test")


def _npz(path: Path) -> list[Array]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        missing = [name for name in NAMES if name not in archive]
        if missing:
            held = ", ".join(archive.files) or "nothing"
            raise InvalidInput("data", str(path), f"{', '.join(NAMES)} in it; it holds {held}", "Save it anew.")
        return [archive[name] for name in NAMES]


_PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")


def _idx_files(path: Path) -> list[Array]:
    if "train-images" not in path.name:
        words = "an .npz file, or an idx file with train-images in its name"
        raise InvalidInput("data", str(path), words, "MNIST's own names are train-images-idx3-ubyte and so on.")
    names = [path.name.replace("train-images", part) for part in _PARTS]
    names = [n.replace("idx3", "idx1") if "labels" in n else n for n in names]
    for name in names:
        if not path.with_name(name).is_file():
            raise InvalidInput("data", str(path), f"{name} beside it", "All four idx files are needed.")
    return [_idx(path.with_name(name)) for name in names]


_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def _idx(path: Path) -> Array:
    """An array in the idx format: two zeros, the type, the number of axes, their sizes, the numbers.

    Source
        LeCun, Cortes and Burges, "The MNIST database of handwritten digits", 1998.
    """
    content = path.read_bytes()
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    axes = content[3] if len(content) > 3 else 0
    if content[:2] != b"\0\0" or content[2] not in _IDX_TYPES or len(content) < 4 + 4 * axes:
        raise InvalidInput("data", str(path), "an idx file, which begins with two zeros and a type", "Is it another?")
    shape = np.frombuffer(content, ">u4", axes, 4)
    kind = np.dtype(_IDX_TYPES[content[2]])
    expected = math.prod(map(int, shape)) * kind.itemsize + 4 + 4 * axes
    if len(content) != expected:
        raise InvalidInput("data", str(path), f"{expected} bytes, as its head says, not {len(content)}", "Is it whole?")
    return np.frombuffer(content, kind, offset=4 + 4 * axes).reshape(tuple(map(int, shape)))


def _checked(path: Path, x: Array, y: Array, part: str) -> tuple[Array, Array]:
    """Images as (N, H, W, channels) and labels as (N,) whole numbers, or a line on what is wrong."""

    def refuse(expected: str) -> InvalidInput:
        return InvalidInput("data", str(path), expected, "Save it anew.")

    if x.ndim not in (3, 4) or x.dtype.kind not in "uif" or not x.size:
        raise refuse(f"x_{part} of shape (images, H, W) or (images, H, W, channels), not {x.shape} of {x.dtype}")
    labels = y.reshape(-1)
    if len(labels) != len(x) or y.dtype.kind not in "ui":
        raise refuse(f"y_{part} with one whole number for each of {len(x)} images, not {y.shape} of {y.dtype}")
    if x.shape[1] % POOLED or x.shape[2] % POOLED:
        raise refuse(f"height and width divisible by {POOLED} in x_{part}, for pooling, not {x.shape[1]}×{x.shape[2]}")
    if labels.min() < 0 or labels.max() > 999:
        raise refuse(f"labels from 0 to 999 in y_{part}, not {labels.min()} to {labels.max()}")
    if not np.isfinite(x).all() or x.min() < 0 or not x.max():
        raise refuse(f"pixels from 0 on in x_{part}, all finite and not all 0")
    if len(x) < _LEAST:
        raise refuse(f"at least {_LEAST} images in x_{part}, not {len(x)}")
    return (x[..., None] if x.ndim == 3 else x), labels.astype(np.int64)


_LEAST = 200


def _drawn(x: Array, y: Array, count: int) -> tuple[Array, Array]:
    chosen = np.random.default_rng(0).permutation(len(x))[:count]
    return x[chosen], y[chosen]


def _scaled(x: Array, largest: float) -> Array:
    return (x / largest).astype(np.float32)


def _split(name: str, images: Array, labels: Array) -> Data:
    order = np.random.default_rng(0).permutation(len(images))
    x: Any = images[order].astype(np.float32)
    y = labels[order].astype(np.int64)
    return Data(name, x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:])
