"""The experiments. A file that lies here is one, its stem the experiment's name; there is no list to keep.

It holds `ABOUT`, ``settings(quick)``, ``run(setting, seed, data, quick)``, ``table(results)`` and
``sentence(results)``: see `bncheck.training.laboratory.experiment.Experiment`.
"""

from __future__ import annotations

import importlib
import pkgutil

from bncheck.errors import InvalidInput
from bncheck.training.laboratory.experiment import Experiment


def names() -> tuple[str, ...]:
    """The names of all experiments.

    >>> "initial-scale" in names()
    True
    """
    return tuple(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Experiment:
    """The experiment of that name.

    Raises
        InvalidInput: there is none; the next step is the nearest one.

    >>> find("initial-scale").about.question
    'How large may the initial weights be?'
    """
    if name not in names():
        raise InvalidInput.unknown("experiment", name, names())
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    return Experiment(name, module.ABOUT, module.settings, module.run, module.table, module.sentence)
