"""What becomes of the learning rate behind a batch norm?"""

import numpy as np

from bncheck.training.experiments.effective_rate import effective, largest, sizes
from bncheck.training.laboratory.results import Results


def hold(results: Results) -> None:
    for name in ("angle", "growth"):
        assert largest(results, name, "exact") <= 1e-12
        assert largest(results, name, "learned", rate=1.0) <= 1e-12  # γ and β change nothing in it
        assert 1e-9 <= largest(results, name, "usual") <= 1e-4
        assert largest(results, name, "none", rate=0.1) >= 0.01
    assert largest(results, "formula", "usual", rate=1.0) <= 1e-12
    for rate in results.settings("rate"):
        assert (np.diff(sizes(results, "exact", rate)) >= 0).all(), rate
    first, last = effective(results, "exact", 10.0)[:, [0, -1]].T
    assert first.min() >= 0.045
    assert last.max() <= 0.1 * first.min()
    assert effective(results, "exact", 100.0)[:, -1].max() < effective(results, "exact", 1.0)[:, -1].min()
    assert results.spread("test", kind="exact", rate=100.0).low >= 0.85
    for kind in ("learned", "usual", "none"):  # γ, β and the last layer are not tamed
        assert results.spread("test", kind=kind, rate=100.0).high <= 0.5, kind
