"""Results as JSON that can be read back exactly: the parts of divided work, and what interrupted work has done.

A file may come from elsewhere. Reading it makes frozen data of the classes that are listed here, each field of the type
that it is declared with, and nothing else: what does not fit is refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from bncheck.bugs.diagnose import Diagnosis
from bncheck.case import Case
from bncheck.formats import DTYPES
from bncheck.oracles.symbolic.proof import Proof, ProofStep
from bncheck.outcomes import Outcome
from bncheck.results import Check, Counterexample, Finding, LayerReport, Result, Statement, Tally, TargetReport
from bncheck.tolerances.verdicts import Comparison, Verdict

CLASSES = types.MappingProxyType(
    {
        one.__name__: one
        for one in (
            *(Comparison, Counterexample, Diagnosis, Finding, LayerReport, Outcome, Proof, ProofStep, Result),
            *(Statement, Tally, TargetReport, Verdict),
        )
    }
)
"""What can be stored, beside plain values, tuples, lists, mappings and arrays."""

_KIND = "$"
"""The key that tells what an object of JSON stands for; one without it is a mapping from text."""

_NAMES: Mapping[str, Any] = {
    **{one.__name__: one for one in (Case, Check)},
    **CLASSES,
    "Mapping": Mapping,
    "Any": Any,
    "Program": object,
}


class Unreadable(ValueError):
    """A text that is not what `dumped` writes."""


def dumped(value: Any, **about: str) -> str:
    """A value as a file holds it: beside a hash that tells damage, after what it is `about`, for whoever looks into it.

    Fields that do not count where two values are compared are left out.

    >>> loaded(dumped({"worst": (1, float("inf")), ("a", "b"): Verdict.WRONG}, kind="an example"))
    {'worst': (1, inf), ('a', 'b'): <Verdict.WRONG: 'wrong'>}
    """
    content = _plain(value)
    return _json({**about, "sha256": _hash(content), "content": content}) + "\n"


def loaded(text: str) -> Any:
    """The value that a file holds.

    Raises
        Unreadable: it holds none, or another than was written, or not one of those that can be stored.
    """
    try:
        file = json.loads(text)
        is_whole = file["sha256"] == _hash(file["content"])
        value = _value(file["content"]) if is_whole else None
    except Unreadable:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError, MemoryError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error
    if not is_whole:
        raise Unreadable("another than was written")
    return value


def _hash(content: Any) -> str:
    return hashlib.sha256(_json(content).encode()).hexdigest()


def _json(plain: Any) -> str:
    return json.dumps(plain, allow_nan=False, separators=(",", ":"))


def _stored(one: type) -> list[Field[Any]]:
    return [field for field in fields(one) if field.compare]


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return {_KIND: type(value).__name__, "value": value.value}
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.generic) and not isinstance(value, np.inexact | np.integer | np.bool_):
        return _plain(float(value))  # bfloat16's scalars
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {_KIND: "float", "value": repr(value)}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, tuple):
        return {_KIND: "tuple", "value": [_plain(one) for one in value]}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and key != _KIND for key in value):
            return {key: _plain(one) for key, one in value.items()}
        return {_KIND: "mapping", "value": [[_plain(key), _plain(one)] for key, one in value.items()]}
    if isinstance(value, np.ndarray) and str(value.dtype) in DTYPES:
        content = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {_KIND: "array", "dtype": str(value.dtype), "shape": list(value.shape), "value": content}
    if is_dataclass(value) and type(value).__name__ in CLASSES:
        held = {field.name: _plain(getattr(value, field.name)) for field in _stored(type(value))}
        return {_KIND: type(value).__name__, **held}
    raise TypeError(f"{type(value).__name__}, expected one of {', '.join(CLASSES)}, an array or a plain value.")


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_value(one) for one in plain]
    if not isinstance(plain, dict):
        return plain
    if _KIND not in plain:
        return {key: _value(one) for key, one in plain.items()}
    kind, held = plain[_KIND], {key: one for key, one in plain.items() if key != _KIND}
    if kind == "tuple":
        return tuple(_value(one) for one in held["value"])
    if kind == "mapping":
        return {_value(key): _value(one) for key, one in held["value"]}
    if kind == "float":
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[held["value"]]
    if kind == "array":
        content = base64.b64decode(held["value"], validate=True)
        return np.frombuffer(content, DTYPES[held["dtype"]]).reshape(held["shape"]).copy()
    return _made(CLASSES[kind], {name: _value(one) for name, one in held.items()})


def _made(one: Any, held: dict[str, Any]) -> Any:
    if issubclass(one, Enum):
        return one(held["value"])
    hints, known = _hints(one), {field.name: field for field in _stored(one)}
    needed = {n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    if not needed <= held.keys() <= known.keys():
        raise Unreadable(f"{one.__name__} with {', '.join(sorted(held))}")
    for name, value in held.items():
        if not fits(value, hints[name]):
            raise Unreadable(f"{one.__name__}.{name}={value!r:.60}")
    return one(**held)


@cache
def _hints(one: type) -> dict[str, Any]:
    return get_type_hints(one, localns=dict(_NAMES))


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a declared type, as far as these classes declare any."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, part) for part in parts)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(parts) == 2 and parts[1] is Ellipsis:
            return all(fits(one, parts[0]) for one in value)
        return len(value) == len(parts) and all(map(fits, value, parts))
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, dict) and all(fits(k, parts[0]) and fits(v, parts[1]) for k, v in value.items())
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)
