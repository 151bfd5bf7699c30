"""What changes if batch norm is put in as the identity?"""

from __future__ import annotations

import numpy as np

from bncheck.training.experiments.identity import RATES, SHOWN, drawn, ends, hidden
from bncheck.training.laboratory.results import Results


def hold(results: Results) -> None:
    for name in ("training", "evaluation"):
        assert 0 < results.values(name).max() < 30  # rounding, in both formats
    assert results.values("decided").max() <= 1
    losses = results.values("losses")
    assert np.allclose(losses[:, 0], losses[:, 1], rtol=1e-4)
    batches = results.values("batches", **drawn(results))
    assert np.all(batches[:, 1] > 1.01 * batches[:, 0])  # on other batches it is no identity
    for name in ("length", "cosine"):
        assert hidden(results, name).max() < 0.7
        assert hidden(results, name).min() > 0.05
        assert np.allclose(results.values(name)[:, -1], 1, atol=1e-3)  # behind the last batch norm nothing is different
    for before, rate in ((SHOWN, RATES[0]), (0, RATES[0]), (0, RATES[1])):
        plain, normal = ends(results, rate, **drawn(results, before))
        assert np.all(normal > plain), (before, rate)  # where batch norm is slower
    plain, normal = ends(results, RATES[-1], **drawn(results))
    assert np.all(plain > 10 * normal)
    assert normal.max() < 0.1
