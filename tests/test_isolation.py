"""Nothing that a target does outlives it, reaches bncheck, or lets a wrong gradient pass; and every end is told."""

import ast
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import interruptible
from test_targets import ZOO

import bncheck
from bncheck.errors import InvalidInput
from bncheck.examination.files import check_target, examine_all
from bncheck.processes import WorkerDied, mapped, workers
from bncheck.targets import sandbox
from bncheck.tolerances.verdicts import Verdict

ROOT = Path(bncheck.__file__).parent.parent
HOSTILE = sorted((ZOO / "hostile").glob("*.py"))
HONEST, WRONG = str(ZOO / "honest.py"), str(ZOO / "eps_outside.py")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
limited: Any = partial(check_target, time_limit=2.0, memory_limit=1 << 30)


def marked(mark: str) -> set[int]:
    """The living processes that have a mark in their environment, which whatever they start inherits."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found - {os.getpid()}


def gone(mark: str, seconds: float = 3.0) -> bool:
    deadline = time.monotonic() + seconds
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not marked(mark)


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Marks everything that a test starts; at its end nothing of that may live."""
    name = f"BNCHECK_TEST_{os.getpid()}_{time.monotonic_ns()}"
    monkeypatch.setenv(name, "1")
    yield name
    if sys.platform == "linux":
        left = marked(name)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left


def test_there_are_three_dozen_ways_to_be_hostile() -> None:
    assert len(HOSTILE) >= 36


SLOW = {"hangs", "hangs_at_import", "hangs_in_c", "ignores_signals", "stops_its_parent", "prints_for_ever"}
SLOW |= {"deceives_by_numpy", "mutates", "recurses"}


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem in SLOW)) for path in HOSTILE]
)
def test_hostile_code_ends_calmly_and_leaves_nothing_alive(path: Path, mark: str) -> None:
    started = time.monotonic()
    try:
        reports = limited(str(path))
    except InvalidInput:
        reports = ()
    assert time.monotonic() - started < 30
    assert len(reports) == (path.stem != "nothing_to_call")
    assert all(report.detail.isprintable() for report in reports)
    if sys.platform == "linux":
        assert gone(mark, 0.5)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.stem, marks=[pytest.mark.slow] * (path.stem in SLOW))
        for path in HOSTILE
        if path.stem.startswith("deceives")
    ],
)
def test_no_deception_makes_a_wrong_gradient_correct(name: str) -> None:
    """Where the gradient itself is withheld, nothing is said of it."""
    (report,) = limited(str(ZOO / "hostile" / f"{name}.py"))
    assert report.verdict is not Verdict.CORRECT


@pytest.mark.slow
def test_the_process_of_a_target_holds_no_oracle_and_no_truth(tmp_path: Path) -> None:
    target = tmp_path / "mine.py"
    target.write_text(
        "import sys\n" + Path(HONEST).read_text() + "\n\ndef forward_of(x):\n    return x\n\n"
        "own = forward\n\ndef forward(x, gamma, beta, eps):\n"
        f"    with open({str(tmp_path / 'held')!r}, 'a') as held:\n"
        "        print(*(name for name in sys.modules if name.startswith('bncheck')), file=held)\n"
        "    return own(x, gamma, beta, eps)\n"
    )
    assert limited(str(target))[0].verdict is not Verdict.CRASHED
    held = set((tmp_path / "held").read_text().split())
    assert "bncheck.targets.wire" in held
    rooms = {name.split(".")[1] for name in held if "." in name}
    assert not rooms & {"oracles", "tolerances", "bugs", "inputs", "examination", "results", "layers", "definitions"}


def test_the_keeper_imports_nothing_that_takes_time() -> None:
    tree = ast.parse((ROOT / "bncheck" / "targets" / "child" / "keeper.py").read_text())
    names = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert names == {"ctypes", "os", "select", "signal", "sys", "time"}
    assert {node.module for node in tree.body if isinstance(node, ast.ImportFrom)} == {"__future__"}


@pytest.fixture
def old_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper as on a system that does not bound signals."""
    source = sandbox._KEEPER.read_text()
    assert "= 444, 446" in source
    (tmp_path / "keeper.py").write_text(source.replace("= 444, 446", "= -1, -1"))
    monkeypatch.setattr(sandbox, "_KEEPER", tmp_path / "keeper.py")


@linux
@pytest.mark.usefixtures("old_system")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kills_its_parent", "killed the process that watches it"),
        ("kills_its_group", "killed the process that watches it"),
        ("terminates_its_parent", "killed the process that watches it"),
        ("stops_its_parent", "gave no answer within 2 s"),
    ],
)
def test_where_signals_are_not_bounded_its_keeper_dies_for_bncheck(name: str, words: str, mark: str) -> None:
    (report,) = limited(str(ZOO / "hostile" / f"{name}.py"))
    assert report.verdict is Verdict.CRASHED
    assert words in report.detail
    assert gone(mark, 1.0)


# However bncheck ends


def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(interruptible(*arguments), env=environment, **pipes)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Four right ones, and among them one that starts a daemon and then hangs, and says so."""
    (tmp_path / "hangs.py").write_text(
        "import pathlib, subprocess, time\nsubprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
        f"pathlib.Path({str(tmp_path / 'hanging')!r}).touch()\ntime.sleep(1000)\n"
    )
    return [
        HONEST,
        str(ZOO / "rms.py"),
        str(tmp_path / "hangs.py"),
        str(ZOO / "columns.py"),
        str(ZOO / "no_zero_term.py"),
    ]


def await_file(path: Path, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@linux
@pytest.mark.parametrize(
    ("name", "status", "said"),
    [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated"), ("SIGHUP", 129, "hung up"), ("SIGKILL", -9, "")],
)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_when_bncheck_is_ended_so_is_all_that_it_started_and_what_it_found_is_told(
    name: str, status: int, said: str, jobs: str, files: list[str], tmp_path: Path, mark: str
) -> None:
    process = start("check", *files, "--jobs", jobs, "--time-limit", "60")
    await_file(tmp_path / "hanging")
    if jobs == "2":
        time.sleep(2)  # the other goes on
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=20)
    assert process.returncode == status
    assert gone(mark)
    if said:
        assert err.decode() == f"bncheck: {said}\n"
        assert out.decode().count("was not come to") >= 1
        assert sum(line.startswith("correct ") for line in out.decode().splitlines()) >= 2


@linux
def test_what_was_found_before_an_interruption_reaches_the_file(files: list[str], tmp_path: Path, mark: str) -> None:
    process = start(
        "check",
        *files,
        "--jobs",
        "1",
        "--time-limit",
        "60",
        "--output",
        str(tmp_path / "report.csv"),
        "--format",
        "csv",
    )
    await_file(tmp_path / "hanging")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == (b"", b"bncheck: interrupted\n")
    assert process.returncode == 130
    rows = (tmp_path / "report.csv").read_text().splitlines()
    assert [row.partition(",")[0].rpartition("/")[2].partition(":")[0] for row in rows[1:]] == [
        Path(file).name for file in files
    ]
    assert gone(mark)


@linux
def test_a_worker_that_is_killed_is_a_finding_about_its_target(files: list[str], tmp_path: Path, mark: str) -> None:
    def kill() -> None:
        await_file(tmp_path / "hanging")
        workers = [
            pid for pid in marked(mark) if b"processes import serve" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        parents = {
            pid: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in marked(mark)
        }
        sleeper = next(pid for pid in marked(mark) if b"1000" in Path(f"/proc/{pid}/cmdline").read_bytes())
        while sleeper not in workers:
            sleeper = parents[sleeper]
        os.kill(sleeper, signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    examination = examine_all(files, jobs=2, time_limit=60)
    killing.join()
    assert [str(report.verdict) for report in examination.reports] == [
        "correct",
        "correct",
        "crashed",
        "correct",
        "correct",
    ]
    assert "was killed" in examination.reports[2].detail
    assert gone(mark)


# Several at a time, wherever one asks from


def outcomes(jobs: int) -> list[str]:
    return [str(report.verdict) for report in examine_all([HONEST, WRONG], jobs=jobs).reports]


def test_several_at_a_time_from_threads(mark: str) -> None:
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(outcomes(2))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert found == [["correct", "wrong"]] * 2


def test_several_at_a_time_from_the_worker_of_a_pool() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(outcomes, (2,)) == ["correct", "wrong"]


def test_several_at_a_time_from_a_script_without_a_guard(tmp_path: Path, mark: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from bncheck.examination.files import examine_all\n"
        f"print(*(report.verdict.value for report in examine_all({[HONEST, WRONG]!r}, jobs=2).reports))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "correct wrong\n", "")


def test_work_that_a_script_defines_is_refused_without_a_guard_and_done_with_one(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    body = "with mapped(2) as run:\n    print(*run(twice, [1, 2, 3]))\n"
    head = "from bncheck.processes import mapped\n\n\ndef twice(x):\n    return 2 * x\n\n\n"
    guarded = 'if __name__ == "__main__":\n    ' + body.replace("\n    ", "\n        ")
    for text, out, words in (
        (head + body, "", "jobs=several, expected no work in several"),
        (head + guarded, "2 4 6\n", ""),
    ):
        script.write_text(text)
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout == out
        assert words in done.stderr


def _odd(number: int) -> int:
    if number == 3:
        os._exit(1)
    if number == 4:
        raise InvalidInput("number", number, "no 4")
    return -number


def test_results_come_with_their_places_whatever_becomes_of_one() -> None:
    with workers(2) as run:
        results = dict(run(_odd, [1, 2, 3, 4, 5]))
    assert [results[k] for k in (0, 1, 4)] == [-1, -2, -5]
    assert isinstance(results[2], WorkerDied)
    assert isinstance(results[3], InvalidInput)
    with mapped(2) as ordered:
        assert list(ordered(abs, range(-20, 20))) == list(map(abs, range(-20, 20)))
    with mapped(2) as ordered, pytest.raises(InvalidInput, match="no 4"):
        list(ordered(_odd, [1, 4]))
    with workers(2) as run:
        assert isinstance(dict(run(lambda x: x, [1]))[0], Exception), "a function without a name cannot be sent"


# Closed streams, full devices, absurd limits


def shell(command: str) -> tuple[int, str, str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = command.replace("bncheck", f"{sys.executable} -m bncheck", 1)
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (f"bncheck check {HONEST} >/dev/full", 3, "standard output: No space left on device"),
        (f"bncheck check {HONEST} --output /dev/full", 3, "/dev/full: No space left on device"),
        (f"bncheck check {HONEST} >&-", 3, "standard output: it is closed"),
        ("bncheck doctor >/dev/full", 3, "standard output: No space left on device"),
        ("bncheck --help >/dev/full", 3, "standard output: No space left on device"),
        (f"bncheck check {HONEST} >&- 2>&-", 3, ""),
        ("bncheck check nowhere.py 2>&-", 2, ""),
        ("bncheck check nowhere.py 2>/dev/full", 2, ""),
    ],
)
def test_what_cannot_be_written_is_one_line_and_a_status(command: str, status: int, words: str) -> None:
    found, out, err = shell(command)
    assert (found, out) == (status, "")
    assert words in err
    assert err.count("\n") == bool(words)


def test_a_report_goes_to_its_file_though_every_stream_is_closed(tmp_path: Path) -> None:
    assert shell(f"bncheck check {HONEST} --output {tmp_path / 'report'} <&- >&- 2>&-") == (0, "", "")
    assert "correct" in (tmp_path / "report").read_text()


@pytest.mark.parametrize(
    "option",
    ["--time-limit 1e300", "--time-limit nan", "--time-limit inf", "--memory-limit 1000000000000000", "--jobs 1000000"],
)
def test_absurd_limits_are_refused_in_one_line(option: str) -> None:
    status, out, err = shell(f"bncheck check {HONEST} {option}")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "at most" in err


@pytest.mark.parametrize("options", [{"time_limit": 1e300}, {"memory_limit": 10**21}, {"time_limit": -1.0}])
def test_absurd_limits_are_refused_by_the_library(options: dict[str, Any]) -> None:
    check: Callable[..., Any]
    for check in (check_target, lambda text, **more: examine_all([text, text], **more)):
        with pytest.raises(InvalidInput, match="at most"):
            check(HONEST, **options)
