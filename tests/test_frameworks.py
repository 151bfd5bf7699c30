"""PyTorch as a suspect, and the definition itself flowing through JAX and PyTorch arrays."""

from typing import Any

import numpy as np
import pytest
from conftest import IMAGES, random_case

from bncheck.case import Case, Layout
from bncheck.checks import check
from bncheck.compare import Verdict
from bncheck.formats import DTYPES
from bncheck.layers import LAYERS
from bncheck.oracles import ball
from bncheck.suspects import SUSPECTS, installed_for
from bncheck.verify import verify

LAYER = LAYERS["batch_norm"]


def test_torch_is_correct_in_every_dtype_and_layout() -> None:
    pytest.importorskip("torch")
    suspect = SUSPECTS["torch.nn.functional.batch_norm"]
    assert suspect in installed_for(LAYER)
    rng = np.random.default_rng(0)
    for dtype in DTYPES:
        for layout in LAYER.layouts:
            shape = tuple(int(n) for n in rng.integers(2, 5, size=len(layout.axes)))
            sizes = layout.parameter_shape(shape)
            x, dy = rng.normal(size=(2, *shape)).astype(dtype)
            gamma, beta = rng.normal(size=(2, *sizes)).astype(dtype)
            for parameters in ({"gamma": gamma, "beta": beta}, {}):
                found = check(suspect.vjp, Case(layout, x, dy, parameters))
                assert not found.verdict.failed
                assert found.conforms["y"].verdict is Verdict.CORRECT


def test_torch_takes_part_in_the_campaign_and_single_values_are_not_put_to_it() -> None:
    pytest.importorskip("torch")
    tallies = verify((LAYER,), cases=40, real_data=False).layers[0].result.tallies
    assert tallies["torch.nn.functional.batch_norm"].verdict is Verdict.CORRECT
    assert not SUSPECTS["torch.nn.functional.batch_norm"].takes(random_case((1, 4)))


def test_torch_keeps_its_threads() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    SUSPECTS["torch.nn.functional.batch_norm"].vjp(random_case())
    assert torch.get_num_threads() == before


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
    assert found.conforms["y"].verdict is Verdict.CORRECT
    assert found.conforms["dx"].verdict is Verdict.WRONG


def test_the_definition_flows_through_jax() -> None:
    jax = pytest.importorskip("jax")
    case = random_case((4, 3, 2, 2), eps=0.01)
    axes = case.layout.reduced_axes
    jax.config.update("jax_enable_x64", True)

    def forward(x: Any, gamma: Any, beta: Any) -> Any:
        parameters = {"gamma": gamma[:, None, None], "beta": beta[:, None, None]}
        mean = lambda a: a.mean(axis=axes, keepdims=True)  # noqa: E731
        return LAYER.forward(x, parameters, case.eps, mean=mean, sqrt=jax.numpy.sqrt)["y"]

    y, pull = jax.vjp(forward, case.x, *case.parameters.values())
    truth = ball.vjp(LAYER, case)
    for name, got in zip(("y", "dx", "dgamma", "dbeta"), (y, *pull(jax.numpy.asarray(case.dy))), strict=True):
        assert (truth[name].distance(np.asarray(got)) < 1e-13).all(), name


def test_layouts_with_one_reduced_axis_go_through_torch_too() -> None:
    pytest.importorskip("torch")
    case = random_case((4, 3, 2, 2))
    per_activation = Layout("NCHW", reduced="N", affine="CHW")
    plain = Case(per_activation, case.x, case.dy, {}, case.eps)
    assert check(SUSPECTS["torch.nn.functional.batch_norm"].vjp, plain).verdict is Verdict.CORRECT
