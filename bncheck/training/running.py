"""Runs experiments: every setting with every seed, in several processes; what is done is kept, and not done again."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bncheck.errors import InvalidInput
from bncheck.extras import need
from bncheck.files import write
from bncheck.processes import workers
from bncheck.training.experiments import find, names
from bncheck.training.laboratory.data import Data, load
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
        return _key(self.experiment, self.setting, self.seed)


def _key(experiment: str, setting: Setting, seed: int) -> str:
    return json.dumps([experiment, dict(setting), seed])


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
        MissingPackage: a package of the extra `train` is not installed.
    """
    need("train")
    chosen = [find(name) for name in dict.fromkeys(experiments) or names()]
    made = _made(load(data), data, quick)
    others = read(output) if output is not None and output.exists() else {}
    units = [Unit(e.name, s, seed, data, quick) for e in chosen for s in e.settings(quick) for seed in seeds]
    done = _Part(output, made) if output is not None else None
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
        done.close({unit.key for unit in units})
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
    name = data.name
    if path is not None:
        content = b"".join(a.tobytes() for a in (data.x_train, data.y_train, data.x_test, data.y_test))
        name = f"{name} {hashlib.sha256(content).hexdigest()[:12]}"
    return {
        "bncheck": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "blas": blas(),
        "data": name,
        "quick": quick,
    }


class _Part:
    """The runs of unfinished calls, a line each, in a file beside the output; `runs` has them by their keys."""

    def __init__(self, output: Path, made: dict[str, Any]) -> None:
        self.path = output.with_name(f"{output.name}.part")
        self.head = json.dumps({"format": f"{FORMAT}, unfinished", "made": made})
        self.runs: dict[str, Run] = {}
        self._lines: dict[str, str] = {}
        first, *lines = (
            self.path.read_text(encoding="utf-8").splitlines() or [""] if self.path.exists() else [self.head]
        )
        if first != self.head:
            raise InvalidInput(
                "output",
                str(output),
                f"no {self.path.name} beside it that was made otherwise, with other data, versions or length",
                "Finish that with its own options, or delete it.",
            )
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:  # broken off in the middle of a line
                continue
            self._keep(_key(entry["experiment"], entry["setting"], entry["seed"]), line, run_of(entry))
        self._write()

    def add(self, unit: Unit, run: Run) -> None:
        """Keeps one more run."""
        entry = {"experiment": unit.experiment, "setting": dict(run.setting), "seed": run.seed}
        line = json.dumps({**entry, "measured": dict(run.measured)}, allow_nan=False)
        self._keep(unit.key, line, run)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def close(self, finished: Collection[str]) -> None:
        """Forgets the runs that stand in the output now; those of another call stay until that is finished."""
        self._lines = {key: line for key, line in self._lines.items() if key not in finished}
        if self._lines:
            self._write()
        else:
            self.path.unlink(missing_ok=True)

    def _keep(self, key: str, line: str, run: Run) -> None:
        self._lines[key], self.runs[key] = line, run

    def _write(self) -> None:
        write(self.path, "\n".join([self.head, *self._lines.values()]) + "\n")
