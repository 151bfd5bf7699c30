"""The plugin serves those who ask for it, and costs the others nothing."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

SUITE = """
import pytest
from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import correct

def test_right(assert_gradients):
    assert_gradients(correct)

def test_wrong(assert_gradients):
    assert_gradients(BUGS["gamma-missing"].vjp)

def forward(x, gamma, beta, eps):
    std = (x.var(0) + eps) ** 0.5
    return gamma * (x - x.mean(0)) / std + beta, ((x - x.mean(0)) / std, std, gamma)

def backward(dy, cache):
    xhat, std, gamma = cache
    g = dy * gamma
    return (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std, (dy * xhat).sum(0), dy.sum(0)

def test_live(assert_gradients):
    assert_gradients((forward, backward))
    with pytest.raises(AssertionError, match="forward.<lambda>: wrong"):
        assert_gradients((forward, lambda dy, cache: backward(-dy, cache)))

def test_drawn(bncheck_cases):
    from bncheck.layers import LAYERS
    print("DRAWN", [str(case.origin) for case in bncheck_cases(LAYERS["layer_norm"])])
"""


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(SUITE)
    return pytester.runpytest_subprocess("-s", *arguments)


@pytest.mark.slow
def test_the_fixture_fails_with_the_one_screen_report(pytester: pytest.Pytester) -> None:
    done = run(pytester)
    done.assert_outcomes(passed=3, failed=1)
    done.stdout.fnmatch_lines(["*gamma-missing in dx*", "*Multiply dy by gamma first*"])
    done.stdout.no_fnmatch_line("*api.py:*")


def drawn(done: pytest.RunResult) -> list[str]:
    return [line for line in done.outlines if "DRAWN" in line]


def test_the_options_say_how_many_cases_and_from_which_seed(pytester: pytest.Pytester) -> None:
    three, again, other = (
        drawn(run(pytester, "-k", "drawn", "--bncheck-cases=3", f"--bncheck-seed={seed}")) for seed in (1, 1, 2)
    )
    assert three[0].count("ND") + three[0].count("NLD") + three[0].count("NCHW") >= 3
    assert three == again != other


def test_it_is_told_in_the_help_of_pytest(pytester: pytest.Pytester) -> None:
    done = pytester.runpytest_subprocess("--help")
    done.stdout.fnmatch_lines(["*--bncheck-cases=N*", "*--bncheck-seed=N*"])


def test_nothing_is_imported_before_a_test_asks() -> None:
    code = (
        "import sys, pytest\nbefore = set(sys.modules)\nimport bncheck.pytest_plugin\n"
        "print(sorted({n.partition('.')[0] for n in set(sys.modules) - before} - sys.stdlib_module_names),\n"
        "      sorted(n for n in sys.modules if n.startswith('bncheck')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['bncheck'] ['bncheck', 'bncheck.pytest_plugin', 'bncheck.version']"


def test_the_entry_point_is_declared() -> None:
    import tomllib
    from pathlib import Path

    declared = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    assert declared["project"]["entry-points"]["pytest11"] == {"bncheck": "bncheck.pytest_plugin"}
