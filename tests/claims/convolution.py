"""Does batch norm train a convolutional net faster, and what does evaluation say of it?"""

from bncheck.training.experiments.convolution import LEARNED, behind, blind, curve
from bncheck.training.laboratory.results import Results


def hold(results: Results) -> None:
    plain = curve(results, "train_accuracy", "sigmoid", batch_norm=False)
    assert plain.max() <= 0.2  # at no time more than guessing
    for activation in ("sigmoid", "relu"):
        trained = curve(results, "train_accuracy", activation, batch_norm=True)
        assert trained.max(axis=1).min() >= 0.95, activation
        slow, fast = blind(results, "slow", activation), blind(results, "fast", activation)
        assert slow.sum(axis=1).min() >= 2, activation
        assert not fast[:, 2:].any(), activation
        batch, late = (curve(results, f"{n}_loss", activation, batch_norm=True) for n in ("batch", "slow"))
        assert (late[:, 1:] > batch[:, 1:]).all(), activation
    assert behind(results, "fast", "sigmoid") >= 0.1  # nor is 0.9 harmless while the weights move fast
    plain = curve(results, "test_accuracy", "relu", batch_norm=False)
    assert plain[:, -1].min() >= LEARNED  # ReLUs learn without batch norm
    losses = [curve(results, "train_loss", "relu", batch_norm=bn)[:, 1] for bn in (False, True)]
    assert (losses[0] > 3 * losses[1]).all()  # though not as fast
