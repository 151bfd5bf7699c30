"""What figures of trainings share: the results that they are drawn from, and curves with the spread of their seeds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bncheck.case import Array
from bncheck.errors import InvalidInput
from bncheck.figures.studio.look import Look
from bncheck.training.laboratory.results import Results, kept, read

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def results_of(experiment: str, path: Path | None) -> Results:
    """The results of an experiment: those that bncheck keeps, or those of a file.

    Raises
        InvalidInput: the file holds none of this experiment.
    """
    found = _kept() if path is None else read(path)
    if experiment not in found:
        held = ", ".join(found) or "nothing"
        raise InvalidInput("results", str(path), f"results of {experiment}; it holds {held}", "Train that one, too.")
    return found[experiment]


@lru_cache(maxsize=1)
def _kept() -> dict[str, Results]:
    return kept()


def origin(results: Results) -> str:
    """Which data and which seeds, for the stamp at the foot of the page.

    >>> from bncheck.training.laboratory.results import Run
    >>> origin(Results("one", (Run({}, 0, {}), Run({}, 2, {}), Run({}, 1, {}))))
    'digits · seed 0–2'
    """
    seeds = results.seeds
    whole = list(seeds) == list(range(seeds[0], seeds[-1] + 1)) and len(seeds) > 2
    told = f"{seeds[0]}–{seeds[-1]}" if whole else ", ".join(map(str, seeds))
    return f"{results.data} · seed {told}{' · quick' if results.quick else ''}"


def band(
    axes: Axes, look: Look, role: str, x: Sequence[float] | Array, values: Array, *, marked: bool = False, **more: Any
) -> None:
    """A line through the means over the seeds, and behind it all that lies between the least and the largest.

    `marked` puts the role's marker on each point.

    Shapes
        x: (points,); values: (seeds, points)
    """
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    axes.fill_between(x, low, high, color=look.tint(role, 0.25), linewidth=0, zorder=1)
    axes.plot(x, np.nanmean(values, axis=0), **(look.marked if marked else look.line)(role, **more))
