"""The command line keeps its promises: exit status, bytes, files, pipes, Ctrl-C and colour."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import interruptible

import bncheck
from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import correct
from bncheck.campaign.run import verify as campaign_of
from bncheck.case import Case
from bncheck.cli import run, running
from bncheck.errors import InvalidDefinition
from bncheck.report.formulas import FORMS, STYLES

ROOT = Path(bncheck.__file__).parent.parent
CASE = "NC:N:C/6x2/float64/1e-05/ordinary/random/affine/1"
SINGLE = "NC:N:C/1x4/float64/1e-05/ordinary/random/affine/1"  # one value in a group: dx is 0 whatever the code


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns, and none of the variables that change the output."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM", "BNCHECK_TRACEBACK", "PYTHONDONTWRITEBYTECODE"):
        monkeypatch.delenv(name, raising=False)


def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(interruptible(*arguments), env=environment, **pipes)


def output(*arguments: str, **options: Any) -> bytes:
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    return bytes(out)


def raising(case: Case) -> Any:
    raise RuntimeError("no backward")


@pytest.mark.parametrize(
    ("vjp", "case", "status", "verdict"),
    [
        (correct, CASE, 0, "correct"),
        (BUGS["variance-path-missing"].vjp, CASE, 1, "wrong"),
        (BUGS["one-pass-variance"].vjp, CASE.replace("ordinary", "large-offset"), 1, "unstable"),
        (raising, CASE, 3, "crashed"),
        (correct, SINGLE, 4, "vacuous"),
    ],
)
def test_exit_status(
    vjp: Callable[[Case], Any],
    case: str,
    status: int,
    verdict: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("bncheck.campaign.run.verify", partial(campaign_of, suspects={"mine": vjp}))
    assert run(["verify", "--layer", "batch_norm", "--case", case]) == status
    assert capsys.readouterr().out.endswith(f"verdict: {verdict}\n")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (
            ZeroDivisionError("by\nnothing."),
            3,
            "internal error, ZeroDivisionError: by nothing. Set BNCHECK_TRACEBACK=1",
        ),
        (ExceptionGroup("2 ways", [KeyError("dx"), ValueError()]), 3, "internal error, KeyError: 'dx'. Set BNCHECK"),
        (ExceptionGroup("2 ways", [InvalidDefinition("No."), ValueError()]), 2, "No.\n"),
    ],
)
def test_unforeseen_error_is_one_line(
    error: Exception, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr("bncheck.campaign.run.verify", broken)
    assert run(["verify"]) == status
    shown = capsys.readouterr().err
    assert shown.startswith(f"bncheck: {said}")
    assert shown.count("\n") == 1
    monkeypatch.setenv("BNCHECK_TRACEBACK", "1")
    with pytest.raises(type(error)):
        run(["verify"])


@pytest.mark.parametrize("command", [[], ["verify"], ["derive"], ["figures"], ["train"], ["doctor"]])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_fits_80_columns(command: list[str], option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, option]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert max(map(len, said.out.splitlines())) <= 80
    assert "..." not in said.out.partition("\n")[2]
    assert "\\" not in said.out
    assert "-h, --help" in said.out


def test_version_and_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"bncheck {bncheck.__version__}\n"
    assert run([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Commands:\n  verify   Prove" in said.err


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    assert f"bncheck        {bncheck.__version__}\n" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["verify", "--help"], ["--version"], ["verify", "--format", "xml"]])
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    code = f"import sys; from bncheck.cli import run; run({arguments}); print(*sys.modules, sep='\\n', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "bncheck.cli" in done.stderr.split()
    assert not {"numpy", "sympy", "flint", "hypothesis", "sklearn", "torch"} & set(done.stderr.split())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("style", STYLES)
def test_derive_in_every_form_and_format(form: str, style: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["derive", "batch_norm", "--form", form, "--format", style]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "proved for every m, C: 15 equalities" in said.out
    assert said.out.endswith("\n")
    assert not said.out.endswith("\n\n")


def test_derive_without_proof_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from bncheck.oracles.symbolic.proof import Proof, ProofStep
    from bncheck.outcomes import Outcome

    failed = Proof("batch_norm", (ProofStep("dvar", "chain rule = derivative", Outcome.REFUTED),))
    monkeypatch.setattr("bncheck.oracles.symbolic.proof.prove", lambda derivation: failed)
    assert run(["derive", "batch_norm"]) == 1
    assert "not proved: chain rule = derivative fails for dvar" in capsys.readouterr().out


CAMPAIGN = ("verify", "--layer", "batch_norm", "--cases", "45", "--seed", "7", "--quick", "--format", "json")


@pytest.fixture(scope="module")
def campaign() -> bytes:
    return output(*CAMPAIGN, env={"PYTHONHASHSEED": "1"})


def test_same_seed_same_bytes(campaign: bytes) -> None:
    assert json.loads(campaign)["seed"] == 7
    assert output(*CAMPAIGN, env={"PYTHONHASHSEED": "2"}) == campaign


def test_another_seed_other_bytes(campaign: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([argument.replace("7", "8") for argument in CAMPAIGN]) == 0
    assert json.loads(capsys.readouterr().out)["layers"] != json.loads(campaign)["layers"]


@pytest.mark.slow
def test_number_of_processes_does_not_show() -> None:
    many = ["450" if argument == "45" else argument for argument in CAMPAIGN]  # three units of work
    assert output(*many, "--jobs", "2") == output(*many, "--jobs", "1")


@pytest.mark.parametrize("style", ["text", "json", "junit"])
def test_output_is_written_whole_and_alone(
    style: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report"
    target.write_text("older")
    monkeypatch.chdir(tmp_path)
    arguments = ["verify", "--layer", "batch_norm", "--case", CASE, "--format", style]
    assert run(arguments) == 0
    shown = capsys.readouterr().out
    assert run([*arguments, "--output", str(target)]) == 0
    assert capsys.readouterr().out == ""
    assert target.read_text(encoding="utf-8") == shown
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_campaign_leaves_nothing_in_the_current_folder(tmp_path: Path) -> None:
    assert json.loads(output(*CAMPAIGN, cwd=tmp_path))["verdict"] == "correct"
    assert list(tmp_path.iterdir()) == []


def test_output_follows_links_and_keeps_devices(tmp_path: Path) -> None:
    target, link = tmp_path / "report", tmp_path / "latest"
    link.symlink_to(target)
    assert run(["derive", "batch_norm", "--output", str(link)]) == 0
    assert link.is_symlink()
    assert "batch_norm, closed" in target.read_text(encoding="utf-8")
    assert run(["derive", "batch_norm", "--output", os.devnull]) == 0
    assert not Path(os.devnull).is_file()


def test_failure_while_writing_keeps_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report"
    target.write_text("older")

    def full(path: Path, target: Path) -> None:
        assert path.stat().st_size
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    assert run(["derive", "batch_norm", "--output", str(target)]) == 3
    assert target.read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize(
    "arguments", [["derive", "batch_norm"], ["verify", "--layer", "batch_norm", "--case", CASE], ["--help"], ["doctor"]]
)
def test_closed_pipe_is_silent(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start(*arguments, stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")


def test_terminal_without_greek_letters() -> None:
    assert rb"\u2202" in output("derive", "batch_norm", env={"PYTHONIOENCODING": "ascii"})


def test_color_on_demand(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["verify", "--layer", "batch_norm", "--case", CASE]
    shown = {}
    for choice in ("auto", "always", "never"):
        run([*arguments, "--color", choice])
        shown[choice] = capsys.readouterr().out
    assert "\x1b[32mcorrect" in shown["always"]
    assert "\x1b" not in shown["never"]
    assert shown["auto"] == shown["never"], "a pipe is no terminal"
    run([*arguments, "--color", "always", "--output", str(tmp_path / "report")])
    assert (tmp_path / "report").read_text(encoding="utf-8") == shown["always"]


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_color_in_a_terminal(variables: dict[str, str], coloured: bool) -> None:
    pty = pytest.importorskip("pty")
    master, terminal = pty.openpty()
    process = start("verify", "--layer", "batch_norm", "--case", CASE, stdout=terminal, env=variables)
    os.close(terminal)
    shown = b"".join(chunks(master))
    os.close(master)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert (b"\x1b[32mcorrect" in shown) is coloured
    assert (b"\x1b" in shown) is coloured


def chunks(master: int) -> Iterator[bytes]:
    """What a process wrote to a terminal, until it closed it."""
    try:
        while chunk := os.read(master, 4096):
            yield chunk
    except OSError:
        return


def descendants(pid: int) -> set[int]:
    """The living processes that a process started, and those that they started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, *_ = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if state != "Z":
            parents[int(path.parent.name)] = int(parent)
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return (found - {pid}) & set(parents)


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if (Path("/proc") / str(pid) / "cmdline").exists() and _cmdline(pid)}


def _cmdline(pid: int) -> bytes:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes()  # empty for a zombie
    except OSError:
        return b""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("jobs", "wait"), [("1", 0.0), ("1", 0.4), ("1", 1.8), pytest.param("2", 0.5), pytest.param("2", 1.8)]
)
def test_interruption_ends_everything_at_once(
    jobs: str, wait: float, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    target = tmp_path / "report"
    process = start("verify", "--cases", "5000", "--jobs", jobs, "--output", str(target))
    request.addfinalizer(process.kill)
    while "_multiarray_umath" not in Path(f"/proc/{process.pid}/maps").read_text():  # before that it is Python's own
        time.sleep(0.01)
    time.sleep(wait)
    patience = time.monotonic() + 30
    while jobs == "2" and wait > 1 and len(descendants(process.pid)) < 2 and time.monotonic() < patience:
        time.sleep(0.02)
    children = descendants(process.pid)
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    took = time.monotonic() - sent
    assert (process.returncode, out, err) == (130, b"", b"bncheck: interrupted\n")
    assert took < 2
    assert list(tmp_path.iterdir()) == []
    if jobs == "2" and wait > 1:
        assert len(children) >= 2
    while alive(children) and time.monotonic() - sent < 3:
        time.sleep(0.02)
    assert alive(children) == set()


@pytest.fixture
def hearing() -> Iterator[None]:
    """This process hears Ctrl-C, which in the background of a shell it would not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hearing")
def test_interruption_within_a_garbage_collection_comes_again() -> None:
    running._interrupt_again(SimpleNamespace(exc_type=KeyboardInterrupt, exc_value=None))
    with pytest.raises(KeyboardInterrupt):
        time.sleep(5)


def test_interruption_while_a_class_is_made_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt()

    monkeypatch.setattr("bncheck.campaign.run.verify", broken)
    assert run(["verify"]) == 130
    assert capsys.readouterr().err == "bncheck: interrupted\n"


def test_other_dropped_exceptions_are_told_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "__unraisablehook__", told.append)
    dropped = SimpleNamespace(exc_type=ValueError)
    running._interrupt_again(dropped)
    assert told == [dropped]
