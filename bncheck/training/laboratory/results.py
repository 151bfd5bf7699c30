"""What experiments hand on: plain numbers by setting and seed, and the file in which they are kept.

The file is JSON, the same bytes for the same seeds, however many processes worked and however often they were
interrupted. It holds what the numbers depend on: the versions, the data, and how long the training was.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bncheck.case import Array
from bncheck.errors import InvalidInput

Setting = Mapping[str, Any]
"""What tells one kind of run from another: plain values by name."""

Measured = Mapping[str, Any]
"""What a run measured: numbers and lists of numbers by name."""


class Spread(NamedTuple):
    """The least, the mean and the largest over the seeds."""

    low: float
    mean: float
    high: float

    def __str__(self) -> str:
        """The mean, and the ends where they differ from it as shown.

        >>> print(Spread(0.91, 0.92, 0.93), Spread(1.0, 1.0, 1.0))
        0.92 (0.91–0.93) 1
        """
        return self.text()

    def text(self, form: str = ".3g") -> str:
        """The mean, with the ends in brackets where they differ from it as shown; of a diverged run no number.

        >>> Spread(math.nan, math.nan, math.nan).text()
        'no number'
        """
        low, mean, high = (format(value, form) if math.isfinite(value) else "no number" for value in self)
        return mean if low == mean == high else f"{mean} ({low}–{high})"


@dataclass(frozen=True)
class Run:
    """One training: its setting, its seed, and what was measured."""

    setting: Setting
    seed: int
    measured: Measured


@dataclass(frozen=True)
class Results:
    """All runs of one experiment, in the order of its settings and seeds; `made` is what the numbers depend on."""

    experiment: str
    runs: tuple[Run, ...]
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, from the least on."""
        return tuple(sorted({run.seed for run in self.runs}))

    @property
    def quick(self) -> bool:
        """Whether this was a short run, which proves no more than that everything works."""
        return bool(self.made.get("quick"))

    @property
    def data(self) -> str:
        """The name of the data."""
        return str(self.made.get("data", "digits"))

    def where(self, **setting: Any) -> tuple[Run, ...]:
        """The runs whose settings have these values."""
        places = [self._places.get(item, frozenset()) for item in setting.items()]
        return tuple(self.runs[k] for k in sorted(frozenset.intersection(*places))) if places else self.runs

    @cached_property
    def _places(self) -> Mapping[tuple[str, Any], frozenset[int]]:
        """Which runs have a setting of that name with that value."""
        found: dict[tuple[str, Any], list[int]] = {}
        for k, run in enumerate(self.runs):
            for item in run.setting.items():
                found.setdefault(item, []).append(k)
        return {item: frozenset(places) for item, places in found.items()}

    def settings(self, name: str, **setting: Any) -> list[Any]:
        """The values that a setting takes, in their order."""
        return list(dict.fromkeys(run.setting[name] for run in self.where(**setting) if name in run.setting))

    def values(self, name: str, **setting: Any) -> Array:
        """What was measured under a name, run by run; what is no number there is NaN.

        Shapes
            (runs,), or (runs, points) for lists
        """
        return np.array([run.measured[name] for run in self.where(**setting)], dtype=float)

    def spread(self, name: str, **setting: Any) -> Spread:
        """One number over the seeds."""
        return spread(self.values(name, **setting))


def spread(values: Iterable[float]) -> Spread:
    """The least, the mean and the largest of some numbers."""
    found = np.asarray(list(values), dtype=float)
    return Spread(float(found.min()), float(found.mean()), float(found.max()))


def rounded(values: Any, digits: int = 5) -> Any:
    """Numbers with so many significant digits, in plain lists; what is not finite is None, which JSON can say.

    >>> rounded([1 / 3, np.inf, 2]), rounded(np.float32(0.1))
    ([0.33333, None, 2], 0.1)
    """
    if isinstance(values, np.ndarray | list | tuple):
        return [rounded(value, digits) for value in values]
    if isinstance(values, bool | np.bool_):
        return bool(values)
    if isinstance(values, int | np.integer):
        return int(values)
    if values is None or isinstance(values, str):
        return values
    return float(f"{float(values):.{digits}g}") if math.isfinite(values) else None


def thinned(count: int, most: int = 40) -> list[int]:
    """At most so many places of a curve, evenly spread, the first and the last among them.

    >>> thinned(5), thinned(100, 4)
    ([0, 1, 2, 3, 4], [0, 33, 66, 99])
    """
    if count <= most:
        return list(range(count))
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


FORMAT = "bncheck training results"


def encoded(found: Iterable[Results]) -> str:
    """The file: one line for each run, so that two files can be compared by eye."""
    parts = []
    for results in found:
        runs = ",\n".join(f"   {_line(_plain(run))}" for run in results.runs)
        parts.append(
            f'  {_line(results.experiment)}: {{\n   "made": {_line(results.made)},\n   "runs": [\n{runs}\n  ]}}'
        )
    body = ",\n".join(parts)
    return f'{{"format": {_line(FORMAT)},\n "experiments": {{\n{body}\n }}}}\n'


def _plain(run: Run) -> dict[str, Any]:
    return {"setting": dict(run.setting), "seed": run.seed, "measured": dict(run.measured)}


def _line(value: Any) -> str:
    return json.dumps(value if not isinstance(value, Mapping) else dict(value), ensure_ascii=False, allow_nan=False)


def decoded(text: str, path: str) -> dict[str, Results]:
    """What a file of results holds, by experiment.

    Raises
        InvalidInput: it is no such file.
    """
    try:
        document = json.loads(text)
        found = {
            name: Results(name, tuple(run_of(entry) for entry in held["runs"]), held["made"])
            for name, held in document["experiments"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        document = {}
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InvalidInput("results", path, "a file that bncheck train --output has written", "Name another.")
    return found


def run_of(entry: Mapping[str, Any]) -> Run:
    """A run as it is kept."""
    return Run(entry["setting"], entry["seed"], entry["measured"])


def read(path: Path) -> dict[str, Results]:
    """What a file of results holds, by experiment.

    Raises
        InvalidInput: it cannot be read, or is no such file.
    """
    try:
        return decoded(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("results", str(path), "a file that can be read", "Make it with train --output.") from error


KEPT = "results.json"
"""The file beside the experiments from which the figures are drawn: `bncheck train --output` makes it."""


def kept() -> dict[str, Results]:
    """The results that bncheck itself keeps, by experiment."""
    file = resources.files("bncheck.training") / KEPT
    return decoded(file.read_text(encoding="utf-8"), KEPT)
