"""Experiments: data is checked, runs resume, bytes repeat, and claims hold on kept and on fresh results."""

import ast
import contextlib
import gzip
import importlib
import json
import operator
import os
import random
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bncheck
from bncheck.case import Array
from bncheck.cli import run
from bncheck.errors import InvalidInput
from bncheck.training import running
from bncheck.training.experiments import find, names
from bncheck.training.laboratory import results as kept_results
from bncheck.training.laboratory.data import Data, digits, load
from bncheck.training.laboratory.fitting import fit, one_thread
from bncheck.training.laboratory.results import Results, Run, decoded, encoded, kept, read, rounded
from bncheck.training.networks.architectures import dense
from bncheck.training.networks.optimizers import SGD

ROOT = Path(bncheck.__file__).parents[1]
KEPT = Path(kept_results.__file__).parents[1] / kept_results.KEPT
ANEW = "python -m bncheck train --output bncheck/training/results.json"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


def claim(name: str) -> Callable[[Results], None]:
    hold: Callable[[Results], None] = importlib.import_module(f"claims.{name.replace('-', '_')}").hold
    return hold


def test_every_experiment_has_its_claims_and_its_results() -> None:
    assert {path.stem for path in (ROOT / "tests" / "claims").glob("*.py")} == {n.replace("-", "_") for n in names()}
    assert set(kept()) == set(names()), f"run: {ANEW}"


@pytest.mark.parametrize("name", names())
def test_the_kept_results_show_what_is_claimed(name: str) -> None:
    results = kept()[name]
    assert results.seeds == (0, 1, 2)
    assert not results.quick
    settings = [(run.setting, run.seed) for run in results.runs]
    assert settings == [(s, seed) for s in find(name).settings(False) for seed in results.seeds], f"run: {ANEW}"
    claim(name)(results)


LONG = (
    *("batch-size", "bias", "convolution", "dense", "explosion", "identity", "landscape", "learning-rate"),
    *("percentiles", "tails", "wrong-gradients"),
)
"""Those of which no number is required, or that take longest: made anew with BNCHECK_EVERY=1 in the environment."""

FRESH = [name for name in names() if name not in LONG or os.environ.get("BNCHECK_EVERY")]


@pytest.mark.slow
@pytest.mark.parametrize("name", FRESH)
def test_fresh_results_show_it_too(name: str) -> None:
    """On this machine, with its own rounding."""
    (results,) = running.train([name], seeds=(0, 1, 2))
    claim(name)(results)


def altered(value: Any, change: Callable[[float], float | None]) -> Any:
    """The numbers of what was measured, changed; words, truths and what is missing stay."""
    if isinstance(value, list):
        return [altered(one, change) for one in value]
    return change(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


FACTORS = (0.0, -1.0, 0.01, 0.5, 1.3, 100.0, 1e9)
CHANGES: tuple[Callable[[float], float | None], ...] = (
    *(partial(operator.mul, factor) for factor in FACTORS),
    *(lambda v: 1.0, lambda v: v + 0.3, lambda v: v - 0.3, lambda v: abs(v) ** 0.5, lambda v: None),
)


def mutants(results: Results) -> Iterator[Results]:
    """Results that no training has: runs left out or exchanged, every number another, or those of one name."""
    runs, rng = results.runs, random.Random(0)
    yield replace(results, runs=runs[: len(runs) // 2])
    orders = [list(reversed(runs)), *(rng.sample(runs, len(runs)) for _ in range(3))]
    for order in orders:
        exchanged = (replace(one, measured=other.measured) for one, other in zip(runs, order, strict=True))
        yield replace(results, runs=tuple(exchanged))
    for name in [None, *dict.fromkeys(name for one in runs for name in one.measured)]:
        for change in CHANGES:
            yield replace(results, runs=tuple(with_changed(one, name, change) for one in runs))
        for low, high in ((-2, 2), (-0.3, 0.3)):
            scattered = partial(scaled, rng, low, high)
            yield replace(results, runs=tuple(with_changed(one, name, scattered) for one in runs))


def scaled(rng: random.Random, low: float, high: float, value: float) -> float:
    return float(value * 10 ** rng.uniform(low, high))


def with_changed(run: Run, name: str | None, change: Callable[[float], float | None]) -> Run:
    """The run with the numbers of one name changed, or with all of them."""
    measured = {n: altered(v, change) if name in (None, n) else v for n, v in run.measured.items()}
    return replace(run, measured=measured)


class Watching(ast.NodeTransformer):
    """Turns each assertion into a note of whether it held, so that the later ones are reached."""

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        call = f"note({node.lineno}, lambda: 0)"
        noted = ast.parse(call, mode="eval").body
        assert isinstance(noted, ast.Call)
        assert isinstance(noted.args[1], ast.Lambda)
        noted.args[1].body = node.test
        return ast.copy_location(ast.Expr(noted), node)


@pytest.mark.parametrize("name", names())
def test_each_assertion_of_a_claim_can_fail(name: str) -> None:
    """Line by line: for each there are results that it, and not only its neighbour, finds fault with."""
    source = Path(claim(name).__code__.co_filename).read_text(encoding="utf-8")
    lines = {node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert)}
    failed: set[int] = set()

    def note(line: int, holds: Callable[[], Any]) -> None:
        with contextlib.suppress(Exception):
            if not holds():
                failed.add(line)

    watched = ast.fix_missing_locations(Watching().visit(ast.parse(source)))
    namespace: dict[str, Any] = {"note": note, "__name__": name}
    exec(compile(watched, name, "exec"), namespace)
    for results in mutants(kept()[name]):
        with contextlib.suppress(Exception), np.errstate(all="ignore"):  # what cannot be read is no verdict
            namespace["hold"](results)
        if failed == lines:
            return
    assert failed == lines, f"lines that nothing fails: {sorted(lines - failed)}"


def test_what_no_training_asks_for_is_not_called_trained() -> None:
    from bncheck.training.experiments.wrong_gradients import catalogue, settings, untrained

    left = untrained()
    assert len(left) == 13
    assert "eval-uses-batch-formula" in left  # whose backward pass no training runs
    assert "eval-uses-batch-statistics" not in left  # whose forward pass shows in the evaluation
    assert {setting["bug"] for setting in settings(False)} == {"none", *(b.id for b in catalogue() if b.id not in left)}


@pytest.mark.parametrize("name", names())
def test_words_and_table_fit_a_terminal(name: str) -> None:
    from bncheck.report.training import text

    written = text([kept()[name]])
    assert max(map(len, written.splitlines())) <= 80
    assert not re.search(r"\b(nan|inf|None|True|False)\b", written)
    about = find(name).about
    assert about.question.endswith("?")
    assert re.search(r"\d{4}|catalogue", about.source)
    assert len(about.limits) > 20


def quickly(*arguments: str) -> int:
    return run(["train", "--quick", "--seeds", "1", "--jobs", "1", *arguments])


@pytest.mark.parametrize("name", names())
def test_a_quick_run_of_one_seed_is_told_as_such(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert quickly(name) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.startswith(f"{name}: ")
    assert "a quick run: only that everything works" in shown.out.replace("\n", " ")
    assert max(map(len, shown.out.splitlines())) <= 80


def test_the_same_seed_gives_the_same_bytes_whatever_the_jobs(tmp_path: Path) -> None:
    for jobs in ("1", "2"):
        assert (
            run(["train", "tails", "bias", "--quick", "--seeds", "2", "--jobs", jobs, "--output", f"{jobs}.json"]) == 0
        )
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()
    assert run(["train", "tails", "--quick", "--seed", "5", "--seeds", "1", "--jobs", "1", "--output", "5.json"]) == 0
    assert read(tmp_path / "5.json")["tails"].runs != read(tmp_path / "1.json")["tails"].runs[::2]


def test_an_interrupted_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "tails", "--quick", "--seeds", "2", "--jobs", "1", "--output"]
    assert run([*arguments, "whole.json"]) == 0
    capsys.readouterr()
    make, made = running._run, list[running.Unit]()

    def broken_off(unit: running.Unit) -> Run:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(unit)
        return make(unit)

    monkeypatch.setattr(running, "_run", broken_off)
    assert run([*arguments, "parts.json"]) == 130
    shown = capsys.readouterr()
    assert shown.err == (
        "bncheck: interrupted. What is done is kept in parts.json.part; the same command goes on from there.\n"
    )
    assert shown.out == ""
    assert not (tmp_path / "parts.json").exists()
    with (tmp_path / "parts.json.part").open("a") as file:
        file.write('{"experiment": "tails", "set')  # killed while it wrote
    counted: list[running.Unit] = []

    def counting(unit: running.Unit) -> Run:
        counted.append(unit)
        return make(unit)

    monkeypatch.setattr(running, "_run", counting)
    assert run([*arguments, "parts.json"]) == 0
    total = len(find("tails").settings(True)) * 2
    assert len(counted) == total - 2
    assert (tmp_path / "parts.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert not (tmp_path / "parts.json.part").exists()


def test_runs_of_another_unfinished_call_are_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = running._run

    def broken_off(unit: running.Unit) -> Run:
        if unit.seed == 1:
            raise KeyboardInterrupt
        return make(unit)

    monkeypatch.setattr(running, "_run", broken_off)
    assert run(["train", "tails", "--quick", "--seeds", "2", "--jobs", "1", "--output", "r.json"]) == 130
    kept_lines = (tmp_path / "r.json.part").read_text().splitlines()
    assert len(kept_lines) == 2
    monkeypatch.setattr(running, "_run", make)
    assert quickly("bias", "--output", "r.json") == 0
    assert (tmp_path / "r.json.part").read_text().splitlines() == kept_lines
    assert run(["train", "tails", "--quick", "--seeds", "2", "--jobs", "1", "--output", "r.json"]) == 0
    assert not (tmp_path / "r.json.part").exists()
    assert list(read(tmp_path / "r.json")) == ["bias", "tails"]


def test_without_an_output_an_interruption_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(unit: running.Unit) -> Run:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "_run", interrupt)
    assert quickly("tails") == 130
    assert capsys.readouterr().err == "bncheck: interrupted\n"


def test_a_part_that_was_made_otherwise_is_not_mixed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "r.json.part").write_text('{"format": "another"}\n')
    assert quickly("tails", "--output", "r.json") == 2
    said = capsys.readouterr().err
    assert said.startswith("bncheck: output=r.json, expected no r.json.part beside it that was made otherwise")
    assert said.count("\n") == 1
    assert (tmp_path / "r.json.part").read_text() == '{"format": "another"}\n'


def test_other_experiments_in_the_file_stay(tmp_path: Path) -> None:
    assert quickly("tails", "--output", "r.json") == 0
    assert quickly("bias", "--output", "r.json") == 0
    assert list(read(tmp_path / "r.json")) == ["bias", "tails"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "other", "experiments": {}}', '{"format": 1'])
def test_a_file_that_holds_no_results_is_left_alone(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.json").write_text(content)
    assert quickly("tails", "--output", "mine.json") == 2
    assert "expected a file that bncheck train --output has written" in capsys.readouterr().err
    assert (tmp_path / "mine.json").read_text() == content


def test_results_come_back_as_they_were() -> None:
    for results in kept().values():
        again = decoded(encoded([results]), "memory")[results.experiment]
        assert again == results
    assert KEPT.stat().st_size < 600_000
    assert encoded(kept().values()) == KEPT.read_text(encoding="utf-8")


def test_the_results_name_no_machine_and_no_time() -> None:
    text = KEPT.read_text(encoding="utf-8")
    assert not re.search(r"/(home|tmp|work|Users)/|20[2-9]\d-", text)
    made = json.loads(text)["experiments"]["tails"]["made"]
    assert set(made) == {"bncheck", "python", "numpy", "machine", "blas", "data", "quick"}


def test_numbers_are_plain() -> None:
    assert rounded(np.array([1.23456789, np.nan])) == [1.2346, None]
    assert rounded([np.int64(3), True, "word", None]) == [3, True, "word", None]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["initial-scal"], "experiment=initial-scal, expected one of"),
        (["tails", "--seeds", "0"], "seeds=0, expected a whole number of at least 1."),
        (["tails", "--seeds", "1001"], "seeds=1001, expected a whole number of at most 1000."),
        (["tails", "--seed", "-1"], "seed=-1, expected a whole number of at least 0."),
        (["tails", "--jobs", "0"], "jobs=0, expected a whole number of at least 1."),
        (["tails", "--data", "nowhere.npz"], "data=nowhere.npz, expected a file that exists."),
        (["tails", "--output", "no/where.json"], "output=no/where.json, expected a file that can be written"),
        (["tails", "--output", "."], "output=., expected a file, not a folder."),
    ],
)
def test_bad_requests_are_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--quick", *arguments]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_list_tells_every_experiment_and_loads_nothing_heavy() -> None:
    code = "import sys; from bncheck.cli import run; run(['train', '--list']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert [line for line in done.stdout.splitlines() if not line.startswith(" ")] == list(names())
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert not {"matplotlib", "sympy", "sklearn", "hypothesis", "torch", "flint"} & set(done.stderr.split())


def test_an_experiment_that_lies_in_the_room_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bncheck.training import experiments

    (tmp_path / "my_own.py").write_text("ABOUT = settings = run = table = sentence = None\n")
    monkeypatch.setattr(experiments, "__path__", [str(tmp_path)])
    assert names() == ("my-own",)


def pictures(count: int = 300, channels: int | None = None) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    shape = (count, 8, 8) if channels is None else (count, 8, 8, channels)
    return rng.integers(256, size=shape).astype(np.uint8), rng.integers(10, size=count).astype(np.uint8)


def as_npz(path: Path, **changed: Any) -> Path:
    x, y = pictures()
    np.savez(path, **{"x_train": x, "y_train": y, "x_test": x[:250], "y_test": y[:250]} | changed)
    return path


def idx(array: Array, kind: int = 8) -> bytes:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape)
    return head + array.tobytes()


def test_npz_files_are_read(tmp_path: Path) -> None:
    data = load(as_npz(tmp_path / "mnist.npz"))
    assert data.name == "mnist.npz"
    assert (data.x_train.shape, data.x_test.shape, data.classes) == ((300, 8, 8, 1), (250, 8, 8, 1), 10)
    assert data.x_train.dtype == np.float32
    assert (float(data.x_train.min()), float(data.x_train.max())) == (0.0, 1.0)
    x, y = pictures(channels=3)
    colours = load(as_npz(tmp_path / "cifar.npz", x_train=x, y_train=y[:, None], x_test=x, y_test=y[:, None]))
    assert colours.shape == (8, 8, 3)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files_are_read(ending: str, tmp_path: Path) -> None:
    x, y = pictures()
    for name, array in (
        ("train-images-idx3-ubyte", x),
        ("train-labels-idx1-ubyte", y),
        ("t10k-images-idx3-ubyte", x[:250]),
        ("t10k-labels-idx1-ubyte", y[:250]),
    ):
        (tmp_path / f"{name}{ending}").write_bytes(gzip.compress(idx(array)) if ending else idx(array))
    read_in, same = load(tmp_path / f"train-images-idx3-ubyte{ending}"), load(as_npz(tmp_path / "same.npz"))
    np.testing.assert_array_equal(read_in.x_train, same.x_train)
    np.testing.assert_array_equal(read_in.y_test, same.y_test)


def test_larger_data_is_drawn_from_once(tmp_path: Path) -> None:
    x, y = pictures(3000)
    data = load(as_npz(tmp_path / "large.npz", x_train=x, y_train=y, x_test=x, y_test=y))
    assert (len(data.x_train), len(data.x_test)) == (1000, 797)
    again = load(tmp_path / "large.npz")
    np.testing.assert_array_equal(data.x_train, again.x_train)
    assert len(np.unique(data.y_train)) == 10


def wrong_files(folder: Path) -> Iterator[tuple[Path, str]]:
    x, y = pictures()
    yield as_npz(folder / "missing.npz", x_test=x).with_name("none.npz"), "a file that exists"
    np.savez(folder / "few.npz", x_train=x)
    yield folder / "few.npz", "x_train, y_train, x_test, y_test in it; it holds x_train"
    for name, changed, said in (
        ("labels", {"y_train": y[:5]}, "y_train with one whole number for each of 300 images, not (5,)"),
        ("floats", {"y_test": y[:250] / 2}, "y_test with one whole number for each of 250 images"),
        ("flat", {"x_train": x.reshape(300, -1)}, "x_train of shape (images, H, W) or (images, H, W, channels)"),
        ("other", {"x_test": x[:250, :4]}, "images of one shape, not (8, 8, 1) and (4, 8, 1)"),
        ("nan", {"x_train": np.where(x > 254, np.nan, x)}, "all finite and not all 0"),
        ("negative", {"x_train": x.astype(float) - 9}, "pixels from 0 on in x_train"),
        ("dark", {"x_train": 0 * x}, "not all 0"),
        ("small", {"x_test": x[:9], "y_test": y[:9]}, "at least 200 images in x_test, not 9"),
        ("below", {"y_train": y.astype(int) - 5}, "labels from 0 to 999 in y_train, not -5 to 4"),
        ("odd", {"x_train": x[:, :7]}, "height and width divisible by 4 in x_train, for pooling, not 7×8"),
        ("words", {"x_train": np.full((300, 8, 8), "a")}, "x_train of shape"),
    ):
        yield as_npz(folder / f"{name}.npz", **changed), said
    np.savez(folder / "pickle.npz", x_train=np.array([{}], dtype=object), y_train=y, x_test=x, y_test=y)
    yield folder / "pickle.npz", "a file that can be read; Object arrays cannot be loaded"
    (folder / "text.npz").write_text("no archive")
    yield folder / "text.npz", "a file that can be read; "
    (folder / "half.npz").write_bytes((folder / "flat.npz").read_bytes()[:900])
    yield folder / "half.npz", "a file that can be read; "
    (folder / "data.pkl").write_bytes(b"\x80\x04.")
    yield folder / "data.pkl", "an .npz file, or an idx file with train-images in its name"
    (folder / "train-images-idx3-ubyte").write_bytes(idx(x))
    yield folder / "train-images-idx3-ubyte", "train-labels-idx1-ubyte beside it"
    for name in ("train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (folder / name).write_bytes(idx(y)[:-1])
    yield folder / "train-images-idx3-ubyte", "308 bytes, as its head says, not 307"
    (folder / "train-labels-idx1-ubyte").write_bytes(b"\x01\x00nothing")
    yield folder / "train-images-idx3-ubyte", "an idx file, which begins with two zeros and a type"


def test_wrong_data_is_one_line(tmp_path: Path) -> None:
    for path, said in wrong_files(tmp_path):
        with pytest.raises(InvalidInput) as raised:
            load(path)
        line = str(raised.value)
        assert said in line, line
        assert line.startswith("data=")
        assert "\n" not in line


def test_data_of_ones_own_is_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_npz(tmp_path / "mine.npz")
    assert quickly("initial-scale", "--data", "mine.npz", "--output", "r.json") == 0
    assert "Data: mine.npz " in capsys.readouterr().out
    (results,) = read(tmp_path / "r.json").values()
    assert re.fullmatch(r"mine\.npz [0-9a-f]{12}", results.data)


def test_blas_runs_on_one_thread_and_the_caller_keeps_its_own() -> None:
    from threadpoolctl import threadpool_info

    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = threads()
    with one_thread():
        assert set(threads()) <= {1}
    assert threads() == before


def test_a_loss_that_is_no_number_ends_a_training() -> None:
    data = digits().flat
    network = dense((64, 20, 10), np.random.default_rng(0), scale=10.0)
    with one_thread():
        losses = fit(network, SGD(1e30), data, batch=50, steps=100, seed=0)
    assert len(losses) < 20
    assert np.isfinite(losses[:-1]).all()
    assert not np.isfinite(losses[-1])


def test_an_epoch_shows_every_image_once() -> None:
    data = digits().flat
    whole = Data("few", data.x_train[:7], np.arange(7), data.x_test, data.y_test)
    batches = whole.batches(3, np.random.default_rng(0))
    seen = [next(batches)[1].tolist() for _ in range(4)]
    assert len({*seen[0], *seen[1]}) == len({*seen[2], *seen[3]}) == 6
    assert seen[:2] != seen[2:]
    assert whole.steps(3) == 2


@pytest.mark.slow
def test_all_experiments_quickly_take_less_than_a_minute(tmp_path: Path) -> None:
    """User and system time of all processes together, which is more than the clock shows."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "bncheck", "train", "--quick"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    after = os.times()
    assert done.stdout.count("a quick run") + done.stdout.count("a quick\nrun") == len(names())
    assert after.children_user + after.children_system - before.children_user - before.children_system < 60
