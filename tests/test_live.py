"""Live objects, checked where they live: each kind, right and wrong; and this process stays as it was."""

import random
import sys
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from conftest import random_case

from bncheck import (
    LAYERS,
    Case,
    Check,
    Examination,
    InvalidInput,
    Layout,
    Recipe,
    TargetReport,
    Verdict,
    assert_gradients,
    check,
)
from bncheck.bugs.catalogue import BUGS
from bncheck.bugs.catalogue.bug import correct
from bncheck.case import Array, Gradients
from bncheck.errors import BncheckError
from bncheck.targets.here import IN_THIS_PROCESS, Here, asks_for_a_case, name_of
from bncheck.targets.opening import open_live

Cache = tuple[Array, Array, Array]


def forward(x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Cache]:
    std = np.sqrt(x.var(0) + eps)
    xhat = (x - x.mean(0)) / std
    return gamma * xhat + beta, (xhat, std, gamma)


def backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
    xhat, std, gamma = cache
    g = dy * gamma
    return (g - g.mean(0) - xhat * (g * xhat).mean(0)) / std, (dy * xhat).sum(0), dy.sum(0)


def without_mean_path(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
    xhat, std, gamma = cache
    g = dy * gamma
    return (g - xhat * (g * xhat).mean(0)) / std, (dy * xhat).sum(0), dy.sum(0)


class BatchNorm:
    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        self.gamma, self.beta, self.eps = np.ones(dim), np.zeros(dim), eps
        self.calls = 0

    def forward(self, x: Array) -> Array:
        self.calls += 1
        y, self.cache = forward(x, self.gamma, self.beta, self.eps)
        return y

    def backward(self, dy: Array) -> Array:
        dx, self.dgamma, self.dbeta = backward(dy, self.cache)
        return dx


class WithoutMeanPath(BatchNorm):
    def backward(self, dy: Array) -> Array:
        dx, self.dgamma, self.dbeta = without_mean_path(dy, self.cache)
        return dx


def module(**held: Any) -> types.ModuleType:
    made = types.ModuleType("exercise")
    for thing in held.values():
        if isinstance(thing, types.FunctionType):  # as if it had been written there
            copied = types.FunctionType(thing.__code__, thing.__globals__, thing.__name__)
            copied.__module__ = "exercise"
            held = {**held, thing.__name__: copied}
    vars(made).update(held)
    return made


def torch_module(*, right: bool) -> Any:
    torch = pytest.importorskip("torch")

    class Norm(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self, dim: int) -> None:
            super().__init__()
            self.weight, self.bias = torch.nn.Parameter(torch.ones(dim)), torch.nn.Parameter(torch.zeros(dim))

        def forward(self, x: Any) -> Any:
            mean = x.mean(0) if right else x.mean(0).detach()
            return self.weight * (x - mean) / torch.sqrt(x.var(0, unbiased=False) + 1e-5) + self.bias

    return Norm


def torch_function(*, right: bool) -> Any:
    torch = pytest.importorskip("torch")

    class BatchNormFunction(torch.autograd.Function):  # type: ignore[misc,name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any, gamma: Any, beta: Any, eps: float) -> Any:
            y, cache = forward(x.numpy(), gamma.numpy(), beta.numpy(), eps)
            ctx.cache = cache
            return torch.from_numpy(y)

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            answer = (backward if right else without_mean_path)(dy.numpy(), ctx.cache)
            return *(torch.from_numpy(np.ascontiguousarray(one)) for one in answer), None

    return BatchNormFunction


def jax_function(*, right: bool) -> Any:
    jax = pytest.importorskip("jax")

    @jax.jit  # type: ignore[untyped-decorator]
    def rms_norm(x: Any, gamma: Any, eps: float = 1e-6) -> Any:
        square = (x * x).mean(-1, keepdims=True)
        return gamma * x / jax.numpy.sqrt((square if right else jax.lax.stop_gradient(square)) + eps)

    return rms_norm


KINDS: dict[str, tuple[Callable[[], Any], Callable[[], Any], str]] = {
    "a pair": (lambda: (forward, backward), lambda: (forward, without_mean_path), "a pair of functions"),
    "a class": (lambda: BatchNorm, lambda: WithoutMeanPath, "a class with forward and backward (class)"),
    "an instance": (lambda: BatchNorm(5), lambda: WithoutMeanPath(5), "a class with forward and backward (instance)"),
    "a torch class": (lambda: torch_module(right=True), lambda: torch_module(right=False), "a torch nn.Module (class)"),
    "a torch instance": (
        lambda: torch_module(right=True)(4),
        lambda: torch_module(right=False)(4),
        "a torch nn.Module (instance)",
    ),
    "a torch Function": (
        lambda: torch_function(right=True),
        lambda: torch_function(right=False),
        "a torch.autograd.Function",
    ),
    "a function of JAX": (
        lambda: jax_function(right=True),
        lambda: jax_function(right=False),
        "a forward function, differentiated by jax",
    ),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if "JAX" in kind else kind for kind in KINDS]
)
def test_each_kind_is_found_right_where_it_is_and_wrong_where_it_is_not(kind: str) -> None:
    right, wrong, words = KINDS[kind]
    report = check(right())
    assert isinstance(report, TargetReport)
    assert (report.verdict, report.detail) == (Verdict.CORRECT, "")
    assert report.recognised_as.startswith(words)
    assert report.recognised_as.endswith(IN_THIS_PROCESS)
    with pytest.raises(AssertionError, match=f"^{name_of(wrong()).replace('+', '.')}: wrong") as caught:
        assert_gradients(wrong())
    assert " dx  " in str(caught.value)


@pytest.mark.slow
def test_a_module_is_everything_in_it() -> None:
    right = check(module(forward=forward, backward=backward, seven=7))
    assert isinstance(right, Examination)
    assert [(report.target, report.verdict) for report in right.reports] == [
        ("exercise:forward+backward", Verdict.CORRECT)
    ]
    made = type("GroupedNorm", (WithoutMeanPath,), {"__module__": "exercise"})
    both = check(module(forward=forward, backward=backward, GroupedNorm=made))
    assert isinstance(both, Examination)
    assert [report.verdict for report in both.reports] == [Verdict.CORRECT, Verdict.WRONG]
    assert "2 targets: 1 correct, 1 wrong" in str(both)
    with pytest.raises(AssertionError, match="1 correct, 1 wrong"):
        assert_gradients(module(forward=forward, backward=backward, GroupedNorm=made))


@pytest.mark.slow
def test_functions_of_a_case_are_what_they_were() -> None:
    @dataclass
    class Suspect:
        layer: str

        def __call__(self, case: Case) -> Gradients:
            return correct(case, LAYERS[self.layer])

        def method(self, c: Case) -> Gradients:
            return correct(c)

    case = random_case()
    for vjp in (correct, partial(correct, layer=LAYERS["batch_norm"]), Suspect("batch_norm"), Suspect("").method):
        assert asks_for_a_case(vjp)
        assert isinstance(check(vjp, case), Check)
        report = check(vjp)
        assert (report.verdict, report.recognised_as) == (Verdict.CORRECT, "a function of a case")
    for vjp in (lambda _: correct(case), lambda *given: correct(*given)):
        assert check(vjp, case).verdict is Verdict.CORRECT
    for thing in (forward, BatchNorm, BatchNorm(3), (forward, backward), np, "mine.py", len([]), lambda x: x):
        assert not asks_for_a_case(thing)


@pytest.mark.parametrize("right", [True, False])
def test_what_is_imported_elsewhere_in_the_process_does_not_decide_whose_arrays_it_takes(right: bool) -> None:
    """The variance of torch is unbiased, that of NumPy is not."""
    torch = pytest.importorskip("torch")

    def norm(x: Any, gamma: Any, beta: Any) -> Any:
        return gamma * (x - x.mean(0)) / (x.var(0) + 1e-5) ** 0.5 + beta

    def norm_of_torch(x: Any, gamma: Any, beta: Any) -> Any:
        return gamma * (x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=not right) + 1e-5) + beta

    report = check(norm)
    assert (report.verdict, report.recognised_as.partition(";")[0]) == (Verdict.INCOMPLETE, "a forward function")
    report = check(norm_of_torch)
    assert report.recognised_as.startswith("a forward function, differentiated by torch")
    assert report.verdict is (Verdict.CORRECT if right else Verdict.WRONG)


@pytest.mark.slow
def test_another_forward_between_does_not_change_what_a_backward_is_handed() -> None:
    def with_x(dy: Array, x: Array, gamma: Array, eps: float) -> tuple[Array, Array, Array]:
        return backward(dy, forward(x, gamma, gamma, eps)[1])

    latest: list[Cache] = []

    def forward_of_one(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
        y, cache = forward(x, gamma, beta, eps)
        latest[:] = [cache]
        return y

    def backward_of_one(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
        return backward(dy, latest[0])

    assert check((forward, with_x)).observations["interleaved"]
    assert not check((forward_of_one, backward_of_one)).observations["interleaved"]


# What is given besides.


def test_cases_of_ones_own_are_asked_instead() -> None:
    case = random_case()
    recipe = Recipe(Layout("NC", "N", "C"), (6, 4), "float32")
    for own in (case, recipe):
        assert check((forward, backward), own).verdict is Verdict.CORRECT
        wrong = check((forward, without_mean_path), own)
        assert wrong.verdict is Verdict.WRONG
    assert_gradients(BatchNorm, [case, random_case((6, 3))])
    with pytest.raises(AssertionError, match="wrong"):
        assert_gradients(WithoutMeanPath, case)
    with pytest.raises(InvalidInput, match="a case that BatchNorm takes, on NC:N:C"):
        check(BatchNorm(5), case)


@pytest.mark.slow
def test_options_are_those_of_a_file() -> None:
    report = check((forward, backward), layer="batch_norm", layout="NC:N:C", dtypes="float32", seed=3)
    assert {finding.dtype for finding in report.gradients.values()} == {"float32"}
    assert {finding.layout for finding in report.gradients.values()} == {"NC:N:C"}
    assert check((forward, backward), layer=LAYERS["batch_norm"]).verdict is Verdict.CORRECT


HONEST = __file__.replace("test_live.py", "targets/honest.py")

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "cases of a file": (lambda: assert_gradients(HONEST, random_case()), "cases=.*expected none for a file"),
    "a case of a file": (lambda: check(HONEST, random_case()), "case=.*expected a Recipe"),
    "forward of a file": (lambda: assert_gradients(HONEST, forward=forward), "forward=.*none for a file"),  # type: ignore[arg-type]
    "examples of a file": (lambda: assert_gradients(HONEST, examples=3), "examples=3, expected none for a file"),
    "forward of a class": (lambda: assert_gradients(BatchNorm, forward=forward), "forward=.*none for a live object"),  # type: ignore[arg-type]
    "examples of a class": (lambda: assert_gradients(BatchNorm, examples=3), "examples=3, expected none for a live"),
    "an option of a file": (
        lambda: check(HONEST, wibble=3),
        "option for a file=wibble, expected one of case, cases, dtypes",
    ),
    "an option of a class": (lambda: check(BatchNorm, sed=3), "option for a live object=sed.*Did you mean seed"),
    "a limit of a class": (lambda: check(BatchNorm, time_limit=3), "option for a live object=time_limit"),
    "an option of a function": (lambda: check(correct, style="x"), "option for a function of a case=style"),
    "an option of one case": (lambda: check(correct, random_case(), seed=3), "option for a function of one case=seed"),
    "options beside cases": (lambda: assert_gradients(correct, random_case(), eps=3), "eps=.*no options beside cases"),
    "a number": (lambda: check(3), "target=int, expected forward.x, gamma, beta, eps. with"),
    "one of a pair": (lambda: check((forward,)), "a pair of functions, .forward, backward."),
    "three": (lambda: check((forward, backward, 3)), "a pair of functions, .forward, backward."),
    "a backward": (lambda: check(backward), "target=backward, expected.*Hand it over as .forward, backward."),
    "a layer": (lambda: check(BatchNorm, layer="bach_norm"), "Did you mean batch_norm"),
    "a layout": (lambda: check(BatchNorm, layout="NC"), "expected axes:reduced:affine"),
    "an empty module": (lambda: check(types.ModuleType("empty")), "target=empty"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_apply_is_refused_in_one_line(what: str) -> None:
    call, words = REFUSED[what]
    with pytest.raises(InvalidInput, match=words) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 1
    assert isinstance(caught.value, BncheckError)


def test_a_forward_without_cases_is_held_against_the_usual_ones() -> None:
    def other(x: Any, parameters: Any) -> Any:
        return parameters["gamma"] * (x - x.mean(0)) / (x.std(0) + 1e-1) + parameters["beta"]

    assert_gradients(correct, layouts=["NC:N:C"])
    with pytest.raises(AssertionError, match="is not the gradient of its own forward"):
        assert_gradients(correct, forward=other, layouts=["NC:N:C"])


# What is amiss.


@pytest.mark.slow
def test_what_is_not_written_yet_is_unfinished() -> None:
    def todo(dy: Array, cache: Cache) -> Any:
        dx, dgamma, dbeta = None, None, None
        return dx, dgamma, dbeta

    report = check((forward, todo))
    assert (report.verdict, report.detail) == (
        Verdict.UNFINISHED,
        "forward+todo is not written yet: its backward does nothing.",
    )
    with pytest.raises(AssertionError, match="is not written yet"):
        assert_gradients((forward, todo))
    with pytest.raises(AssertionError, match="is not written yet"):
        assert_gradients((forward, todo), random_case())


def test_what_is_raised_is_told_with_its_line() -> None:
    def broken(dy: Array, cache: Cache) -> Any:
        raise ZeroDivisionError("no")

    line = broken.__code__.co_firstlineno + 1
    report = check((forward, broken))
    assert report.verdict is Verdict.CRASHED
    assert f"ZeroDivisionError: no (line {line})" in report.detail

    def leaves(dy: Array, cache: Cache) -> Any:
        sys.exit(3)

    assert "called sys.exit(3)" in check((forward, leaves)).detail


def test_ctrl_c_passes_through_and_leaves_nothing_behind() -> None:
    def interrupted(dy: Array, cache: Cache) -> Any:
        np.seterr(all="raise")
        raise KeyboardInterrupt

    before = state()
    with pytest.raises(KeyboardInterrupt):
        check((forward, interrupted))
    assert state() == before


# This process stays as it was.


def state() -> tuple[Any, ...]:
    torch = sys.modules.get("torch")
    of_torch = (
        ()
        if torch is None
        else (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_rng_state().sum().item())
    )
    numpys = np.random.get_state(legacy=False)
    drawn = tuple(numpys["state"]["key"]), numpys["state"]["pos"], random.getstate()
    return (
        *drawn,
        np.geterr(),
        np.mean,
        sys.breakpointhook,
        sys.stdout,
        sys.stderr,
        tuple(sys.path),
        len(warnings.filters),
        of_torch,
    )


@pytest.mark.slow
def test_a_bad_guest_is_noticed_and_what_it_did_is_put_back(capfd: pytest.CaptureFixture[str]) -> None:
    def rude(x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Cache]:
        print("here", file=sys.stderr)
        print("and here")
        breakpoint()
        warnings.warn("and here", stacklevel=2)
        np.seterr(divide="ignore")
        np.random.seed(1)
        random.seed(1)
        np.mean = np.sum  # type: ignore[assignment]
        return forward(x, gamma, beta, eps)

    before = state()
    report = check((rude, backward))
    assert state() == before
    assert report.observations["surroundings"] == ["numpy.mean", "numpy.random.seed", "numpy.seterr"]
    assert report.verdict is Verdict.CORRECT
    assert capfd.readouterr() == ("", "")


def test_an_instance_stays_as_it_was() -> None:
    mine = BatchNorm(4)
    assert check(mine).verdict is Verdict.CORRECT
    assert (mine.calls, mine.gamma.tolist(), mine.eps) == (0, [1, 1, 1, 1], 1e-5)
    assert not hasattr(mine, "cache")
    torch = pytest.importorskip("torch")
    layer = torch.nn.BatchNorm1d(4).eval()
    with torch.no_grad():
        layer.weight.fill_(2)
        before = {name: value.clone() for name, value in layer.state_dict().items()}
        assert check(layer).verdict is Verdict.CORRECT  # whatever mode it is in, and gradients are not recorded
        assert not torch.is_grad_enabled()
    assert not layer.training
    assert layer.weight.grad is None
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


@pytest.mark.slow
def test_ones_own_settings_do_not_disturb_it() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        with np.errstate(all="raise"), torch.inference_mode():
            report = check(torch.nn.LayerNorm(5))
            pair = check((forward, backward))
            assert np.geterr()["under"] == "raise"
            assert torch.is_inference_mode_enabled()
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(before)
    assert (report.verdict, pair.verdict) == (Verdict.CORRECT, Verdict.CORRECT)


def test_the_same_object_gives_the_same_report() -> None:
    class Random(BatchNorm):
        def __init__(self, dim: int) -> None:
            super().__init__(dim)
            self.gamma = np.random.randn(dim)

    texts = {str(check(Random)) for _ in range(2)}
    assert len(texts) == 1
    assert "correct" in texts.pop()


def test_the_memory_of_what_numba_compiles_is_not_written_beyond() -> None:
    numba = pytest.importorskip("numba")

    @numba.njit  # type: ignore[untyped-decorator]
    def first(x: Array, gamma: Array) -> Array:
        for j in range(x.shape[0]):
            gamma[j] = 1.0
        return x

    first(np.ones((2, 2)), np.ones(2))
    with Here((first, first)) as here:
        here.load()
        held = here.session.found[0].style.forward  # type: ignore[attr-defined]
    with pytest.raises(IndexError):
        held(np.ones((8, 2)), np.ones(2))


# How it shows itself.


def test_results_have_one_face_that_is_never_empty() -> None:
    for result in (
        check((forward, backward)),
        check((forward, backward), random_case()),
        check(correct, random_case()),
    ):
        shown: Any = result
        assert str(shown).strip()
        assert repr(shown) == str(shown)  # at a prompt
        assert shown._repr_html_().startswith("<pre>")
        assert not hasattr(shown, "_repr_mimebundle_")


def test_live_targets_can_be_opened_as_those_of_files_are() -> None:
    with open_live(BatchNorm) as (target,):
        assert (target.name, target.layer.name) == ("BatchNorm", "batch_norm")
        assert target.vjp(random_case()).keys() == {"y", "dx", "dgamma", "dbeta"}
    assert BUGS["zero"].vjp(random_case())
