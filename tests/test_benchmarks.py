from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # the benchmarks are not part of the package, so they are imported below this line


from benchmarks import __main__ as command_line  # noqa: E402
from benchmarks import backward, startup, tables, timing  # noqa: E402
from benchmarks.plants import GROUPS, HOMES, SHAPES, STYLES, Plant, planted  # noqa: E402
from benchmarks.result import Effort, Requirement, Result, Table  # noqa: E402
from bncheck.bugs.catalogue import BUGS  # noqa: E402
from bncheck.results import Check  # noqa: E402

TABLE = Table(("what", "ms"), (("one", "1.00"), ("another", "20.0")), "Best of two.")
README = f"# Title\n\nbefore\n\n{tables.BEGIN}\nold numbers\n{tables.END}\n\nafter\n"


def stand_in(monkeypatch: pytest.MonkeyPatch, *requirements: Requirement) -> list[str]:
    """Puts an instant benchmark in place of each; returns the names of those that ran."""
    ran: list[str] = []

    def benchmark(name: str, effort: Effort) -> Result:
        ran.append(name)
        return Result(f"About {name}", (TABLE,), requirements)

    monkeypatch.setattr(command_line, "benchmark", benchmark)
    return ran


def test_a_table_reads_as_markdown_and_as_text() -> None:
    assert tables.markdown(Result("Title", (TABLE,), (Requirement("ratio", 0.5, 2),))) == (
        "### Title\n\n"
        "| what    |   ms |\n"
        "| ------- | ---: |\n"
        "| one     | 1.00 |\n"
        "| another | 20.0 |\n\n"
        "Best of two.\n\n"
        "| required | limit | measured |     |\n"
        "| -------- | ----: | -------: | --: |\n"
        "| ratio    |   ≤ 2 |    0.500 | met |\n"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (200, "200"), (1295.4, "1295"), (99.96, "100"), (0.0163, "0.0163"), (1.5, "1.50"), (2e-5, "0.0000200")],
)
def test_numbers_have_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert tables.number(value) == text


@pytest.mark.parametrize(
    ("requirement", "met"),
    [
        (Requirement("most", 2, 2), True),
        (Requirement("most", 2.1, 2), False),
        (Requirement("least", 2, 2, at_least=True), True),
        (Requirement("least", 1.9, 2, at_least=True), False),
        (Requirement("not a number", float("nan"), 2), False),
    ],
)
def test_a_requirement_knows_its_side(requirement: Requirement, met: bool) -> None:
    assert requirement.met is met


def test_write_replaces_what_stands_between_the_markers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(monkeypatch)
    readme = tmp_path / "README.md"
    readme.write_text(README, encoding="utf-8")
    for _ in range(2):  # the second time it replaces its own text
        assert command_line.main(["verify", "check", "--smoke", "--write", str(readme)]) == 0
        text = readme.read_text(encoding="utf-8")
        assert text.startswith(f"# Title\n\nbefore\n\n{tables.BEGIN}\n")
        assert text.endswith(f"\n{tables.END}\n\nafter\n")
        assert "old numbers" not in text
        assert "`python -m benchmarks verify check --smoke`" in text
        assert text.count("| another | 20.0 |") == 2
        assert text.index("About verify") < text.index("About check")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "no markers\n",
        f"{tables.BEGIN}\n",
        f"{tables.END}\n{tables.BEGIN}\n",
        f"{tables.BEGIN}\n{tables.BEGIN}\n{tables.END}\n",
        b"\xff\xfe",
    ],
)
def test_write_without_a_place_is_one_line_before_anything_runs(
    text: str | bytes | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = stand_in(monkeypatch)
    readme = tmp_path / "README.md"
    if text is not None:
        readme.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert command_line.main(["--write", str(readme)]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert str(readme) in printed.err
    assert not ran
    assert not printed.out


def test_an_unknown_name_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["speed"]) == 2
    names = "mutations, check, score, backward, training, startup, verify"
    assert capsys.readouterr().err == f"benchmarks: NAME=speed, expected one of {names}.\n"


@pytest.mark.parametrize(("judged", "status"), [(True, 1), (False, 0)])
def test_the_exit_status_tells_whether_what_is_judged_was_met(
    judged: bool, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = stand_in(monkeypatch, Requirement("fine", 1, 2), Requirement("too slow", 3, 2, judged=judged))
    assert command_line.main([]) == status
    assert ran == list(command_line.NAMES)
    assert ("NOT MET" if judged else "not judged") in capsys.readouterr().out


def without(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The benchmarks where a package is not installed."""
    script = (
        f"import sys; sys.modules[{package!r}] = None;"
        " from benchmarks.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")


def test_without_jax_one_line_says_what_to_install() -> None:
    pytest.importorskip("torch")
    done = without("jax", "score")
    assert done.returncode == 0, done.stderr
    assert "### score\n\njax is not installed, expected for comparisons with JAX. Run: pip install" in done.stdout


def test_without_torch_one_line_says_what_to_install_and_the_rest_runs() -> None:
    done = without("torch", "check", "backward", "--smoke")
    assert done.returncode == 0, done.stderr
    assert "### check\n\ntorch is not installed, expected for comparisons with PyTorch. Run: pip install" in done.stdout
    assert "no torch; CPUs" in done.stdout
    assert "| compiled | naive | staged | copy |" in " ".join(done.stdout.split())


def test_contenders_take_turns_after_one_call_each() -> None:
    calls: list[str] = []
    best = timing.side_by_side({name: lambda name=name: calls.append(name) for name in "ab"}, rounds=2)  # type: ignore[misc]  # a default in a lambda has no type
    assert calls == ["a", "b"] * 3
    assert set(best) == {"a", "b"}
    assert min(best.values()) > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(16, 8), (2, 3, 4, 4)])
def test_the_backward_contenders_agree(shape: tuple[int, ...], dtype: str) -> None:
    backward.agree(["compiled", "naive", "staged"], shape, dtype)


def test_a_contender_that_disagrees_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backward, "naive", lambda inputs, axes: (np.zeros_like(inputs.x), inputs.gamma, inputs.gamma))
    with pytest.raises(ArithmeticError, match="naive disagrees with compiled"):
        backward.agree(["compiled", "naive"], (16, 8), "float64")


def test_startup_measures_what_it_says() -> None:
    result = startup.run(Effort.SMOKE)
    assert [len(table.rows) for table in result.tables] == [3, 2]
    assert all(requirement.measured > 0 and not requirement.judged for requirement in result.requirements)


@pytest.fixture(scope="module")
def score() -> Any:
    """The module, which needs both peers."""
    for peer in ("torch", "jax"):
        pytest.importorskip(peer)
    return importlib.import_module("benchmarks.score")


def counted(score: Any, name: str, home: str = "batch_norm") -> Any:
    """What came of one plant at two seeds."""
    return score.counted(score.Work(Plant(name, home), (8, 4), seeds=2, named_every=1, slow=True))


def test_every_bug_of_the_catalogue_is_planted_once_and_correct_code_in_every_layer() -> None:
    plants = planted(SHAPES)
    bugs = [plant.name for plant in plants if plant.mutant]
    assert sorted(bugs) == sorted(name for name, bug in BUGS.items() if bug.planted)
    assert len(plants) - len(bugs) == len(HOMES) * len(STYLES)
    assert {plant.group for plant in plants} == set(GROUPS)
    assert all(any(map(plant.fits, SHAPES)) for plant in plants)


EVERYWHERE = {"caught": (4, 4), "named": (2, 2), "consistent": (0, 1), "slow": (1, 1), "fast": (2, 2), "JAX": (2, 2)}
FORWARD = {**EVERYWHERE, "consistent": (1, 1), "slow": (0, 1), "fast": (0, 2), "JAX": (0, 2)}
NOWHERE = {**FORWARD, "caught": (0, 4), "named": (0, 2)}
IN_NUMPY = {**EVERYWHERE, "caught": (2, 2), "slow": (0, 0), "fast": (0, 0), "JAX": (0, 0)}


@pytest.mark.parametrize(
    ("name", "home", "expected"),
    [
        ("mean-path-missing", "batch_norm", EVERYWHERE),
        ("eps-outside-sqrt", "batch_norm", FORWARD),
        ("momentum-inverted", "batch_norm_running", FORWARD),
        ("mean-gradient-ignored", "batch_norm_statistics", EVERYWHERE),
        ("tangent-mean-missing", "batch_norm_jvp", EVERYWHERE),
        ("not-reduced", "batch_norm", IN_NUMPY),
        ("mutates-input", "batch_norm", {**IN_NUMPY, "consistent": (0, 0)}),
        ("closed form", "batch_norm_statistics", NOWHERE),
        ("node by node", "layer_norm", NOWHERE),
    ],
)
def test_the_score_counts_who_finds_what(
    name: str, home: str, expected: dict[str, tuple[int, int]], score: Any
) -> None:
    assert counted(score, name, home) == expected


def test_a_checker_that_is_blind_misses(score: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score.checks, "check", lambda *_, **__: Check({}))
    monkeypatch.setattr(score, "diagnose", lambda *_: ())
    monkeypatch.setattr(score.peers, "gradcheck", lambda *_, **__: True)
    monkeypatch.setattr(score.jax_peer, "check_grads", lambda *_: lambda case: True)
    found = counted(score, "zero")
    assert found == NOWHERE
    counts = {Plant("zero", "batch_norm"): found, Plant("closed form", "batch_norm"): found}
    missed, named, alarms = score.required(counts, [])[:3]
    assert (missed.measured, named.measured, alarms.measured) == (4, 0, 0)
    assert not missed.met
    assert not named.met


def test_a_checker_that_sees_bugs_everywhere_raises_false_alarms(score: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "diagnose", lambda *_: (SimpleNamespace(id="zero"),))
    found = counted(score, "closed form")
    counts = {Plant("zero", "batch_norm"): found, Plant("closed form", "batch_norm"): found}
    assert score.required(counts, [])[2].measured == 2


def test_bugs_in_files_are_checked_from_end_to_end(score: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plants = tuple(Plant(name, "batch_norm") for name in ("gamma-missing", "mutates-input", "stage by stage"))
    numpy = score.counted(score.File(plants, "NumPy"))
    assert [outcome[2:] for outcome in numpy] == [(True, True), (True, True), (False, False)]
    torch = score.counted(score.File((plants[0], plants[2]), "torch"))
    assert [outcome[2:] for outcome in torch] == [(True, True), (False, False)]
    monkeypatch.setattr(score.written, "examined", lambda *_: {})
    blind = score.counted(score.File(plants, "NumPy"))
    nothing = {plant: score.total([]) for plant in plants}
    missed, named = score.required(nothing, blind)[3:5]
    assert (missed.measured, named.measured) == (2, 0)


def test_what_fared_alike_shares_a_row(score: Any) -> None:
    caught, missed = ({name: score.Tally(k, 4) for name in score.COLUMNS} for k in (4, 3))
    alike = {Plant(name, "batch_norm"): caught for name in ("zero", "ddof", "gamma-twice")}
    table = score.by_bug({**alike, Plant("path-sign", "batch_norm"): missed})
    assert table.rows == (
        ("path-sign", *["75.0"] * 5),
        ("backward: 3 bugs", *["100"] * 5),
    )
    assert "backward, 3: zero, ddof, gamma-twice." in table.notes


@pytest.mark.parametrize(
    ("k", "n", "text"), [(0, 0, "–"), (0, 3, "0"), (3, 3, "100"), (9999, 10000, "99.9"), (1, 9999, "0.1")]
)
def test_a_share_is_whole_only_if_nothing_is_missing(k: int, n: int, text: str, score: Any) -> None:
    assert str(score.Tally(k, n)) == text
