"""The ball oracle encloses: exact fractions lie within it."""

from fractions import Fraction

import numpy as np
from conftest import FLAT, random_case
from flint import arb, ctx

from bncheck.case import Case
from bncheck.layers import Layer
from bncheck.oracles import ball
from bncheck.oracles.ball import Dual


def test_exact_rational_gradients_lie_within_the_balls(batch_norm: Layer) -> None:
    """Any two-element group with a rational root: variance d², eps e² − d² with e a fraction."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        d, e = int(rng.integers(1, 9)), int(rng.integers(9, 20))
        eps = e * e - d * d
        dy = [int(k) for k in rng.integers(-9, 9, size=2)]
        case = Case(FLAT, x=np.array([[0.0], [2.0 * d]]), dy=np.array([[float(v)] for v in dy]), eps=float(eps))
        xhat = [Fraction(-d, e), Fraction(d, e)]
        mean_dy, mean_dyx = Fraction(sum(dy), 2), sum(a * b for a, b in zip(dy, xhat, strict=True)) / 2
        balls = ball.balls_of(batch_norm, case)["dx"]
        with ctx.workprec(300):
            for k in range(2):
                exact = Fraction((dy[k] - mean_dy - xhat[k] * mean_dyx) / e)
                truth = arb(exact.numerator) / exact.denominator
                assert balls[k, 0].contains(truth)
                assert not balls[k, 0].contains(truth + arb(2) ** -150)


def test_the_enclosure_is_far_narrower_than_float64(batch_norm: Layer) -> None:
    for truth in ball.vjp(batch_norm, random_case((16, 3), offset=1000)).values():
        assert (truth.radius < 1e-50 * np.abs(truth.value).max()).all()
        assert (truth.distance(truth.value) <= np.spacing(np.abs(truth.value))).all()


def test_duals_differentiate_each_operation() -> None:
    x = Dual(np.array([[arb(3)]]), np.array([[arb(1)]]))
    for got, value, slope in (
        (x + 2, 5, 1),
        (2 - x, -1, -1),
        (x * x, 9, 6),
        (x / 2, 1.5, 0.5),
        (1 / (x + 1), 0.25, -0.0625),
        ((x + 1).sqrt(), 2, 0.25),
        (x**3, 27, 27),
        (-x, -3, -1),
        (x.mean(), 3, 1),
    ):
        assert (float(got.value[0, 0]), float(got.tangent[0, 0])) == (value, slope)
