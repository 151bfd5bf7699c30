"""Whatever executor does the work, threads, processes, loky or dask: the report is the same, byte for byte."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from test_readme import RIGHT

from bncheck import InvalidInput, check, verify
from bncheck.case import Case, Gradients
from bncheck.examination.files import examine_all
from bncheck.report import json

SOURCES = {
    "right.py": RIGHT,
    "wrong.py": RIGHT.replace("dxhat.mean(0) - ", ""),
    "nothing.py": "print('hello')",
    "raises.py": "raise ValueError",
}


@contextmanager
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(3) as executor:
        yield executor


@contextmanager
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        yield executor


@contextmanager
def loky() -> Iterator[Executor]:
    executor = pytest.importorskip("loky").ProcessPoolExecutor(2)
    yield executor
    executor.shutdown(kill_workers=True)


@contextmanager
def dask() -> Iterator[Executor]:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client.get_executor()


EXECUTORS = [threads, pytest.param(processes, marks=pytest.mark.slow), loky, pytest.param(dask, marks=pytest.mark.slow)]


@pytest.mark.filterwarnings("ignore")  # dask's own
@pytest.mark.parametrize("engine", EXECUTORS)
def test_the_reports_are_the_same_bytes(engine: Callable[[], Any], tmp_path: Path) -> None:
    for name, source in SOURCES.items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    files = [str(tmp_path / name) for name in SOURCES]
    campaign: dict[str, Any] = {"cases": 21, "seed": 4, "real_data": False, "suspects": {"zeros": zeros}}
    checked, verified = json.examination(examine_all(files)), json.verification(verify("rms_norm", **campaign))
    with engine() as executor:
        assert json.examination(examine_all(files, executor=executor)) == checked
        assert json.verification(verify("rms_norm", executor=executor, **campaign)) == verified
        assert str(check(files[1], executor=executor).verdict) == "wrong"


def zeros(case: Case) -> Gradients:
    """A suspect that other processes can be sent."""
    return {"dx": 0 * case.dy}


def test_a_hundred_threads_that_change_arbs_precision_do_not_see_each_other() -> None:
    from flint import arb, ctx

    from bncheck.oracles import precision

    seen = set()

    def look(bits: int) -> None:
        with precision.bits(bits):
            seen.add((bits, ctx.prec, (arb(1) / 3).rel_accuracy_bits() >= bits - 2))

    before = ctx.prec
    running = [threading.Thread(target=look, args=(100 + k % 7,)) for k in range(100)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert seen == {(bits, bits, True) for bits in range(100, 107)}
    assert ctx.prec == before


@pytest.mark.parametrize(
    ("executor", "told"),
    [
        (ProcessPoolExecutor(1, mp_context=get_context("spawn")), "define it in a module"),
        ("threads", "'str' object has no attribute 'submit'"),
    ],
)
def test_what_cannot_be_sent_is_one_line(executor: Any, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        verify("rms_norm", cases=1, real_data=False, suspects={"mine": lambda case: {}}, executor=executor)


def test_one_that_is_shut_down_and_jobs_beside_one_are_refused() -> None:
    executor = ThreadPoolExecutor(1)
    with pytest.raises(InvalidInput, match="jobs=2, expected none beside an executor"):
        verify("rms_norm", cases=1, jobs=2, executor=executor)
    executor.shutdown()
    with pytest.raises(InvalidInput, match="executor=ThreadPoolExecutor, expected one that can run this work"):
        verify("rms_norm", cases=1, executor=executor)


@pytest.mark.slow
def test_one_whose_process_was_killed_is_one_line_and_blames_no_file(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(RIGHT, encoding="utf-8")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        assert executor.submit(abs, -1).result() == 1
        os.kill(next(iter(executor._processes)), signal.SIGKILL)
        with pytest.raises(InvalidInput, match=r"BrokenProcessPool.*start another"):
            examine_all([str(tmp_path / "right.py")] * 2, executor=executor)


class Slow(Executor):
    """An executor that never begins, and remembers what is cancelled."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, *work: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.futures.append(future)
        if len(self.futures) == 3:
            raise KeyboardInterrupt
        return future


def test_what_has_not_begun_is_cancelled_when_one_is_interrupted() -> None:
    executor = Slow()
    with pytest.raises(KeyboardInterrupt):
        verify("rms_norm", cases=60, executor=executor)
    assert [future.cancelled() for future in executor.futures] == [True, True, False]
