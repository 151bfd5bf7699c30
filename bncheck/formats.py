"""The floating-point formats that arrays may have, and what is known about each: the one place that asks.

NumPy has no bfloat16; ml_dtypes brings it, and answers for NumPy's own formats too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import ml_dtypes
import numpy as np

DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "float64": np.dtype(np.float64),
        "float32": np.dtype(np.float32),
        "float16": np.dtype(np.float16),
        "bfloat16": np.dtype(ml_dtypes.bfloat16),
    }
)
"""The dtypes that a case may have, by name."""


@dataclass(frozen=True)
class Format:
    """A floating-point format: unit roundoff u, smallest positive number, smallest normal one, and largest number.

    The unit roundoff is half the distance from 1 to the next number: 2⁻⁵³, 2⁻²⁴, 2⁻¹¹, or 2⁻⁸ for bfloat16.

    >>> Format.of("float16").largest, Format.of("bfloat16").roundoff == 2.0**-8
    (65504.0, True)
    """

    roundoff: float
    smallest: float
    normal: float
    largest: float

    @classmethod
    def of(cls, dtype: Any) -> Format:
        """The format of a dtype, or of a name in `DTYPES`."""
        return _format(np.dtype(DTYPES.get(dtype, dtype)))


@cache
def _format(dtype: np.dtype[Any]) -> Format:
    info = ml_dtypes.finfo(dtype)
    return Format(float(info.eps) / 2, float(info.smallest_subnormal), float(info.smallest_normal), float(info.max))


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype holds real floating-point numbers: NumPy counts bfloat16 among raw bytes."""
    return dtype.kind == "f" or dtype in DTYPES.values()


def working(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which a careful implementation computes: float32 for a half type, else the dtype itself."""
    return np.result_type(dtype, np.float32)
