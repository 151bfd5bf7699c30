"""Hostile code ends in a line and a reason, and leaves this process as it was."""

import io
import json
import math
import os
import struct
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bncheck.case import Array, Case, Layout
from bncheck.errors import InvalidInput, TargetFailed
from bncheck.targets import wire
from bncheck.targets.calls import Target
from bncheck.targets.opening import open_target
from bncheck.targets.sandbox import Sandbox

HOSTILE = Path(__file__).parent / "targets" / "hostile"
limited = partial(open_target, time_limit=4.0, memory_limit=1 << 30)


def case_of(target: Target) -> Case:
    rng = np.random.default_rng(3)
    shape = (8, 4)
    x, dy = rng.normal(size=(2, *shape))
    return target.adapted(
        Case(Layout("NC", "N", "C"), x, dy, {"gamma": rng.normal(size=4), "beta": rng.normal(size=4)})
    )


OUTCOMES = {
    "hangs": ("timeout", "gave no answer within 4 s"),
    "hangs_in_c": ("timeout", "gave no answer within 4 s"),
    "hangs_at_import": ("timeout", "gave no answer within 4 s"),
    "exits": ("exited", "called sys.exit(enough) (line"),
    "exits_hard": ("exited", "exit status 7"),
    "exits_at_import": ("exited", "called sys.exit(no) (line 3)"),
    "segfaults": ("died", "SIGSEGV"),
    "fills_memory": ("memory", "ran out of memory"),
    "closes_files": ("exited", "in the middle of a call"),
    "forges_answers": ("died", "closed or disturbed the channel"),
    "recurses": ("raised", "RecursionError"),
    "raises_a_trap": ("raised", "Trap: its message cannot be read"),
    "misses_a_package": ("raised", "No module named 'a_package_that_does_not_exist' (line 3)"),
    "wrong_shape": ("answer", "returned y of shape (3, 8), expected (8, 3)"),
    "wrong_dtype": ("answer", "returned y of dtype int64, expected floats"),
    "returns_none": ("answer", "returned dx as NoneType, expected an array"),
    "returns_objects": ("answer", "returned dx as an array of objects"),
    "returns_too_much": ("answer", "returned dx as float64 of shape (1048576, 1048576)"),
    "returns_a_trap": ("exited", "exit status 9"),
}
"""The targets that cannot be asked: the reason, and words of the line."""


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_target_that_cannot_be_asked_fails_with_a_reason_and_one_line(name: str) -> None:
    reason, words = OUTCOMES[name]
    with pytest.raises(TargetFailed) as caught, limited(str(HOSTILE / f"{name}.py")) as targets:
        targets[0].vjp(case_of(targets[0]))
    assert caught.value.reason == reason
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{name}.py")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


NOTICED: dict[str, dict[str, object]] = {
    "honest": {},
    "prints": {},
    "forks": {},
    "changes_numpy": {"surroundings": ["numpy.mean", "numpy.random.seed", "numpy.seterr"]},
    "mutates": {"mutates": ["x", "dy"]},
    "answers_differently": {"repeatable": False, "interleaved": False, "stateless": False},
    "shares_its_cache": {"interleaved": False},
}
GOOD = {"surroundings": [], "mutates": [], "repeatable": True, "interleaved": True, "stateless": True}


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTICED)
def test_a_bad_habit_is_noticed_and_the_target_still_answers(name: str) -> None:
    path = HOSTILE / f"{name}.py" if name != "honest" else HOSTILE.parent / "honest.py"
    with limited(str(path)) as (target,):
        noticed = {key: target.observations[key] for key in GOOD}
        answer = target.vjp(case_of(target))
    assert noticed == {**GOOD, **NOTICED[name]}
    assert [value.shape for value in answer.values()] == [(8, 4), (8, 4), (4,), (4,)]


def test_wrong_arrays_are_handed_on_for_the_comparison_to_judge() -> None:
    with open_target(str(HOSTILE / "not_reduced.py")) as (target,):
        answer = target.vjp(case_of(target))
        assert (answer["dx"].shape, answer["dgamma"].shape) == ((8, 4), (8, 4))
    with open_target(str(HOSTILE / "returns_nan.py")) as (target,):
        assert np.isnan(target.vjp(case_of(target))["y"]).all()


def shared_state() -> tuple[object, ...]:
    files = sorted(Path("/proc/self/fd").iterdir())
    return np.geterr(), np.random.get_state(legacy=False)["state"]["pos"], np.mean, len(files), dict(os.environ)


def test_this_process_stays_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    before = shared_state()
    for name in ("changes_numpy", "prints", "closes_files", "exits_hard", "forges_answers"):
        with limited(str(HOSTILE / f"{name}.py")) as targets:
            assert targets
    assert shared_state() == before
    assert capfd.readouterr() == ("", "")


def test_no_process_and_no_bytecode_are_left_behind(tmp_path: Path) -> None:
    (tmp_path / "besides.py").write_text("eps = 1e-5\n")
    (tmp_path / "mine.py").write_text(
        f"import os, subprocess\nfrom besides import eps\nopen({str(tmp_path / 'pid')!r}, 'w').write("
        "f\"{os.getpid()} {subprocess.Popen(['sleep', '60']).pid}\")\n"
        "def batch_norm(x, gamma, beta, eps=eps):\n"
        "    return gamma * (x - x.mean(0)) / (x.var(0) + eps) ** 0.5 + beta\n"
    )
    with open_target(str(tmp_path / "mine.py")) as (target,):
        assert not target.has_backward
    for number in (tmp_path / "pid").read_text().split():
        deadline = time.monotonic() + 5
        while _alive(int(number)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _alive(int(number))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["besides.py", "mine.py", "pid"]


def test_a_child_ends_when_the_process_that_asks_was_killed(tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text(
        f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    )
    code = (
        f"from bncheck.targets.opening import open_target\nopen_target({str(tmp_path / 'hangs.py')!r}, time_limit=60)"
    )
    asking = subprocess.Popen([sys.executable, "-c", f"{code}.__enter__()"])
    deadline = time.monotonic() + 20
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pid = int((tmp_path / "pid").read_text())
    assert _alive(pid)
    asking.kill()
    asking.wait()
    while _alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_child_that_died_is_replaced_and_goes_on() -> None:
    with open_target(str(HOSTILE / "segfaults.py")) as (target,):
        sandbox = target.sandbox
        before = sandbox.starts
        header = {"candidate": 0, "family": "numpy", "eps": 1e-5, "momentum": 0.9, "groups": None, "features": [4]}
        x, ones = np.ones((8, 4)), np.ones(4)
        for _ in range(2):
            with pytest.raises(TargetFailed, match="SIGSEGV"):
                sandbox.call({"op": "call", "layout": "", **header}, {"x": x, "dy": x, "gamma": ones, "beta": ones})
            _, arrays = sandbox.call({"op": "call", "layout": "", **header}, {"x": x, "gamma": ones, "beta": ones})
            assert arrays["y"].shape == (8, 4)
        assert sandbox.starts >= before + 2


def test_the_limits_can_be_set(tmp_path: Path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text("import time\ntime.sleep(1)\n" + (HOSTILE.parent / "honest.py").read_text())
    with pytest.raises(TargetFailed, match=r"within 0\.3 s"), open_target(str(slow), time_limit=0.3):
        pass
    with open_target(str(slow), time_limit=30) as (target,):
        assert target.failure is None
    large = tmp_path / "large.py"
    large.write_text("import numpy as np\nkept = np.ones(1 << 26)\n" + (HOSTILE.parent / "honest.py").read_text())
    with pytest.raises(TargetFailed, match="memory"), open_target(str(large), memory_limit=1 << 29):
        pass
    with open_target(str(large), memory_limit=2 << 30) as (target,):
        assert target.failure is None


def test_an_interrupted_call_does_not_leave_its_answer_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_target(str(HOSTILE.parent / "honest.py")) as (target,):
        case = case_of(target)
        child = target.sandbox._child
        assert child is not None

        class Interrupted:
            def get(self, timeout: float) -> None:
                raise KeyboardInterrupt

            def put(self, answer: object) -> None:
                pass  # it comes too late

        monkeypatch.setattr(child, "answers", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            target.vjp(case)
        assert target.sandbox._child is None
        assert target.vjp(case)["y"].shape == case.x.shape


def framed(header: object, rest: bytes = b"") -> io.BytesIO:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return io.BytesIO(struct.pack(">I", len(text)) + text + rest)


def test_frames_carry_arrays_of_every_plain_dtype_bit_by_bit() -> None:
    arrays: dict[str, Array] = {
        "a": np.array([[1.5, np.nan], [-0.0, np.inf]], np.float32),
        "b": np.arange(3),
        "c": np.array(2j),
        "d": np.ones((0, 4), np.float16),
        "e": np.arange(6.0).reshape(2, 3).T,
    }
    stream = io.BytesIO()
    wire.write(stream, {"op": "call", "id": 7}, arrays)
    stream.seek(0)
    header, found = wire.read(stream)
    assert header == {"op": "call", "id": 7}
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "stream",
    [
        io.BytesIO(b""),
        io.BytesIO(b"\x00\x00"),
        io.BytesIO(struct.pack(">I", 1 << 30)),
        framed(b"not json"),
        framed(b"[" * 100_000),
        framed([]),
        framed({}),
        framed({"arrays": 3}),
        framed({"arrays": {"y": ["object", [1]]}}, b"\0" * 8),
        framed({"arrays": {"y": ["float64", [1 << 40]]}}),
        framed({"arrays": {"y": ["float64", [1 << 40, 0]]}}),
        framed({"arrays": {"y": ["float64", [-1]]}}),
        framed({"arrays": {"y": ["float64", [1.5]]}}),
        framed({"arrays": {"y": ["float64", ["1"]]}}),
        framed({"arrays": {"y": ["float64", [1] * 100]}}, b"\0" * 8),
        framed({"arrays": {"y": ["float64", [2]]}}, b"\0" * 8),
    ],
)
def test_a_frame_that_is_none_is_refused_before_anything_is_allocated(stream: io.BytesIO) -> None:
    try:
        _, arrays = wire.read(stream)
    except wire.Garbled:
        return
    assert all(math.prod(array.shape) == 0 for array in arrays.values())


def test_what_cannot_cross_is_known_beforehand() -> None:
    assert wire.transportable(np.ones(3, np.float16))
    assert not wire.transportable(np.array([object()]))
    assert not wire.transportable(np.broadcast_to(1.0, (1 << 20, 1 << 20)))
    assert not wire.transportable(np.array(["text"]))


def test_a_sandbox_starts_nothing_before_it_is_asked() -> None:
    with Sandbox("nowhere.py") as sandbox:
        assert sandbox.starts == 0
    with pytest.raises(InvalidInput, match="a file that exists"), open_target("nowhere.py"):
        pass
