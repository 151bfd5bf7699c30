"""Anybody's correct implementation is recognised, asked in its own way, and found correct."""

import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bncheck.case import Array, Case, Layout
from bncheck.errors import InvalidInput, MissingPackage, TargetFailed
from bncheck.examination.one_case import check
from bncheck.layers import LAYERS
from bncheck.targets.address import Address
from bncheck.targets.calls import Target, fixed_sizes, parameter_shapes
from bncheck.targets.child.binding import Place
from bncheck.targets.child.gradients import found
from bncheck.targets.child.roles import FORWARD, Unbound, assigned, gradient_role, role, roles_of
from bncheck.targets.child.spoken import backward_roles
from bncheck.targets.child.styles import evaluating
from bncheck.targets.opening import adapter, open_target
from bncheck.targets.recognition import hinted
from bncheck.tolerances.verdicts import Verdict

ZOO = Path(__file__).parent / "targets"


@dataclass(frozen=True)
class Known:
    """What is known about a target of the zoo."""

    words: str
    layer: str
    layouts: str
    observations: dict[str, Any]
    eps: float | None = None


AS_GIVEN = {"eps": "as given", "eps_place": "inside the root", "variance": "biased"}
OLD = {"new_weight": 0.1, "momentum": "weight of the old", "running_variance": "biased"}
STORED = {"evaluation": "running statistics"}
PAIR = "a pair of functions"
CLASS = "a class with forward and backward (class)"
BOTH = "NC:N:C NCHW:N:CHW"
LAST = "ND:D:D NLD:D:D"

KNOWN = {
    "textbook.py:BatchNormalization": Known(
        CLASS,
        "batch_norm",
        BOTH,
        {"eps": 1e-6, "eps_place": "inside the root", "statistics": "per activation", **OLD, **STORED},
        eps=1e-6,
    ),
    "course.py:batchnorm_forward+batchnorm_backward": Known(
        PAIR, "batch_norm", "NC:N:C", {**AS_GIVEN, **OLD, **STORED, "statistics": "per feature"}
    ),
    "course.py:batchnorm_forward+batchnorm_backward_alt": Known(PAIR, "batch_norm", "NC:N:C", AS_GIVEN),
    "course.py:spatial_batchnorm_forward+spatial_batchnorm_backward": Known(
        PAIR, "batch_norm", "NCHW:NHW:C", {**AS_GIVEN, **OLD, **STORED, "statistics": "per channel"}
    ),
    "course.py:layernorm_forward+layernorm_backward": Known(
        PAIR, "layer_norm", "ND:D:D", {**AS_GIVEN, "statistics": "per sample"}
    ),
    "course.py:spatial_groupnorm_forward+spatial_groupnorm_backward": Known(
        PAIR, "group_norm", "NGKHW:KHW:GK", AS_GIVEN
    ),
    "grads_dict.py:BatchNorm1d": Known(
        CLASS,
        "batch_norm",
        "NC:N:C",
        {**AS_GIVEN, **STORED, "new_weight": 0.01, "momentum": "weight of the old", "running_variance": "unbiased"},
    ),
    "honest.py:forward+backward": Known(PAIR, "batch_norm", BOTH, {**AS_GIVEN, "evaluation": "none"}),
    "keyword_eps.py:forward+backward": Known(PAIR, "batch_norm", "NC:N:C", AS_GIVEN),
    "no_zero_term.py:bn_fwd+bn_bwd": Known(PAIR, "batch_norm", BOTH, AS_GIVEN),
    "channels_last.py:batch_norm_nhwc+batch_norm_nhwc_backward": Known(PAIR, "batch_norm", "NHWC:NHW:C", AS_GIVEN),
    "switchable.py:BatchNorm2d": Known(
        CLASS,
        "batch_norm",
        "NCHW:NHW:C",
        {**AS_GIVEN, **STORED, "new_weight": 0.1, "momentum": "weight of the new", "running_variance": "unbiased"},
    ),
    "columns.py:batchnorm_forward+batchnorm_backward": Known(PAIR, "batch_norm", "CN:N:C", AS_GIVEN),
    "parameters.py:LayerNorm": Known(CLASS, "layer_norm", LAST, AS_GIVEN),
    "called.py:BatchNorm": Known(CLASS, "batch_norm", BOTH, AS_GIVEN),
    "called.py:GroupNorm": Known(CLASS, "group_norm", "NGKHW:KHW:GK", AS_GIVEN),
    "rms.py:RMSNorm": Known(CLASS, "rms_norm", LAST, {"eps": 1e-8, "eps_place": "inside the root"}, eps=1e-8),
    "instance.py:instance_norm_forward+instance_norm_backward": Known(PAIR, "instance_norm", "NCHW:HW:C", AS_GIVEN),
    "adapter.py:vjp": Known("an adapter in bncheck's own form", "batch_norm", "NC:N:C", AS_GIVEN),
    "torch_module.py:layer": Known(
        "a torch nn.Module (instance)",
        "batch_norm",
        "NCHW:NHW:C",
        {**AS_GIVEN, **STORED, "new_weight": 0.1, "momentum": "weight of the new", "running_variance": "unbiased"},
    ),
    "torch_written.py:MyLayerNorm": Known("a torch nn.Module (class)", "layer_norm", LAST, AS_GIVEN),
    "torch_written.py:BatchNormFunction": Known("a torch.autograd.Function", "batch_norm", BOTH, AS_GIVEN),
    "torch_written.py:group_norm": Known(
        "a forward function, differentiated by torch",
        "group_norm",
        "NGK:K:GK NGKL:KL:GK NGKHW:KHW:GK",
        {**AS_GIVEN, "statistics": "per sample"},
    ),
    "jax_written.py:batch_norm": Known("a JAX function with custom_vjp", "batch_norm", BOTH, AS_GIVEN),
    "jax_written.py:layer_norm": Known("a forward function, differentiated by jax", "layer_norm", LAST, AS_GIVEN),
}
"""Every correct target of the zoo."""

FILES = sorted({name.partition(":")[0] for name in KNOWN})


def needs(file: str) -> None:
    package = file.partition("_")[0]
    if package in ("torch", "jax"):
        pytest.importorskip(package)


def random_case(target: Target, layout: Layout, dtype: str = "float64", seed: int = 0) -> Case:
    rng = np.random.default_rng(seed)
    sizes = {**dict(zip("NCLDHWGK", (8, 4, 3, 6, 3, 2, 2, 3), strict=True)), **target.fixed_sizes(layout)}
    shape = tuple(sizes[axis] for axis in layout.axes)
    stored = layout.parameter_shape(shape)
    drawn = {"gamma": rng.normal(size=stored), "beta": rng.normal(size=stored)}
    x, dy = rng.normal(size=(2, *shape))
    return target.adapted(Case(layout, x, dy, drawn).astype(np.dtype(dtype)))


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_every_correct_target_is_recognised_and_found_correct(file: str) -> None:
    needs(file)
    with open_target(str(ZOO / file)) as targets:
        assert [target.name for target in targets] == [name for name in KNOWN if name.startswith(f"{file}:")]
        for target in targets:
            known = KNOWN[target.name]
            assert target.failure is None
            assert target.recognised_as.startswith(known.words)
            assert target.layer.name == known.layer
            assert " ".join(map(str, target.layouts)) == known.layouts
            assert target.eps == known.eps
            assert target.dtypes == ("float64", "float32", "float16")
            assert known.observations.items() <= target.observations.items()
            habits = {name: target.observations[name] for name in ("repeatable", "mutates", "surroundings")}
            assert habits == {"repeatable": True, "mutates": [], "surroundings": []}
            assert target.observations["dtype_changed"] == {}
            assert target.observations.get("interleaved", True)
            for layout in target.layouts:
                case = random_case(target, layout)
                assert target.takes(case)
                found = check(target.vjp, case, forward=target.forward_of(case), layer=target.layer)
                assert set(found.gradients) == {"y", *case.gradient_names}
                assert found.verdict is Verdict.CORRECT
            single = random_case(target, target.layout, "float32")
            assert check(target.vjp, single, layer=target.layer).verdict is Verdict.CORRECT


def test_torch_batch_norm_on_images_of_the_usual_size() -> None:
    pytest.importorskip("torch")
    with open_target(str(ZOO / "torch_module.py")) as (target,):
        assert target.fixed_sizes() == {"C": 3}
        rng = np.random.default_rng(0)
        x, dy = rng.normal(size=(2, 32, 3, 64, 64))
        gamma, beta = rng.normal(size=(2, 3))
        case = Case(target.layout, x, dy, {"gamma": gamma, "beta": beta})
        assert check(target.vjp, case).verdict is Verdict.CORRECT
        assert not target.takes(random_case(target, Layout("NC", "N", "C")))


def test_eps_outside_the_root_is_consistent_and_does_not_conform() -> None:
    with open_target(str(ZOO / "eps_outside.py")) as (target,):
        assert target.observations["eps_place"] == "outside the root"
        assert target.observations["variance"] == "unbiased"
        case = random_case(target, target.layout)
        found = check(target.vjp, case, forward=target.forward_of(case))
    assert {finding.consistent for finding in found.gradients.values()} == {Verdict.CORRECT, None}
    assert found.gradients["y"].conforms is Verdict.WRONG


MUTANTS = {
    "mean_path_missing": ("(g - g.mean(0) - xhat", "(g - xhat"),
    "gamma_missing": ("g = dy * gamma", "g = dy"),
    "ddof": ("x.var(0)", "x.var(0, ddof=1)"),
    "reduced_by_mean": ("dy.sum(0)", "dy.mean(0)"),
    "axis_wrong": ("g.mean(0)", "g.mean()"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_target_is_recognised_all_the_same_and_found_wrong(mutant: str, tmp_path: Path) -> None:
    text = (ZOO / "honest.py").read_text()
    right, wrong = MUTANTS[mutant]
    assert right in text
    (tmp_path / "mine.py").write_text(text.replace(right, wrong))
    with open_target(str(tmp_path / "mine.py")) as (target,):
        assert (target.layer.name, str(target.layout)) == ("batch_norm", "NC:N:C")
        assert check(target.vjp, random_case(target, target.layout)).verdict is Verdict.WRONG


def test_a_name_picks_one_of_several() -> None:
    for name, count in (("batchnorm_forward", 2), ("batchnorm_backward_alt", 1), ("layernorm", 1)):
        with open_target(f"{ZOO / 'course.py'}:{name}") as targets:
            assert len(targets) == count


def test_a_module_is_addressed_by_its_dotted_name() -> None:
    pytest.importorskip("torch")
    with open_target("torch.nn:LayerNorm") as (target,):
        assert (target.name, target.layer.name, target.failure) == ("torch.nn:LayerNorm", "layer_norm", None)
        assert target.parameters == ("gamma", "beta")


def test_flags_override_what_was_recognised() -> None:
    with open_target(str(ZOO / "honest.py"), layer="batch_norm", layout=Layout.parse("NCHW:N:CHW")) as (target,):
        assert [str(layout) for layout in target.layouts] == ["NCHW:N:CHW"]
    with open_target(str(ZOO / "course.py"), layer="layer_norm") as targets:
        assert {target.layer.name for target in targets} == {"layer_norm"}
    with pytest.raises(InvalidInput, match="Did you mean layer_norm"), open_target("x.py", layer="layernorm"):
        pass
    with pytest.raises(InvalidInput), open_target(str(ZOO / "course.py"), style="torch"):
        pass


def test_what_is_not_recognised_is_refused_with_the_way_to_an_adapter(tmp_path: Path) -> None:
    for path in (ZOO / "odd.py", ZOO / "hostile" / "nothing_to_call.py"):
        with pytest.raises(InvalidInput, match="write an adapter"), open_target(str(path)):
            pass
    (tmp_path / "strange.py").write_text("def batchnorm_forward(x, gamma, beta, wibble):\n    return wibble.of(x)\n")
    with open_target(str(tmp_path / "strange.py")) as (target,):
        assert target.failure is not None


def test_the_adapter_to_start_from_works_as_it_stands_for_the_usual_pair(tmp_path: Path) -> None:
    (tmp_path / "honest.py").write_bytes((ZOO / "honest.py").read_bytes())
    text = adapter(str(tmp_path / "honest.py"))
    assert len(text.splitlines()) <= 14
    (tmp_path / "mine.py").write_text(text)
    with open_target(str(tmp_path / "mine.py")) as (target,):
        assert check(target.vjp, random_case(target, target.layout)).verdict is Verdict.CORRECT


def test_a_file_that_does_not_parse_says_where(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def forward(x, gamma)\n    return x\n")
    told = r"broken\.py raised SyntaxError: .*line 1"
    with pytest.raises(TargetFailed, match=told), open_target(str(tmp_path / "broken.py")):
        pass


def test_a_target_that_fails_its_trial_is_reported_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "def batchnorm_forward(x, gamma, beta, eps):\n    return undefined\n\n\n"
        "def batchnorm_backward(dy, cache):\n    return dy\n"
    )
    with open_target(str(tmp_path / "broken.py")) as (target,):
        assert target.failure is not None
        assert "NameError: name 'undefined' is not defined (line 2)" in str(target.failure)
        with pytest.raises(TargetFailed, match="undefined"):
            target.forward(np.ones((8, 4)), {})


def test_a_silent_change_of_dtype_is_observed(tmp_path: Path) -> None:
    text = (ZOO / "honest.py").read_text()
    (tmp_path / "upcasts.py").write_text(text.replace("std = np.sqrt", "x = x.astype(np.float64)\n    std = np.sqrt"))
    with open_target(str(tmp_path / "upcasts.py")) as (target,):
        assert target.dtypes == ("float64", "float32", "float16")
        assert target.observations["dtype_changed"]["float32"]["y"] == "float64"
    (tmp_path / "narrow.py").write_text(text.replace("std = np.sqrt", "x = x.astype(np.float32)\n    std = np.sqrt", 1))
    with open_target(str(tmp_path / "narrow.py")) as (target,):
        assert target.observations["narrows"] == ["float64"]
        assert "float64" not in target.dtypes


@pytest.mark.parametrize("text", ["", "a b", "no/such/file.py", ":name", "pack-age.module"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="target="):
        Address.parse(text)


def test_frameworks_are_read_off_the_text_without_running_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import jax.numpy as jnp\nfrom torch import nn\nraise SystemExit\n")
    assert Address(str(file)).frameworks() == ("torch", "jax")
    assert Address("torch.nn", "BatchNorm2d").frameworks() == ("torch",)


def test_an_onnx_file_without_onnx_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match="pip install"), open_target(str(tmp_path / "model.onnx")):
        pass


def test_an_onnx_model_is_a_forward_alone(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    ones, zeros = np.ones(5, np.float32), np.zeros(5, np.float32)
    held = [onnx.numpy_helper.from_array(value, name) for value, name in ((ones, "s"), (zeros, "b"))]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 5]) for name in ("X", "Y")]
    node = onnx.helper.make_node("LayerNormalization", ["X", "s", "b"], ["Y"], epsilon=1e-4)
    graph = onnx.helper.make_graph([node], "graph", ends[:1], ends[1:], held)
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset), str(tmp_path / "ln.onnx"))
    with open_target(str(tmp_path / "ln.onnx")) as (target,):
        assert (target.layer.name, target.has_backward, target.eps) == ("layer_norm", False, 1e-4)
        assert target.dtypes == ("float32",)
        case = random_case(target, target.layout, "float32")
        assert check(target.vjp, case, layer=LAYERS["layer_norm"]).gradients["y"].conforms is Verdict.CORRECT


FRAMEWORK_FILES = {
    "flax": "import flax.linen as nn\n\nlayer = nn.BatchNorm()\n",
    "keras": "import keras\n\nlayer = keras.layers.BatchNormalization()\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("package", FRAMEWORK_FILES)
def test_a_layer_of_a_framework_is_recognised(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    for name in (package, "torch" if package == "keras" else "jax"):
        if importlib.util.find_spec(name) is None:  # the child alone imports it
            pytest.skip(f"{name} is not installed")
    (tmp_path / "mine.py").write_text(FRAMEWORK_FILES[package])
    with open_target(str(tmp_path / "mine.py")) as (target,):
        assert (target.layer.name, target.parameters) == ("batch_norm", ("gamma", "beta"))
        assert target.observations["momentum"] == "weight of the old"
        assert target.observations["evaluation"] == "running statistics"
        case = random_case(target, target.layout, "float32")
        assert check(target.vjp, case).verdict is Verdict.CORRECT


def test_two_runs_say_the_same() -> None:
    code = (
        "from bncheck.targets.opening import open_target\n"
        f"with open_target({str(ZOO / 'course.py')!r}) as found:\n"
        "    print([(t.name, t.recognised_as, t.layouts, t.dtypes, t.eps, t.observations) for t in found])\n"
    )
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)}
    assert len(runs) == 1


def test_calls_are_bound_by_role() -> None:
    def forward(inp: Array, g: Array, b: Array, *, variance_epsilon: float = 1e-3, extra: int = 3) -> tuple[Any, ...]:
        return inp, g, b, variance_epsilon, extra

    given = {"x": 1, "gamma": 2, "beta": 3, "eps": 4, "groups": 5}
    assert assigned(forward, roles_of(forward, FORWARD, "x"), given) == ((1, 2, 3, 4, 3), {"x", "gamma", "beta", "eps"})

    def backward(dout: Array, xmu: Array, ivar: Array, gamma: Array) -> tuple[Any, ...]:
        return dout, xmu, ivar, gamma

    values = {"dy": 1, "gamma": 2, "kept 0": 7, "kept 1": 8}
    assert assigned(backward, backward_roles(backward, (7, 8)), values)[0] == (1, 7, 8, 2)
    with pytest.raises(Unbound, match="xmu"):
        assigned(backward, backward_roles(backward, (7, 8, 9)), values)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("num_features", "size"),
        ("bn_param", "options"),
        ("train_flg", "training"),
        ("moving_variance", "running_var"),
        ("Weight", "gamma"),
        ("w", "gamma"),
        ("gamma2", "gamma"),
        ("alphabet", ""),
    ],
)
def test_roles_of_names(name: str, expected: str) -> None:
    assert role(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dgamma", "dgamma"),
        ("grad_weight", "dgamma"),
        ("bias_grad", "dbeta"),
        ("d_beta", "dbeta"),
        ("dx", "dx"),
        ("gamma", ""),
        ("delta", ""),
    ],
)
def test_roles_of_gradients(name: str, expected: str) -> None:
    assert gradient_role(name) == expected


def test_what_a_backward_returns_is_told_by_name_or_by_what_it_follows() -> None:
    x_shaped, one, other = np.ones((4, 3)), np.ones(3), np.full(3, 2.0)

    def places(pool: dict[Place, Array], names: list[str], of_x: Array) -> dict[str, Place]:
        again: dict[str, dict[Place, Array]] = {
            "dy": {place: 2 * value for place, value in pool.items()},
            "x": pool,
            "gamma": pool,
            "other x": {place: value + (value is of_x) for place, value in pool.items()},
        }
        return found(pool, (4, 3), {"gamma": 3, "beta": 3}, names, lambda change: again[next(iter(change))])

    inside: list[Place] = [("answer", (("item", k),)) for k in range(3)]
    dx, first, second = inside
    pool: dict[Place, Array] = {dx: x_shaped, first: one, second: other}
    assert places(pool, ["dx", "dgamma", "dbeta"], other) == {"dx": dx, "dgamma": first, "dbeta": second}
    assert places(pool, [], one) == {"dx": dx, "dgamma": first, "dbeta": second}
    assert places(pool, [], other) == {"dx": dx, "dgamma": second, "dbeta": first}


def test_an_argument_that_two_roles_could_claim_is_told_by_the_others() -> None:
    def forward(x: Array, gamma: Array, beta: Array, G: int) -> None: ...  # noqa: N803  # as in courses

    def shifted(x: Array, g: Array, b: Array) -> None: ...

    assert roles_of(forward, FORWARD, "x")["G"] == "groups"
    assert roles_of(shifted, FORWARD, "x")["g"] == "gamma"


def test_parameters_are_shown_in_the_shapes_that_people_use() -> None:
    shapes = parameter_shapes(Layout("NGKHW", "KHW", "GK"), (5, 2, 3, 4, 4))
    assert shapes == {"flat": (6,), "kept": (1, 6, 1, 1), "row": (1, 6), "stored": (2, 3), "case": (2, 3)}
    assert fixed_sizes(Layout("NCHW", "NHW", "C"), (3, 4), 0) is None


def test_the_word_for_evaluation_is_that_of_the_code() -> None:
    class Switched:
        def forward(self, x: Array, mode: str) -> Array:
            return self.inner(x, mode)

        def inner(self, x: Array, mode: str) -> Array:
            return x if mode == "inference" else -x

    assert evaluating(Switched().forward) == ("inference", True)
    assert evaluating(lambda x, mode: x if mode == "train" else -x) == ("test", True)
    assert evaluating(lambda x: x) == ("test", False)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("BatchNormSchicht", "batch_norm"),
        ("batchnorms", "batch_norm"),
        ("LayerNormSlow", "layer_norm"),
        ("MyRMSNorm", "rms_norm"),
        ("LlamaRmsNorm", "rms_norm"),
        ("rmsnorm_forward", "rms_norm"),
        ("torch_rms", "rms_norm"),
    ],
)
def test_a_name_speaks_of_a_layer_by_its_words(name: str, layer: str) -> None:
    assert hinted(name, "mine.py") == [LAYERS[layer]]
