"""Runs experiments: every setting with every seed, in several processes; what is done is kept, and not done again."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bncheck.errors import InvalidInput
from bncheck.files import write
from bncheck.processes import workers
from bncheck.training.experiments import find, names
from bncheck.training.laboratory.data import DIGITS, Data, load
from bncheck.training.laboratory.fitting import blas, one_thread
from bncheck.training.laboratory.results import FORMAT, Results, Run, Setting, encoded, read, run_of
from bncheck.version import __version__


class Unit(NamedTuple):
    """One run to be made."""

    experiment: str
    setting: Setting
    seed: int
    data: Path | None
    quick: bool

    @property
    def key(self) -> str:
        """What it is known by among those that were made before."""
        return json.dumps([self.experiment, dict(self.setting), self.seed])


def train(
    experiments: Iterable[str] = (),
    *,
    seeds: Sequence[int] = (0, 1, 2),
    quick: bool = False,
    data: Path | None = None,
    output: Path | None = None,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Results, ...]:
    """The results of experiments, all without names.

    With an output, each run is kept as soon as it is made, in a file beside it whose name ends in ".part": the same
    call made again goes on from there. When all are made the output is written; other experiments that it held stay.

    Raises
        InvalidInput: an unknown experiment; data or an output that cannot be read; runs in the part that were made
            otherwise, with other data, versions or length.
    """
    chosen = [find(name) for name in dict.fromkeys(experiments) or names()]
    made = _made(load(data), data, quick)
    others = read(output) if output is not None and output.exists() else {}
    units = [Unit(e.name, s, seed, data, quick) for e in chosen for s in e.settings(quick) for seed in seeds]
    done = _Part(output, made).opened() if output is not None else None
    found: dict[str, Run] = dict(done.runs) if done else {}
    missing = [unit for unit in units if unit.key not in found]
    with workers(min(jobs, max(1, len(missing)))) as run:
        progress(len(units) - len(missing), len(units))
        for count, (k, result) in enumerate(run(_run, missing), start=1):
            if isinstance(result, Exception):
                raise result
            found[missing[k].key] = result
            if done:
                done.add(missing[k], result)
            progress(len(units) - len(missing) + count, len(units))
    results = tuple(
        Results(e.name, tuple(found[unit.key] for unit in units if unit.experiment == e.name), made) for e in chosen
    )
    if output is not None and done is not None:
        whole = {**others, **{one.experiment: one for one in results}}
        write(output, encoded(whole[name] for name in names() if name in whole))
        done.path.unlink(missing_ok=True)
    return results


def _run(unit: Unit) -> Run:
    """Makes one run."""
    with one_thread():
        measured = find(unit.experiment).run(unit.setting, unit.seed, _loaded(unit.data), unit.quick)
    return Run(unit.setting, unit.seed, measured)


@lru_cache(maxsize=1)
def _loaded(path: Path | None) -> Data:
    return load(path)


def _made(data: Data, path: Path | None, quick: bool) -> dict[str, Any]:
    """What the numbers depend on, beside the seeds."""
    made = {
        "bncheck": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "blas": blas(),
        "data": data.name,
        "quick": quick,
    }
    if path is not None:
        content = b"".join(a.tobytes() for a in (data.x_train, data.y_train, data.x_test, data.y_test))
        made["data"] = f"{data.name} {hashlib.sha256(content).hexdigest()[:12]}"
    else:
        assert data.name == DIGITS
    return made


@dataclass
class _Part:
    """The runs of an unfinished call, a line each, in a file beside the output."""

    output: Path
    made: dict[str, Any]

    def __post_init__(self) -> None:
        self.path = self.output.with_name(f"{self.output.name}.part")
        self.runs: dict[str, Run] = {}

    def opened(self) -> _Part:
        """Takes up what is there, or begins."""
        head = {"format": f"{FORMAT}, unfinished", "made": self.made}
        if not self.path.exists():
            write(self.path, json.dumps(head) + "\n")
            return self
        first, *lines = self.path.read_text(encoding="utf-8").splitlines() or [""]
        if first != json.dumps(head):
            raise InvalidInput(
                "output",
                str(self.output),
                f"no {self.path.name} beside it that was made otherwise, with other data, versions or length",
                "Finish that with its own options, or delete it.",
            )
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:  # broken off in the middle of a line
                continue
            run = run_of(entry)
            self.runs[Unit(entry["experiment"], run.setting, run.seed, None, False).key] = run
        write(self.path, "\n".join([first, *(self._line(key, run) for key, run in self.runs.items())]) + "\n")
        return self

    def add(self, unit: Unit, run: Run) -> None:
        """Keeps one more run."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(self._line(unit.key, run) + "\n")

    def _line(self, key: str, run: Run) -> str:
        entry = {"experiment": json.loads(key)[0], "setting": dict(run.setting), "seed": run.seed}
        return json.dumps({**entry, "measured": dict(run.measured)}, allow_nan=False)
