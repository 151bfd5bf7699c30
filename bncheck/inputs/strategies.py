"""Hypothesis strategies that draw cases, for bncheck's own campaign and for other people's test suites.

    from hypothesis import given
    from bncheck import cases

    @given(cases(dtypes=("float32",)))
    def test_my_backward(case): ...

Shapes and regimes are drawn and shrunk by Hypothesis; the numbers come from the drawn seed, so that a failing case is
one line of text, `case.origin`.
"""

from __future__ import annotations

import math

from bncheck.case import Case, Layout
from bncheck.errors import InvalidInput
from bncheck.extras import need
from bncheck.formats import DTYPES
from bncheck.inputs.recipes import EPS, REGIMES, Recipe
from bncheck.layers import LAYERS, Layer

need("campaign")
from hypothesis import strategies as st  # noqa: E402  # once it is known to be there


def cases(
    layer: Layer = LAYERS["batch_norm"],
    *,
    dtypes: tuple[str, ...] = tuple(DTYPES),
    regimes: tuple[str, ...] = tuple(REGIMES),
    max_count: int = 32,
    max_size: int = 256,
) -> st.SearchStrategy[Case]:
    """Cases of one layer, on all its layouts.

    Groups hold up to `max_count` elements and x up to `max_size`; group sizes of 1, equal and unequal numbers of
    samples and channels, and single and several pixels all occur.

    Returns
        A strategy for `given`; a failing case is one line of text, `case.origin`.

    Raises
        InvalidInput: as a case is drawn, an unknown dtype or regime.
        MissingPackage: as it is imported, without Hypothesis.
    """
    drawn = recipes(layer, dtypes=dtypes, regimes=regimes, max_count=max_count, max_size=max_size)
    return drawn.map(lambda recipe: recipe.build(layer))


@st.composite
def recipes(
    draw: st.DrawFn,
    layer: Layer = LAYERS["batch_norm"],
    *,
    dtypes: tuple[str, ...] = tuple(DTYPES),
    regimes: tuple[str, ...] = tuple(REGIMES),
    max_count: int = 32,
    max_size: int = 256,
) -> Recipe:
    """The recipes of `cases`: what each is made from, in one line of text.

    Returns
        A strategy for `given`; `Recipe.build` makes the case.

    Raises
        InvalidInput: as a recipe is drawn, an unknown dtype or regime.
        MissingPackage: as it is imported, without Hypothesis.
    """
    for name, given, known in (("dtypes", dtypes, DTYPES), ("regimes", regimes, REGIMES)):
        for value in given:
            if value not in known:
                raise InvalidInput(name, value, f"names among {', '.join(known)}", "Leave out the others.")
    layout = layer.layouts[_below(draw, len(layer.layouts))]
    return Recipe(
        layout,
        _shape(draw, layout, max_count, max_size),
        dtypes[_below(draw, len(dtypes))],
        EPS[_below(draw, len(EPS))],
        regimes[_below(draw, len(regimes))],
        "constant" if _below(draw, 32) == 31 else "random",
        _below(draw, 8) < 7,
        _below(draw, 2**32),
    )


def _below(draw: st.DrawFn, count: int) -> int:
    """A whole number below `count`, the smallest the simplest, each about as likely; drawn as booleans.

    Into every other draw Hypothesis mixes numbers that it finds in the source of whatever is imported: a case would
    depend on where bncheck is installed, and on what else a process has loaded.
    """
    bits = (count - 1).bit_length()
    bits += _SPARE if count & (count - 1) else 0
    number = 0
    for _ in range(bits):
        number = 2 * number + draw(_COIN)
    return number * count >> bits


_COIN = st.booleans()
_SPARE = 5
"""How many bits more, so that no number is much likelier than another."""


def _shape(draw: st.DrawFn, layout: Layout, max_count: int, max_size: int) -> tuple[int, ...]:
    """Sizes axis by axis, each within what the axes before it have left; groups of one element stay rare."""
    sizes: dict[str, int] = {}
    for axis in layout.axes:
        room = max_size // math.prod(sizes.values())
        if axis in layout.reduced:
            room = min(room, max_count // math.prod(sizes.get(a, 1) for a in layout.reduced))
        if axis == layout.reduced[0]:
            sizes[axis] = 2 + _below(draw, max(2, min(room, 16)) - 1) if _below(draw, 32) < 31 else 1
        else:
            later = any(a in layout.reduced for a in layout.axes[len(sizes) + 1 :]) and layout.reduced[0] not in sizes
            sizes[axis] = 1 + _below(draw, max(1, min(room // 2 if later else room, 6)))
    return tuple(sizes[axis] for axis in layout.axes)
