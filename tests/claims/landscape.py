"""How far can a gradient be trusted?"""

from __future__ import annotations

from bncheck.training.experiments.landscape import at, kinds, nearby, ratio
from bncheck.training.laboratory.results import Results


def hold(results: Results) -> None:
    for kind in kinds(results):
        whole, batches = (ratio(results, name, kind, 1.0) for name in ("beta", "batch_beta"))
        assert whole is not None, f"{kind}: not every network came to a loss of 1"
        assert batches is not None
        if kind[1] == 0.1:
            assert whole.mean >= 5, kind
            assert whole.low >= 3, kind
            assert 1.3 <= batches.low <= batches.mean < 0.6 * whole.mean, kind  # far less where nets are trained
        else:
            assert 0.3 <= whole.low <= whole.mean <= 3, kind  # at rate 1 it makes little difference
    plain, normal = (at(results, "change", ("relu", 0.1), batch_norm=bn)[1.0] for bn in (False, True))
    assert plain.max() > 0.5
    assert normal.max() < 0
    near = nearby(results, ("relu", 0.1))
    assert near is not None
    assert near.mean < 4  # ReLUs have kinks with batch norm, too: over a tiny step it smooths far less
    flat = nearby(results, ("sigmoid", 0.1))
    assert flat is not None
    assert flat.low > 5
    plain, normal = (at(results, "change", ("sigmoid", 1.0), batch_norm=bn)[2.0] for bn in (False, True))
    assert normal.mean() > plain.mean()  # where batch norm is the worse one
