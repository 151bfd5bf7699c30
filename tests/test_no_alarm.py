"""What is right is not alarmed about: implementations in numerically sane ways, and the layers of the frameworks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import EVERY

import bncheck
from bncheck.tolerances.verdicts import Verdict

"""Whether all seeds and all layers of the frameworks are asked, which takes an hour."""

SANE = Path(__file__).parent / "targets" / "sane"

PAIRS = (
    *("welford", "chan", "kahan", "neumaier", "blocked", "tiles_of_features", "einsum", "recomputed", "corrected"),
    *("shifted", "wide", "promoting", "jacobian", "projected", "cacheless", "staged"),
)
OTHERS = (
    *("layernorm", "rows_layernorm", "fused_layernorm", "groupnorm", "instancenorm", "rmsnorm", "cacheless_rmsnorm"),
    *("wide_rmsnorm", "spatial_batchnorm"),
)
CLASSES = (
    *("BatchNormInPlace", "BatchNormOfOutput", "BatchNormAccumulating", "BatchNormChannelsLast", "BatchNormRunning"),
    *("BatchNormLateEvaluation", "LayerNormLazy", "RMSNormRecomputed"),
)
MODULES = ("LlamaRMSNorm", "LayerNormManual", "LazyBatchNorm", "WideBatchNorm", "FusedBatchNormFunction")
NUMPY = (
    *(f"batch_pairs.py:{name}_norm_forward" for name in PAIRS),
    *(f"other_pairs.py:{name}_forward" for name in OTHERS),
    *(f"classes.py:{name}" for name in CLASSES),
)
TORCH = tuple(f"torch_modules.py:{name}" for name in MODULES)
JAX = ("jax_functions.py:layer_norm", "jax_functions.py:rms_norm")


def examined(address: str, **options: Any) -> bncheck.TargetReport:
    report: bncheck.TargetReport
    (report,) = bncheck.check(address, **options).reports
    return report


def of_instance(layer: object, **options: Any) -> bncheck.TargetReport:
    report = bncheck.check(layer, **options)
    assert isinstance(report, bncheck.TargetReport)
    return report


def test_there_are_forty_of_them() -> None:
    assert len({*NUMPY, *TORCH, *JAX}) == 40


QUICK = ("batch_pairs.py:welford_norm_forward", "batch_pairs.py:tiles_of_features_norm_forward")
QUICK_CLASSES = ("classes.py:BatchNormLateEvaluation", "classes.py:BatchNormAccumulating")


@pytest.mark.parametrize("name", [*QUICK, *QUICK_CLASSES, "other_pairs.py:cacheless_rmsnorm_forward"])
def test_a_sane_implementation_is_right(name: str) -> None:
    report = examined(f"{SANE}/{name}")
    assert report.verdict is Verdict.CORRECT, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("name", NUMPY)
def test_a_sane_implementation_is_right_with_any_seed(name: str) -> None:
    for seed in range(10 if EVERY else 1):
        report = examined(f"{SANE}/{name}", seed=seed)
        assert report.verdict is Verdict.CORRECT, f"{seed}: {report}"


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TORCH, *(JAX if EVERY else ())])
def test_a_sane_layer_of_a_framework_is_right_with_any_seed(name: str) -> None:
    pytest.importorskip(name.partition("_")[0])
    for seed in range(10 if EVERY and name in TORCH else 1):  # each seed compiles everything anew in JAX
        report = examined(f"{SANE}/{name}", seed=seed)
        assert report.verdict is Verdict.CORRECT, f"{seed}: {report}"


MUCH = (*NUMPY[: 3 if EVERY else 1], "classes.py:BatchNormRunning", "other_pairs.py:rmsnorm_forward")


@pytest.mark.slow
@pytest.mark.parametrize("name", MUCH)
def test_a_sane_implementation_is_right_however_much_is_asked(name: str) -> None:
    report = examined(f"{SANE}/{name}", thorough=True, cases=50)
    assert report.verdict is Verdict.CORRECT, str(report)


def test_what_is_answered_in_a_wider_dtype_is_a_habit() -> None:
    report = examined(f"{SANE}/batch_pairs.py:promoting_norm_forward")
    assert report.verdict is Verdict.CORRECT
    assert report.observations["dtype_changed"]


def test_what_is_computed_in_single_is_not_asked_in_double() -> None:
    pytest.importorskip("torch")
    report = examined(f"{SANE}/torch_modules.py:LlamaRMSNorm")
    assert report.verdict is Verdict.CORRECT, str(report)
    assert "float64" not in report.asked["dtypes"]
    assert report.observations["narrows"] == ["float64"]


Made = Callable[[Any], Any]

TORCH_LAYERS: dict[str, Made] = {
    "BatchNorm1d": lambda nn: nn.BatchNorm1d(4, eps=1e-3),
    "BatchNorm1d of one": lambda nn: nn.BatchNorm1d(1),
    "BatchNorm1d, cumulative": lambda nn: nn.BatchNorm1d(4, momentum=None),
    "BatchNorm2d": lambda nn: nn.BatchNorm2d(3),
    "BatchNorm2d, not affine": lambda nn: nn.BatchNorm2d(3, affine=False),
    "BatchNorm2d, no statistics": lambda nn: nn.BatchNorm2d(3, track_running_stats=False),
    "BatchNorm3d": lambda nn: nn.BatchNorm3d(3),
    "LazyBatchNorm1d": lambda nn: nn.LazyBatchNorm1d(),
    "LazyBatchNorm2d": lambda nn: nn.LazyBatchNorm2d(),
    "LazyBatchNorm3d": lambda nn: nn.LazyBatchNorm3d(),
    "SyncBatchNorm": lambda nn: nn.SyncBatchNorm(3),
    "InstanceNorm1d": lambda nn: nn.InstanceNorm1d(3),
    "InstanceNorm2d": lambda nn: nn.InstanceNorm2d(3, affine=True),
    "InstanceNorm2d, statistics": lambda nn: nn.InstanceNorm2d(3, affine=True, track_running_stats=True),
    "InstanceNorm3d": lambda nn: nn.InstanceNorm3d(3),
    "LazyInstanceNorm2d": lambda nn: nn.LazyInstanceNorm2d(),
    "GroupNorm": lambda nn: nn.GroupNorm(2, 6),
    "GroupNorm, not affine": lambda nn: nn.GroupNorm(2, 6, affine=False),
    "GroupNorm of one group": lambda nn: nn.GroupNorm(1, 6),
    "GroupNorm of single channels": lambda nn: nn.GroupNorm(6, 6),
    "LayerNorm": lambda nn: nn.LayerNorm(5),
    "LayerNorm of two axes": lambda nn: nn.LayerNorm((3, 4)),
    "LayerNorm, not affine": lambda nn: nn.LayerNorm(5, elementwise_affine=False),
    "LayerNorm, no bias": lambda nn: nn.LayerNorm(5, bias=False),
    "RMSNorm": lambda nn: nn.RMSNorm(5),  # its eps is None: the machine epsilon of whatever dtype it is given
    "RMSNorm, eps": lambda nn: nn.RMSNorm(5, eps=1e-6),
    "RMSNorm, not affine": lambda nn: nn.RMSNorm(5, elementwise_affine=False),
}
LONG = frozenset({"BatchNorm1d", "BatchNorm3d", "BatchNorm2d, not affine", "SyncBatchNorm", "InstanceNorm3d"})


def timed(names: dict[str, Made]) -> list[Any]:
    """Those that take long are asked with BNCHECK_EVERY=1 in the environment, some of them without."""
    asked = [name for name in names if EVERY or name not in LONG]
    return [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG or "Group" in name)) for name in asked]


@pytest.mark.parametrize("name", timed(TORCH_LAYERS))
def test_an_instance_of_torch_is_right(name: str) -> None:
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lazy modules are said to be under development
        layer = TORCH_LAYERS[name](torch.nn)
    report = of_instance(layer)
    assert report.verdict is Verdict.CORRECT, str(report)


TORCH_CLASSES = sorted({name.partition(",")[0].partition(" ")[0] for name in TORCH_LAYERS})


@pytest.mark.slow
def test_instances_of_torch_in_a_file_are_right(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "made.py"
    made = ("BatchNorm2d(3)", "LazyBatchNorm1d()", "RMSNorm(5)", "GroupNorm(2, 6)", "InstanceNorm1d(3)")
    file.write_text("import torch\n" + "".join(f"layer{k} = torch.nn.{one}\n" for k, one in enumerate(made)))
    reports = bncheck.check(str(file)).reports
    assert {report.target: str(report.verdict) for report in reports if report.verdict is not Verdict.CORRECT} == {}
    assert len(reports) == len(made)


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCH_CLASSES if EVERY else ("LazyBatchNorm1d",))
def test_a_class_of_torch_is_right(name: str) -> None:
    pytest.importorskip("torch")
    report = examined(f"torch.nn:{name}")
    assert report.verdict is Verdict.CORRECT, str(report)


DTYPES: dict[str, Any] = {} if EVERY else {"dtypes": "float32"}
"""Each dtype compiles everything anew in JAX."""

EXACT = {"use_fast_variance": False}
FLAX_LAYERS: dict[str, Made] = {
    "BatchNorm": lambda nn: nn.BatchNorm(**EXACT),
    "BatchNorm, mode made for": lambda nn: nn.BatchNorm(use_running_average=False, **EXACT),
    "BatchNorm of axis 1": lambda nn: nn.BatchNorm(axis=1, use_running_average=False, **EXACT),
    "LayerNorm": lambda nn: nn.LayerNorm(**EXACT),
    "LayerNorm, no parameters": lambda nn: nn.LayerNorm(use_scale=False, use_bias=False, **EXACT),
    "LayerNorm, no bias": lambda nn: nn.LayerNorm(use_bias=False, **EXACT),
    "GroupNorm": lambda nn: nn.GroupNorm(num_groups=2, **EXACT),
    "InstanceNorm": lambda nn: nn.InstanceNorm(**EXACT),
    "RMSNorm": lambda nn: nn.RMSNorm(),
    "RMSNorm, no scale": lambda nn: nn.RMSNorm(use_scale=False),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FLAX_LAYERS if EVERY else ("RMSNorm",))
def test_an_instance_of_flax_is_right(name: str) -> None:
    linen = pytest.importorskip("flax.linen")
    report = of_instance(FLAX_LAYERS[name](linen), **DTYPES)
    assert report.verdict is Verdict.CORRECT, str(report)


FAST_VARIANCE = ("BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm")
"""By default they take the variance as E[x²] − E[x]²: a known finding, so that they are unstable far from zero."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FAST_VARIANCE, "RMSNorm"] if EVERY else ["LayerNorm"])
def test_a_class_of_flax_is_right_but_for_the_known_finding(name: str) -> None:
    pytest.importorskip("flax.linen")
    report = examined(f"flax.linen:{name}", **DTYPES)
    found = (str(report.verdict), [bug.id for bug in report.diagnosis])
    assert found == (("unstable", ["one-pass-variance"]) if name in FAST_VARIANCE else ("correct", [])), str(report)


KERAS_LAYERS: dict[str, tuple[Made, bool]] = {
    "BatchNormalization": (lambda layers: layers.BatchNormalization(), False),
    "BatchNormalization of axis 1": (lambda layers: layers.BatchNormalization(axis=1), False),
    "BatchNormalization, no parameters": (lambda layers: layers.BatchNormalization(center=False, scale=False), False),
    "GroupNormalization": (lambda layers: layers.GroupNormalization(groups=2), False),
    "LayerNormalization": (lambda layers: layers.LayerNormalization(), True),
    "LayerNormalization, no center": (lambda layers: layers.LayerNormalization(center=False), True),
    "RMSNormalization": (lambda layers: layers.RMSNormalization(), True),
}
"""Each with whether it is right: by their one-pass variance, a known finding, the others are unstable far from zero."""


KERAS_CLASSES = sorted({name.partition(",")[0].partition(" ")[0] for name in KERAS_LAYERS})


@pytest.mark.slow
@pytest.mark.parametrize("name", KERAS_LAYERS if EVERY else ("LayerNormalization, no center",))
def test_an_instance_of_keras_is_right_but_for_the_known_finding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    made, right = KERAS_LAYERS[name]
    report = of_instance(made(keras.layers))
    found = (str(report.verdict), [bug.id for bug in report.diagnosis])
    assert found == (("correct", []) if right else ("unstable", ["one-pass-variance"])), str(report)


@pytest.mark.slow
@pytest.mark.parametrize("name", KERAS_CLASSES if EVERY else ("GroupNormalization",))
def test_a_class_of_keras_is_right_but_for_the_known_finding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("keras")
    report = examined(f"keras.layers:{name}")
    right = name in ("LayerNormalization", "RMSNormalization")
    found = (str(report.verdict), [bug.id for bug in report.diagnosis])
    assert found == (("correct", []) if right else ("unstable", ["one-pass-variance"])), str(report)
