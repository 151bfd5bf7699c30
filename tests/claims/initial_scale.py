"""How large may the initial weights be?"""

from bncheck.training.experiments.initial_scale import final
from bncheck.training.laboratory.results import Results


def hold(results: Results) -> None:
    plain, normal = final(results, batch_norm=False), final(results, batch_norm=True)
    for scale in plain:
        if 0.00398 <= scale <= 0.0251:
            assert normal[scale].min() >= 0.99, scale
        if scale <= 0.0464:
            assert plain[scale].mean() <= 0.15, scale
    assert plain[0.293].min() > normal[0.293].max()  # where no normalization wins
    assert plain[0.293].min() >= 0.98
