import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from bncheck.case import Case, Layout
from bncheck.layers import LAYERS, Layer

collect_ignore = ["targets"]  # other people's code, which only a sandbox may import

FLAT = Layout("NC", reduced="N", affine="C")
IMAGES = Layout("NCHW", reduced="NHW", affine="C")
SHAPES = ((8, 4), (32, 16), (64, 64), (4, 3, 8, 8))

MakeCase = Callable[..., Case]

UNCOVERED = frozenset(
    {
        *("test_agreement", "test_benchmarks", "test_benchmarks_mutations", "test_cases", "test_check_command"),
        *("test_explorer_page", "test_figures_layout", "test_figures_legible", "test_figures_placed", "test_formulas"),
        *("test_finite_difference", "test_isolation", "test_loading", "test_no_alarm", "test_own_definition"),
        *("test_planting", "test_programs", "test_sandbox", "test_styles", "test_symmetry", "test_targets"),
        *("test_theorems", "test_tolerance", "test_verify", "test_words"),
        "test_a_bug_in_code_of_another_style_is_called_by_its_name",
        "test_a_function_with_a_bug_fails_the_assertion_with_its_name",
        "test_each_kind_is_found_right_where_it_is_and_wrong_where_it_is_not",
        "test_every_bug_of_every_layer_is_called_by_its_name",
        "test_hostile_code_ends_calmly_and_leaves_nothing_alive",
        "test_names_that_bncheck_uses_itself",
        "test_no_correct_implementation_raises_an_alarm",
        "test_nothing_is_clipped_overlapping_or_struck_through",
        "test_results_have_one_face_that_is_never_empty",
    }
)
"""Files and tests that take long and whose lines others run too: coverage, which takes them up to twice as long, is not
measured there, and was 96 % without them."""


HALVED = frozenset(
    {
        *("test_a_correct_implementation_has_no_diagnosis", "test_an_instance_of_torch_is_right"),
        *("test_every_bug_is_called_by_its_name_in_every_layout", "test_every_theorem_is_proved_on_every_layout"),
        "test_every_correct_target_is_recognised_and_found_correct",
        "test_every_suspect_is_right_in_every_layout_and_dtype",
        *("test_hostile_code_ends_calmly_and_leaves_nothing_alive", "test_no_correct_implementation_raises_an_alarm"),
        *("test_nothing_is_left_in_english_on_a_chinese_page", "test_nothing_leaves_its_place_on_any_page"),
        *("test_so_for_every_layer", "test_so_in_every_look", "test_foreign_code_gets_its_verdict"),
        *("test_every_bug_of_every_layer_is_called_by_its_name", "test_no_right_implementation_raises_an_alarm"),
    }
)
"""Long tables of which, for time, a run of all tests asks every second row; all with BNCHECK_EVERY=1 in the
environment, or where their files are named."""

LEFT_OUT = frozenset(
    {
        *("test_a_class_of_flax_is_right_but_for_the_known_finding", "test_all_four_take_part_in_one_campaign"),
        *("test_an_instance_of_flax_is_right", "test_every_report_of_the_zoo_fits_the_screen"),
    }
)
"""Long tests that a run of all leaves out, likewise: CI's `verify --against`, and others, ask much the same."""

EVERY = bool(os.environ.get("BNCHECK_EVERY"))
"""Whether whole tables are asked, with BNCHECK_EVERY=1 in the environment, and not, for time, a part of them."""


def some(table: Iterable[tuple[Any, ...]], choices: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Each row of a table with every choice, or, for time, with one choice, another from row to row."""
    rows = list(table)
    return [(*row, c) for k, row in enumerate(rows) for c in (choices if EVERY else [choices[k % len(choices)]])]


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser, headless; a module's own, since while it is there no other event loop may run."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def undiagnosed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong is not called by its name, which takes most of the time and changes no verdict."""
    for place in ("examine._diagnosed", "running_statistics.diagnose", "probing.diagnose"):
        monkeypatch.setattr(f"bncheck.examination.{place}", lambda *_: ())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not EVERY and not config.option.file_or_dir:
        rows, asked, left = Counter[str](), list[pytest.Item](), list[pytest.Item]()
        for item in items:
            rows[name := item.name.partition("[")[0]] += 1
            (left if name in LEFT_OUT or (name in HALVED and rows[name] % 2 == 0) else asked).append(item)
        items[:] = asked
        config.hook.pytest_deselected(items=left)  # so that they are counted
    if config.pluginmanager.hasplugin("_cov") and not config.option.no_cov:
        for item in items:
            if {item.path.stem, item.name.partition("[")[0]} & UNCOVERED:
                item.add_marker("no_cover")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where skips are forbidden, as in CI, a skipped test has failed, but for programs that may be missing."""
    report = yield
    allowed = re.search(os.environ.get("BNCHECK_MAY_SKIP", "$^"), str(report.longrepr))
    if report.skipped and os.environ.get("BNCHECK_FORBID_SKIPS") and not allowed:
        report.outcome = "failed"
        report.longrepr = f"skipped, and BNCHECK_FORBID_SKIPS is set: {report.longrepr}"
    return report
