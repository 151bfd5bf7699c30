import os
from collections.abc import Callable, Generator

import numpy as np
import pytest

from bncheck.case import Case, Layout
from bncheck.layers import LAYERS, Layer

collect_ignore = ["targets"]  # other people's code, which only a sandbox may import

FLAT = Layout("NC", reduced="N", affine="C")
IMAGES = Layout("NCHW", reduced="NHW", affine="C")
SHAPES = ((8, 4), (32, 16), (64, 64), (4, 3, 8, 8))

MakeCase = Callable[..., Case]


def random_case(
    shape: tuple[int, ...] = (8, 4), dtype: str = "float64", seed: int = 0, *, offset: float = 0.0, eps: float = 1e-5
) -> Case:
    """Normal x around an offset, normal dy, γ and β; channels on axis 1."""
    rng = np.random.default_rng(seed)
    layout = FLAT if len(shape) == 2 else IMAGES
    sizes = layout.parameter_shape(shape)
    x, dy = rng.normal(size=shape) + offset, rng.normal(size=shape)
    parameters = {"gamma": rng.normal(size=sizes), "beta": rng.normal(size=sizes)}
    return Case(layout, x.astype(dtype), dy.astype(dtype), {n: p.astype(dtype) for n, p in parameters.items()}, eps)


@pytest.fixture(scope="session")
def batch_norm() -> Layer:
    return LAYERS["batch_norm"]


@pytest.fixture
def undiagnosed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong is not called by its name, which takes most of the time and changes no verdict."""
    for place in ("examine._diagnosed", "running_statistics.diagnose", "probing.diagnose"):
        monkeypatch.setattr(f"bncheck.examination.{place}", lambda *_: ())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where skips are forbidden, as in CI, a skipped test has failed: it would have shown nothing."""
    report = yield
    if report.skipped and os.environ.get("BNCHECK_FORBID_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and BNCHECK_FORBID_SKIPS is set: {report.longrepr}"
    return report
