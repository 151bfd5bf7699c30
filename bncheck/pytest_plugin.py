"""The pytest plugin: gradients asserted in other people's test suites. It imports bncheck when a test asks for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many cases are drawn, and from which seed."""
    group = parser.getgroup("bncheck", "gradients of normalization layers")
    group.addoption(
        "--bncheck-cases", type=int, default=25, metavar="N", help="cases that are drawn besides the usual ones (25)"
    )
    group.addoption("--bncheck-seed", type=int, default=0, metavar="N", help="the same seed draws the same cases (0)")


@pytest.fixture
def assert_gradients(pytestconfig: pytest.Config) -> Callable[..., None]:
    """`bncheck.assert_gradients`, with the number of cases and the seed that the command line gives."""
    from bncheck import assert_gradients
    from bncheck.targets.here import asks_for_a_case

    seed = pytestconfig.getoption("bncheck_seed")

    def asserting(target: Any, cases: Any = None, **options: Any) -> None:
        __tracebackhide__ = True
        drawn = {"examples": pytestconfig.getoption("bncheck_cases")} if asks_for_a_case(target) else {}
        assert_gradients(target, cases, **{**drawn, "seed": seed, **options})

    return asserting


@pytest.fixture
def bncheck_cases(pytestconfig: pytest.Config) -> Callable[..., Any]:
    """A function from a layer to as many cases of it as the command line says."""
    from bncheck.inputs.recipes import sampled

    count, seed = (pytestconfig.getoption(f"bncheck_{name}") for name in ("cases", "seed"))
    return partial(sampled, count=count, seed=seed)
