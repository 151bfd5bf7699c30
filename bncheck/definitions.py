"""Every layer's forward pass, written once, as the papers write it.

A definition is a plain function from arrays to *named* arrays. Its arguments say what each is:

- first x; then the parameters, which are learned, with the value that leaves them out as default; then eps; after it
  the state, which is given and not learned, such as running statistics, likewise with defaults;
- by keyword, the operations that are handed in: `mean` over the group, `sqrt`, and `count`, the size of the group; and
  last the settings, plain numbers with a default.

So whatever can add, multiply, divide and be averaged can flow through it: floats, complex numbers, midpoint-radius
arrays, Arb balls, tangents, and the recording nodes that become the computation graph and the SymPy formulas. A result
called ``new_`` and the name of a state is that state after the step; no gradient flows through it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Definition = Callable[..., Mapping[str, Any]]


def batch_norm(x: Any, gamma: Any = 1, beta: Any = 0, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> dict[str, Any]:
    """Batch normalization in training mode.

    Math
        μ = mean x;  σ² = mean (x − μ)²;  x̂ = (x − μ) / √(σ² + ε);  y = γ x̂ + β
    Source
        Ioffe and Szegedy, "Batch Normalization", 2015, arXiv:1502.03167, algorithm 1.
    """
    mu = mean(x)
    centred = x - mu
    var = mean(centred * centred)
    xhat = centred / sqrt(var + eps)
    return {"mean": mu, "var": var, "xhat": xhat, "y": gamma * xhat + beta}


def batch_norm_running(
    x: Any,
    gamma: Any = 1,
    beta: Any = 0,
    eps: Any = 1e-5,
    running_mean: Any = 0,
    running_var: Any = 1,
    *,
    mean: Any,
    sqrt: Any,
    count: Any,
    new_weight: Any = 0.1,
    ddof: Any = 0,
) -> dict[str, Any]:
    """Batch normalization in training mode, with the step that its running statistics make.

    `new_weight` is the weight of the new batch: torch's momentum, one minus that of Keras, ONNX and the textbook, and
    1/t at step t of a cumulative average. The variance that is stored is the population's for `ddof` 0, the unbiased
    one for 1.

    Math
        R′ = R + w (μ − R);  V′ = V + w (σ² m / (m − d) − V), R and V the running mean and variance
    Source
        Ioffe and Szegedy, "Batch Normalization", 2015, algorithm 2, which averages the unbiased variance.
    """
    named = batch_norm(x, gamma, beta, eps, mean=mean, sqrt=sqrt)
    stored_var = named["var"] * (count / (count - ddof))
    y = named.pop("y")
    return {
        **named,
        "new_running_mean": running_mean + new_weight * (named["mean"] - running_mean),
        "new_running_var": running_var + new_weight * (stored_var - running_var),
        "y": y,
    }


def batch_norm_eval(
    x: Any, gamma: Any = 1, beta: Any = 0, eps: Any = 1e-5, running_mean: Any = 0, running_var: Any = 1, *, sqrt: Any
) -> dict[str, Any]:
    """Batch normalization in evaluation mode, or frozen: the statistics are given, and x does not change them.

    Math
        x̂ = (x − R) / √(V + ε);  y = γ x̂ + β, R and V the running mean and variance
    Source
        Ioffe and Szegedy, "Batch Normalization", 2015, algorithm 2, step 11.
    """
    xhat = (x - running_mean) / sqrt(running_var + eps)
    return {"xhat": xhat, "y": gamma * xhat + beta}


def rms_norm(x: Any, gamma: Any = 1, eps: Any = 1e-5, *, mean: Any, sqrt: Any) -> dict[str, Any]:
    """Root-mean-square normalization: nothing is centred.

    Math
        ρ = mean x²;  x̂ = x / √(ρ + ε);  y = γ x̂
    Source
        Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019, arXiv:1910.07467, equation 4, ε in the root.
    """
    mean_square = mean(x * x)
    xhat = x / sqrt(mean_square + eps)
    return {"mean_square": mean_square, "xhat": xhat, "y": gamma * xhat}
