"""Frameworks as suspects: every one in every layer and mode, their conventions, their findings, and their state."""

# ruff: noqa: E501  # the table of findings reads by rows

import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import IMAGES, random_case

from bncheck.campaign.one_case import Bench
from bncheck.campaign.run import verify
from bncheck.case import Case, Layout
from bncheck.cli import run
from bncheck.examination.one_case import check
from bncheck.formats import DTYPES
from bncheck.frameworks import FRAMEWORKS, SUSPECTS, Suspect, named_frameworks, of_frameworks
from bncheck.frameworks.asking.conventions import fits
from bncheck.frameworks.asking.packages import Package
from bncheck.inputs.recipes import Recipe, completed
from bncheck.layers import LAYERS, Layer
from bncheck.oracles import ball
from bncheck.report import text
from bncheck.tolerances.bounds import computed_truth, tolerance
from bncheck.tolerances.verdicts import Comparison, Verdict, compare

EVERYTHING = ",".join(FRAMEWORKS)


def layer_of(suspect: Suspect) -> Layer:
    assert suspect.layer is not None
    return suspect.layer


def suspect_of(layer: str, name: str) -> Suspect:
    return next(s for s in SUSPECTS if (layer_of(s).name, s.name) == (layer, name))


RUNNING = {
    name: [s for s in SUSPECTS if s.framework == name and layer_of(s).name == "batch_norm_running"]
    for name in FRAMEWORKS
}


def found_by(suspect: Suspect, case: Case) -> Mapping[str, Comparison]:
    """All that a suspect answers, held against the layer."""
    layer = layer_of(suspect)
    allowed = {name: radius.radius for name, radius in tolerance(layer, case).items()}
    return compare(suspect.vjp(case), computed_truth(layer, case), allowed)


def offset_case(layer: str, dtype: str = "float32", offset: float = 1000.0, seed: int = 0) -> Case:
    """Mean 1000, standard deviation 1, twice 16 values in a group at least."""
    rng, layout = np.random.default_rng(seed), LAYERS[layer].layouts[-1 if layer == "batch_norm" else 0]
    sizes = {"N": 6, "C": 4, "H": 4, "W": 4, "L": 32, "D": 32, "G": 2, "K": 32}
    shape = tuple(sizes[axis] for axis in layout.axes)
    x = (rng.normal(size=shape) + offset).astype(dtype)
    return completed(x, LAYERS[layer], layout, rng, 1e-5, "offset")


def a_case(layer: str, layout: Layout, dtype: str, affine: bool, seed: int) -> Case:
    sizes = np.random.default_rng(seed).permutation([2, 3, 4, 5, 6])[: len(layout.axes)]
    recipe = Recipe(layout, tuple(int(n) for n in sizes), dtype, 2.0**-6, affine=affine, seed=seed)
    return recipe.build(LAYERS[layer])


def needs(*names: str) -> None:
    """Skips where a framework is missing; importing Keras to find out would choose its backend."""
    for name in names:
        if FRAMEWORKS[name].missing:
            pytest.skip(f"{FRAMEWORKS[name].missing} is not installed")


def here(suspect: Suspect) -> Suspect:
    needs(suspect.framework)
    return suspect


@pytest.mark.slow
@pytest.mark.parametrize("suspect", SUSPECTS, ids=lambda s: f"{s.layer.name}-{s.name}")
def test_every_suspect_is_right_in_every_layout_and_dtype(suspect: Suspect) -> None:
    here(suspect)
    taken, failed = 0, []
    for seed, layout in enumerate(layer_of(suspect).layouts):
        for dtype in DTYPES:
            for affine in (True, False):
                case = a_case(layer_of(suspect).name, layout, dtype, affine, seed)
                if case.settings:
                    case = replace(case, settings={**case.settings, "ddof": FRAMEWORKS[suspect.framework].ddof})
                if not suspect.takes(case):
                    continue
                found = found_by(suspect, case)
                taken += 1
                new = {f"new_{name}" for name in case.state} if case.settings else set()
                assert found.keys() >= {"y"} | new
                if not suspect.forward_only and not suspect.name.startswith("torch.func.jvp"):
                    assert set(case.gradient_names) <= found.keys()
                if not suspect.known_on(case):
                    failed += [(case.origin, name) for name, c in found.items() if c.verdict.failed]
                    assert not found["y"].verdict.failed
    assert failed == []
    assert taken >= 4


ONE_PASS = [s for s in SUSPECTS if any("E[x²]" in finding.words for finding in s.known)]


@pytest.mark.parametrize(
    "suspect", [s for s in SUSPECTS if layer_of(s).primal is None], ids=lambda s: f"{s.layer.name}-{s.name}"
)
def test_mean_1000_and_standard_deviation_1_in_float32(suspect: Suspect) -> None:
    here(suspect)
    case = offset_case(layer_of(suspect).name)
    if case.settings:
        case = replace(case, settings={**case.settings, "ddof": FRAMEWORKS[suspect.framework].ddof})
    assert suspect.takes(case)
    verdicts = {name: str(c.verdict) for name, c in found_by(suspect, case).items()}
    if suspect in ONE_PASS:
        assert suspect.known_on(case)
        follows = suspect.framework != "keras" and not suspect.forward_only  # Keras has no float64 to compare with
        expected = (Verdict.UNSTABLE,) if follows else (Verdict.UNSTABLE, Verdict.WRONG)
        assert check(suspect.vjp, case, layer=layer_of(suspect)).verdict in expected
    else:
        assert set(verdicts.values()) <= {"correct", "inconclusive"}, verdicts


FINDINGS = [
    ("rms_norm", "torch.nn.functional.rms_norm", "ND:D:D/2x2/float64/1e-05/huge/random/affine/0", "unstable", "cubes"),
    ("rms_norm", "torch.nn.RMSNorm", "ND:D:D/2x2/float64/1e-05/huge/random/affine/0", "unstable", "cubes"),
    ("batch_norm_jvp", "backward of torch.func.jvp(batch_norm)", "NC:N:C/2x1/float64/1e-05/ordinary/random/affine/0", "wrong", "constants"),
    ("layer_norm_jvp", "backward of torch.func.jvp(layer_norm)", "ND:D:D/1x2/float64/1e-05/ordinary/random/affine/0", "wrong", "constants"),
    ("instance_norm_jvp", "backward of torch.func.jvp(instance_norm)", "NCL:L:C/1x1x2/float64/1e-05/ordinary/random/affine/0", "wrong", "constants"),
    ("batch_norm_jvp", "torch.func.jvp(batch_norm)", "NCL:NL:C/2x4x2/float16/0.001/tiny-variance/random/affine/0", "unstable", "float16"),
    ("batch_norm", "flax.nnx.BatchNorm, two-pass", "NC:N:C/2x1/float64/1e-05/huge/random/affine/8962078", "unstable", "cubes"),
    ("layer_norm", "flax.nnx.LayerNorm", "ND:D:D/1x2/float32/1e-05/large-offset/random/affine/0", "unstable", "cancels"),
    ("group_norm", "flax.nnx.GroupNorm", "NGK:K:GK/1x1x2/float32/1e-05/large-offset/random/affine/0", "unstable", "cancels"),
    ("group_norm", "onnxruntime GroupNormalization", "NGK:K:GK/1x1x2/float32/1e-05/large-offset/random/affine/0", "unstable", "cancels"),
    ("batch_norm", "keras.layers.BatchNormalization", "NC:N:C/2x1/float32/1e-05/large-offset/random/affine/0", "unstable", "cancels"),
]  # fmt: skip
"""Layer, suspect, the smallest case, how it is judged there, and a word of what is said of it."""


@pytest.mark.parametrize(
    ("layer", "name", "recipe", "verdict", "word"), FINDINGS, ids=[f"{f[1]}-{f[4]}" for f in FINDINGS]
)
def test_known_findings_are_still_found(layer: str, name: str, recipe: str, verdict: str, word: str) -> None:
    suspect = suspect_of(layer, name)
    assert suspect is not None
    here(suspect)
    case = Recipe.parse(recipe).build(LAYERS[layer])
    assert str(check(suspect.vjp, case, layer=LAYERS[layer]).verdict) == verdict
    assert word in suspect.known_on(case)
    report = verify([LAYERS[layer]], against=[suspect.framework], only=Recipe.parse(recipe))
    assert report.layers[0].result.known[name, suspect.known_on(case)] == 1
    assert report.counterexample is None
    assert f"known         {name}, on 1 of" in text.verification(report)


def test_reverse_over_forward_is_told_from_finite_differences_too() -> None:
    """The largest finding, seen without bncheck's own second order."""
    needs("torch")
    suspect = suspect_of("batch_norm_jvp", "torch.func.jvp(batch_norm)")
    other = suspect_of("batch_norm_jvp", "backward of torch.func.jvp(batch_norm)")
    assert suspect is not None
    assert other is not None
    case = a_case("batch_norm_jvp", Layout("NC", "N", "C"), "float64", True, 1)
    step = np.zeros_like(case.x)
    step[0, 0] = 1e-5
    above, below = (suspect.vjp(replace(case, x=case.x + sign * step))["y"] for sign in (1, -1))
    slope = float(((above - below) * case.dy).sum() / 2e-5)
    assert abs(ball.vjp(LAYERS["batch_norm_jvp"], case)["dx"].value[0, 0] - slope) < 1e-6 * abs(slope)
    assert abs(other.vjp(case)["dx"][0, 0] - slope) > 1e-2 * abs(slope)


def _defaults(call: Any) -> Mapping[str, Any]:
    return {name: parameter.default for name, parameter in inspect.signature(call).parameters.items()}


def test_conventions_are_those_of_what_is_installed() -> None:
    needs(*FRAMEWORKS)
    torch, nnx, onnx = (importlib.import_module(name) for name in ("torch", "flax.nnx", "onnx"))
    keras = importlib.import_module("bncheck.frameworks.keras").keras
    attributes = onnx.defs.get_schema("BatchNormalization", 15).attributes
    told = {
        "torch": (_defaults(torch.nn.BatchNorm2d)["eps"], _defaults(torch.nn.BatchNorm2d)["momentum"]),
        "jax": (_defaults(nnx.BatchNorm.__init__)["epsilon"], _defaults(nnx.BatchNorm.__init__)["momentum"]),
        "keras": (keras.layers.BatchNormalization().epsilon, keras.layers.BatchNormalization().momentum),
        "onnxruntime": (attributes["epsilon"].default_value.f, attributes["momentum"].default_value.f),
    }
    for name, (eps, momentum) in told.items():
        assert (FRAMEWORKS[name].eps, FRAMEWORKS[name].momentum) == pytest.approx((eps, momentum), rel=1e-6)


@pytest.mark.parametrize("name", FRAMEWORKS)
@pytest.mark.parametrize(
    ("wrong", "where"),
    [("weighs", {"new_running_mean", "new_running_var"}), ("ddof", {"new_running_var"}), ("channels", {"y"})],
)
def test_a_wrong_convention_is_caught(name: str, wrong: str, where: set[str]) -> None:
    framework, suspect = FRAMEWORKS[name], here(RUNNING[name][0])
    rng, cube = np.random.default_rng(0), Layout("NCHW", "NHW", "C")
    case = completed(rng.normal(size=(3, 3, 3, 3)), LAYERS["batch_norm_running"], cube, rng, 1.0, "cube")
    case = replace(case, settings={"new_weight": 0.125, "ddof": framework.ddof})
    assert not any(c.verdict.failed for c in found_by(suspect, case.astype(np.float32)).values())
    if wrong == "ddof":
        case = replace(case, settings={"new_weight": 0.125, "ddof": 1 - framework.ddof})
        assert not suspect.takes(case)
        found = found_by(suspect, case.astype(np.float32))
    else:
        weighs = "old" if framework.weighs == "new" else "new"
        channels = "last" if framework.channels == "first" else "first"
        mistaken = replace(framework, weighs=weighs) if wrong == "weighs" else replace(framework, channels=channels)
        module = importlib.import_module(f"bncheck.frameworks.{name}")
        way = "functional" if name == "torch" else "two-pass"
        posed = Suspect("mistaken", lambda c: module.answer(way, mistaken.pose(c, layer_of(suspect))), suspect.layer)
        found = found_by(posed, case.astype(np.float32))
    assert {key for key, c in found.items() if c.verdict.failed} >= where


def test_cumulative_average_weighs_the_new_batch_by_one_over_t() -> None:
    torch = pytest.importorskip("torch")
    suspect = suspect_of("batch_norm_running", "torch.nn.BatchNorm(momentum=None)")
    assert suspect is not None
    case = random_case((6, 4))
    bn, batches = torch.nn.BatchNorm1d(4, momentum=None, dtype=torch.float64), [case.x, case.x + 1, 3 * case.x, -case.x]
    for batch in batches[:-1]:
        bn(torch.tensor(batch))
    state = {"running_mean": bn.running_mean.numpy().copy(), "running_var": bn.running_var.numpy().copy()}
    bn(torch.tensor(batches[-1]))
    last = Case(case.layout, batches[-1], case.dy, {}, state=state, settings={"new_weight": 1 / 4, "ddof": 1})
    assert suspect.takes(last)
    np.testing.assert_allclose(suspect.vjp(last)["new_running_var"], bn.running_var.numpy(), rtol=1e-14)


@pytest.mark.parametrize("training", [True, False])
def test_a_module_is_left_as_it_was(training: bool) -> None:
    torch = pytest.importorskip("torch")
    from bncheck.frameworks.torch import module

    bn = torch.nn.BatchNorm2d(3, dtype=torch.float64).train(training)
    bn(torch.randn(4, 3, 2, 2, dtype=torch.float64))
    before = {name: value.clone() for name, value in bn.state_dict().items()}
    held = {name: id(value) for name, value in (*bn.named_parameters(), *bn.named_buffers())}
    layer = LAYERS["batch_norm_running" if training else "batch_norm_eval"]
    settings = {"new_weight": 0.1, "ddof": 1} if training else {}
    case = random_case((4, 3, 8, 8))
    case = replace(case, settings=settings, state={"running_mean": np.ones(3), "running_var": np.full(3, 2.0)})
    assert check(module(bn, layer), case, layer=layer).verdict is Verdict.CORRECT
    if training:
        assert check(module(bn), replace(case, settings={}, state={})).verdict is Verdict.CORRECT
    assert bn.training is training
    assert {name: id(value) for name, value in (*bn.named_parameters(), *bn.named_buffers())} == held
    assert all(torch.equal(value, before[name]) for name, value in bn.state_dict().items())
    assert all(parameter.grad is None for parameter in bn.parameters())
    bn.train(not training)
    assert check(module(bn, layer), case, layer=layer).verdict is not Verdict.CORRECT


def test_settings_of_the_process_are_left_alone() -> None:
    needs(*FRAMEWORKS)
    torch, jax = importlib.import_module("torch"), importlib.import_module("jax")
    before = (torch.get_num_threads(), jax.config.jax_enable_x64, dict(os.environ))
    for suspect in SUSPECTS:
        if layer_of(suspect).name == "batch_norm":
            suspect.vjp(random_case())
    assert (torch.get_num_threads(), jax.config.jax_enable_x64, dict(os.environ)) == before


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_keras_that_is_imported_already_keeps_its_backend(backend: str) -> None:
    needs("keras", backend)
    code = (
        "import keras; from bncheck.layers import LAYERS; from bncheck.campaign.run import verify;"
        "report = verify([LAYERS[n] for n in ('batch_norm_running', 'layer_norm')], cases=6, dtypes=('float32',),"
        " real_data=False, against=['keras']);"
        "print(keras.backend.backend(), *[report.layers[k].result.tallies[n].verdict for k, n in"
        " enumerate(('keras.layers.BatchNormalization', 'keras.layers.LayerNormalization'))])"
    )
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == [backend, "correct", "correct"]


def test_only_what_is_named_is_compared_and_imported() -> None:
    code = (
        "import sys; from bncheck.campaign.run import verify; from bncheck.layers import LAYERS; from bncheck.frameworks import"
        " SUSPECTS; r = verify([LAYERS['batch_norm']], cases=2, real_data=False); assert r.layers[0].suspects == ();"
        "print(*[n for n in ('torch', 'jax', 'flax', 'keras', 'onnx', 'onnxruntime') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_layer_of_ones_own_and_an_odd_layout_have_no_suspects() -> None:
    pytest.importorskip("torch")
    own = replace(LAYERS["batch_norm"], title="layer_norm")
    assert of_frameworks(own, ["torch"]) == []
    assert len(of_frameworks(LAYERS["batch_norm"], ["torch"])) == 2
    odd = Case(Layout("NLD", "D", "L"), np.ones((2, 3, 4)), np.ones((2, 3, 4)))
    assert not any(fits(odd, LAYERS[layer]) for layer in ("batch_norm", "layer_norm_jvp", "group_norm"))
    assert not suspect_of("batch_norm", "torch.nn.BatchNorm").takes(random_case((1, 4)))


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_what_is_missing_takes_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    framework = FRAMEWORKS[name]
    monkeypatch.setattr("bncheck.frameworks.asking.conventions.installed", lambda package: False)
    assert run(["verify", "--against", name]) == 2
    said = capsys.readouterr()
    missing = framework.packages[0][0]
    assert said.out == ""
    assert said.err == (
        f"bncheck: {missing} is not installed, expected for --against {name}."
        f" Run: pip install 'bncheck[{framework.extra}]'.\n"
    )
    assert run(["doctor"]) == 0


def test_one_of_several_packages_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bncheck.frameworks.asking.conventions.installed", lambda package: package in ("keras", "jax"))
    assert named_frameworks(["keras"]) == (FRAMEWORKS["keras"],)
    assert FRAMEWORKS["jax"].missing == "flax"


@pytest.mark.slow
def test_all_four_take_part_in_one_campaign(capsys: pytest.CaptureFixture[str]) -> None:
    needs(*FRAMEWORKS)
    assert run(["verify", "--layer", "rms_norm", "--cases", "6", "--against", EVERYTHING]) == 0
    shown = capsys.readouterr().out
    for name in ("torch.nn.RMSNorm", "flax.nnx.RMSNorm", "keras.layers.RMSNormalization"):
        assert f"  {name}" in shown
    assert "  forward only  onnxruntime RMSNormalization: has no gradient, what it returns" in shown


def test_a_counterexample_names_its_framework() -> None:
    layer = LAYERS["layer_norm"]
    case = Recipe.parse("ND:D:D/2x4/float32/1e-05/ordinary/random/affine/0").build(layer)
    theirs = Suspect("torch.nn.LayerNorm", lambda case: {"dx": np.zeros_like(case.x)}, layer, "torch")
    (failure,) = Bench(layer, (theirs,)).examine(case).failures
    assert failure.framework == "torch"
    command = text.reproduce(failure)
    assert command == f"python -m bncheck verify --layer layer_norm --against torch --case {case.origin}"


@pytest.mark.slow
def test_the_number_of_processes_does_not_matter() -> None:
    pytest.importorskip("torch")
    layers = [LAYERS["rms_norm"], LAYERS["batch_norm_running"]]
    one, two = (verify(layers, cases=25, seed=3, real_data=False, against=["torch"], jobs=n) for n in (1, 2))
    assert one == two


def test_a_wrong_autograd_function_is_caught() -> None:
    torch = pytest.importorskip("torch")

    class NoMeanPath(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            inv_std = 1 / torch.sqrt(x.var(dim=(0, 2, 3), keepdim=True, unbiased=False) + 1e-5)
            xhat = (x - x.mean(dim=(0, 2, 3), keepdim=True)) * inv_std
            ctx.save_for_backward(xhat, inv_std)
            return xhat

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            xhat, inv_std = ctx.saved_tensors
            return inv_std * (dy - xhat * (dy * xhat).mean(dim=(0, 2, 3), keepdim=True))

    def vjp(case: Case) -> dict[str, np.ndarray[Any, Any]]:
        x = torch.from_numpy(case.x.copy()).requires_grad_()
        y = NoMeanPath.apply(x)
        y.backward(torch.from_numpy(case.dy.copy()))
        return {"y": y.detach().numpy(), "dx": x.grad.numpy()}

    case = random_case((4, 3, 8, 8))
    found = check(vjp, Case(IMAGES, case.x, case.dy))
    assert found.gradients["y"].conforms is Verdict.CORRECT
    assert found.gradients["dx"].conforms is Verdict.WRONG


def test_the_definition_flows_through_jax() -> None:
    jax = pytest.importorskip("jax")
    layer, case = LAYERS["batch_norm"], random_case((4, 3, 2, 2), eps=0.01)
    axes = case.layout.reduced_axes

    def forward(x: Any, gamma: Any, beta: Any) -> Any:
        parameters = {"gamma": gamma[:, None, None], "beta": beta[:, None, None]}
        mean = lambda a: a.mean(axis=axes, keepdims=True)  # noqa: E731
        return layer.forward(x, parameters, case.eps, mean=mean, sqrt=jax.numpy.sqrt)["y"]

    truth = ball.vjp(layer, case)
    with jax.enable_x64(True):
        y, pull = jax.vjp(forward, case.x, *case.parameters.values())
        for name, got in zip(("y", "dx", "dgamma", "dbeta"), (y, *pull(jax.numpy.asarray(case.dy))), strict=True):
            assert (truth[name].distance(np.asarray(got)) < 1e-13).all(), name


def test_looking_behind_a_package_does_not_import_it() -> None:
    imported: list[str] = []
    package = Package("nowhere", imported.append)
    assert not hasattr(package, "__wrapped__")
    assert not imported
