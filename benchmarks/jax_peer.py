"""JAX as the peer: its check_grads of a function whose forward and backward pass are planted ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from benchmarks.peers import arriving, posed
from bncheck.case import Array, Case, Vjp
from bncheck.errors import MissingPackage

try:
    import jax
    import jax.test_util
except ImportError:
    raise MissingPackage("jax", "jax", "comparisons with JAX") from None

VERSION = str(jax.__version__)


def check_grads(forward: Vjp, backward: Vjp) -> Callable[[Case], bool]:
    """Whether JAX's own check lets them pass on a case: reverse mode, first order, its tolerances for float64.

    Asked again and again at one shape it compiles once, since the functions that it calls back stay the same.
    """
    case: Case

    def called(*given: Any) -> tuple[Array, ...]:
        found = forward(posed(case, _arrays(given)))
        return tuple(found[name] for name in arriving(case))

    def called_back(given: Any, upstream: Any) -> tuple[Array, ...]:
        found = backward(posed(case, _arrays(given), dict(zip(arriving(case), _arrays(upstream), strict=True))))
        return tuple(found[name] for name in case.gradient_names)

    def like(names: Iterable[str]) -> tuple[Any, ...]:
        return tuple(jax.ShapeDtypeStruct(case.shape_of(name), case.dtype) for name in names)

    @jax.custom_vjp  # type: ignore[untyped-decorator]  # JAX's types are not looked at
    def function(*given: Any) -> Any:
        return jax.pure_callback(called, like(arriving(case)), *given)

    function.defvjp(
        lambda *given: (function(*given), given),
        lambda given, upstream: jax.pure_callback(called_back, like(case.gradient_names), given, upstream),
    )

    def passes(asked: Case) -> bool:
        nonlocal case
        case = asked
        with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
            try:
                jax.test_util.check_grads(function, (case.x, *case.parameters.values()), order=1, modes=("rev",))
            except AssertionError:
                return False
            return True

    return passes


def _arrays(given: Iterable[Any]) -> list[Array]:
    return [np.asarray(array) for array in given]
