"""What crosses between bncheck and the process that runs somebody's code: a header in JSON, then arrays as plain bytes.

Nothing that is read here can run code. An array's dtype and shape stand in the header and are checked against the
number of bytes before anything is allocated; whatever does not fit is refused as `Garbled`.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from bncheck.case import Array

MOST_BYTES = 1 << 28
"""The largest array that crosses: 256 MiB."""

_HEADER_BYTES = 1 << 20
_LENGTH = struct.Struct(">I")
_DTYPES = frozenset({"bool", "int32", "int64", "float16", "float32", "float64", "complex64", "complex128"})


class Garbled(Exception):
    """What arrived is no frame, or the stream ended."""


def transportable(array: Array) -> bool:
    """Whether an array is of a plain dtype and small enough to cross."""
    return array.dtype.name in _DTYPES and array.nbytes <= MOST_BYTES


def write(stream: BinaryIO, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Sends one frame, in one piece."""
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    kinds = {name: [array.dtype.name, array.shape] for name, array in arrays.items()}
    text = json.dumps({**header, "arrays": kinds}).encode()
    stream.write(b"".join([_LENGTH.pack(len(text)), text, *(array.tobytes() for array in plain.values())]))
    stream.flush()


def read(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, Array]]:
    """Receives one frame: its header, and its arrays, which are read-only.

    Raises
        Garbled: the stream ended, or holds something else.
    """
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > _HEADER_BYTES:
        raise Garbled
    try:
        header = json.loads(_exactly(stream, length))
        kinds = [(str(name), str(dtype), tuple(shape)) for name, (dtype, shape) in header.pop("arrays").items()]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Garbled from None
    return header, {name: _array(stream, dtype, shape) for name, dtype, shape in kinds}


def _array(stream: BinaryIO, dtype: str, shape: tuple[Any, ...]) -> Array:
    if dtype not in _DTYPES or len(shape) > 32 or not all(type(n) is int and n >= 0 for n in shape):
        raise Garbled
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > MOST_BYTES:
        raise Garbled
    return np.frombuffer(_exactly(stream, size), dtype).reshape(shape)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    found = stream.read(size)
    if len(found) != size:
        raise Garbled
    return found
