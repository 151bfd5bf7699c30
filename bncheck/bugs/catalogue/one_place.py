"""Sorts of edits in one place: what a bug is called that nobody has named yet."""

from __future__ import annotations

from bncheck.bugs.catalogue.bug import Bug

_DX = "dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))"
_DVAR = "dvar = (dxhat * (x - mean)).sum(axis) * -0.5 * (var + eps) ** -1.5"

BUGS = (
    Bug(
        "sign",
        "the sign of a term is turned",
        "Turn the sign in the place that the report names.",
        hides="In a term that is small, as that of the variance in large groups, it changes little.",
        wrong="dmean = (dxhat * inv_std).sum(axis)",
        right="dmean = -(dxhat * inv_std).sum(axis)",
    ),
    Bug(
        "factor-lost",
        "a factor is missing in one place",
        "Multiply by the factor that the report names.",
        hides="Where the factor is near 1, as σ of standard normal data or a fresh γ, it is invisible.",
        wrong="dvar = (dxhat * (x - mean)).sum(axis) * (var + eps) ** -1.5",
        right=_DVAR,
    ),
    Bug(
        "factor-added",
        "there is a factor too many in one place",
        "Leave out the factor that the report names.",
        hides="Where the factor is near 1 it is invisible.",
        wrong="dx = inv_std * inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))",
        right=_DX,
    ),
    Bug(
        "factor-doubled",
        "a factor occurs twice in one place",
        "Multiply by it once.",
        hides="Where the factor is near 1 it is invisible.",
        wrong="dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * dxhat * xhat).mean(axis))",
        right="dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))",
    ),
    Bug(
        "term-lost",
        "a term is missing in one place",
        "Add the term that the report names.",
        hides="Where the other terms are much larger it changes little.",
        wrong="centred = x\nxhat = centred * inv_std",
        right="centred = x - mean\nxhat = centred * inv_std",
    ),
    Bug(
        "term-doubled",
        "a term occurs twice in one place",
        "Add it once.",
        hides="Where the other terms are much larger it changes little.",
        wrong="dx = inv_std * (2 * dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))",
        right=_DX,
    ),
    Bug(
        "constant",
        "a number is another in one place",
        "Write the number that the report names.",
        hides="In a term that is small it changes little.",
        wrong="dx = dxhat * inv_std + dvar * 3 * (x - mean) / m + dmean / m",
        right="dx = dxhat * inv_std + dvar * 2 * (x - mean) / m + dmean / m",
    ),
    Bug(
        "exponent",
        "a power is another in one place",
        "Write the power that the report names; bracket a fraction: ** (-3 / 2).",
        hides="Where σ² + ε is near 1, as for standard normal data, it is almost invisible.",
        wrong="dvar = (dxhat * (x - mean)).sum(axis) * -0.5 * (var + eps) ** -0.5",
        right=_DVAR,
    ),
    Bug(
        "exchanged",
        "one array or number stands where another should",
        "Write the name that the report names.",
        hides="Where the two are alike, as x and x̂ of standardised data, it is invisible.",
        wrong="dx = inv_std * (dxhat - dxhat.mean(axis) - y * (dxhat * xhat).mean(axis))",
        right="dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis))",
    ),
    Bug(
        "swapped",
        "two values stand for each other in the whole backward pass",
        "Read what was saved in the order in which it was saved.",
        hides="Where the two are alike, as σ and 1/σ of standardised data, it is almost invisible.",
        wrong="# in the backward pass\ninv_std, xhat = (x - mean) * inv_std, inv_std\n" + _DX,
        right="# in the backward pass\nxhat, inv_std = (x - mean) * inv_std, inv_std\n" + _DX,
    ),
    Bug(
        "operator",
        "an operator is another in one place",
        "Write the operator that stands in the right formula.",
        hides="Where the second operand is near 1, × and ÷ agree.",
        wrong="dx = inv_std * (dxhat - dxhat.mean(axis) - xhat / (dxhat * xhat).mean(axis))",
        right=_DX,
    ),
    Bug(
        "misplaced",
        "a bracket, a sum or a root ends in another place",
        "Bracket as in the right formula.",
        hides="Where what was left out is constant over a group the two agree.",
        wrong="dx = inv_std * (dxhat - dxhat.mean(axis) - (xhat * dxhat * xhat).mean(axis))",
        right=_DX,
    ),
    Bug(
        "axes",
        "a sum or a mean goes over other axes in one place",
        "Sum over the axes that the report names.",
        hides="Where the sizes coincide, the shapes do not tell.",
        wrong="dmean = -(dxhat * inv_std).sum()",
        right="dmean = -(dxhat * inv_std).sum(axis)",
    ),
    Bug(
        "not-summed",
        "a sum is missing in one place",
        "Sum over the group, or over what shares a parameter.",
        hides="With one value in a group it is invisible.",
        wrong="dvar = -0.5 * dxhat * (x - mean) * inv_std**3",
        right="dvar = -0.5 * (dxhat * (x - mean)).sum(axis) * inv_std**3",
    ),
    Bug(
        "averaged",
        "a mean stands where a sum should, or a sum where a mean should",
        "Divide by m once, where the right formula does.",
        hides="With one value in a group it is invisible.",
        wrong="dvar = -0.5 * (dxhat * (x - mean)).mean(axis) * inv_std**3",
        right="dvar = -0.5 * (dxhat * (x - mean)).sum(axis) * inv_std**3",
    ),
    Bug(
        "unknown",
        "no single edit of the layer's formulas gives this answer, nor do two known bugs",
        "Compare it with the source that bncheck derive --format numpy prints.",
        hides="It does not: the answer is outside of what rounding can do. Only the reason is open.",
        wrong="dx = inv_std * (dxhat - dxhat.mean(axis) - xhat * (dxhat * xhat).mean(axis)) + 0.01 * dy**3",
        right=_DX,
    ),
)
