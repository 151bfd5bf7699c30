"""What makes a function that draws a figure: its look may be given by its parts, and the case that is drawn, too."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol

from bncheck.figures.studio.look import Look
from bncheck.layers import LAYERS

if TYPE_CHECKING:
    from bncheck.figures.studio.page import Page


class Drawing(Protocol):
    """A figure as it is called; `choices` are its own: `layer`, `frame`, `case`, `against`, `results`."""

    def __call__(
        self,
        look: Look = ...,
        seed: int = ...,
        *,
        preset: str | None = ...,
        theme: str | None = ...,
        lang: str | None = ...,
        **choices: Any,
    ) -> Page:
        """The figure; what is named of preset, theme and language takes the place of the look's own.

        One that shows a case takes the numbers of one's own as well, see `bncheck.figures.studio.group.own_case`.
        """
        ...


def figure(draw: Callable[..., Page]) -> Drawing:
    """Lets a figure be drawn as ``draw(theme="dark", x=[1, 2, 4])``; a signature tells all that it takes.

    >>> from bncheck.figures import graph_values
    >>> [graph_values.draw(preset=preset).look.preset for preset in ("half", "a4")]
    ['half', 'a4']
    """

    @wraps(draw)
    def drawn(
        look: Look = Look(),
        seed: int = 0,
        *,
        preset: str | None = None,
        theme: str | None = None,
        lang: str | None = None,
        **choices: Any,
    ) -> Page:
        named = {"preset": preset, "theme": theme, "lang": lang}
        look = replace(look, **{part: name for part, name in named.items() if name is not None})
        if numbers := {name: choices.pop(name) for name in ("case", *NUMBERS) if shows_a_case and name in choices}:
            from bncheck.figures.studio.group import own_case

            choices["case"] = own_case(choices.get("layer", LAYERS["batch_norm"]), seed, **numbers)
        return draw(look, seed, **choices)

    own = inspect.signature(draw)
    shows_a_case = "case" in own.parameters
    parts = dict.fromkeys(PARTS, "str | None") | (dict.fromkeys(NUMBERS, "Any") if shows_a_case else {})
    more = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=a) for n, a in parts.items()]
    drawn.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    return drawn


PARTS = tuple(field.name for field in fields(Look))

NUMBERS = ("x", "dy", "gamma", "beta", "eps")
"""What a case of one's own consists of, where a figure shows one."""
