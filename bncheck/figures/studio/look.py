"""How a figure looks: sizes, themes, colours by role, and the language of its words.

Every colour has one role, and every role a second sign besides its colour: a dash, a marker or a hatch. So a figure can
be read without colours, and none chooses its own. Importing this module costs nothing; matplotlib waits for a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any, NamedTuple

from bncheck.errors import InvalidInput


class Words(NamedTuple):
    """The same words in English and in Chinese."""

    en: str
    zh: str


class About(NamedTuple):
    """What a figure is called, how it is read in one sentence, and the short line at its foot."""

    title: Words
    reading: Words
    caption: Words


class Preset(NamedTuple):
    """The size of a page in inches, and how large its letters and lines are beside those of beamer169."""

    width: float
    height: float
    scale: float
    least: float
    """Content in smaller letters is not read, in points: from the last row where it is projected, else in the hand."""


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "beamer169": Preset(160 / 25.4, 90 / 25.4, 1.0, 0.032 * 90 / 25.4 * 72),
        "beamer43": Preset(128 / 25.4, 96 / 25.4, 0.97, 0.03 * 96 / 25.4 * 72),
        "ppt169": Preset(40 / 3, 7.5, 40 / 3 / (160 / 25.4), 0.032 * 7.5 * 72),
        "a4": Preset(160 / 25.4, 100 / 25.4, 0.95, 7.0),
        "half": Preset(100 / 25.4, 75 / 25.4, 0.83, 7.0),
    }
)


class Shade(NamedTuple):
    """One colour on light paper and on dark paper."""

    light: str
    dark: str


class Role(NamedTuple):
    """What a colour stands for, with the signs that say the same without it."""

    colour: Shade
    dash: Any = "-"
    marker: str = "o"
    hatch: str = ""


_INK = Shade("#1a1a1a", "#f2f2f2")
_BLUE = Shade("#0067a5", "#6cc0f5")
_ORANGE = Shade("#a86400", "#f0a830")
_GREEN = Shade("#00795a", "#3fd0a4")
_VERMILLION = Shade("#c03d00", "#ff8c55")
_PURPLE = Shade("#a4487d", "#e59ac6")
_GREY = Shade("#6b6b6b", "#a8a8a8")

ROLES: Mapping[str, Role] = MappingProxyType(
    {
        "forward": Role(_INK),
        "backward": Role(_VERMILLION, (0, (3.2, 1.4)), "s"),
        "value": Role(_GREEN),
        "gradient": Role(_VERMILLION, (0, (3.2, 1.4)), "s"),
        "direct": Role(_BLUE, "-", "o"),
        "mean_path": Role(_ORANGE, (0, (4, 1.6)), "s", "//"),
        "variance_path": Role(_PURPLE, (0, (1.2, 1.2)), "^", "\\\\"),
        "function": Role(_BLUE, "-", "o"),
        "slope": Role(_VERMILLION, (0, (4, 1.6)), "s"),
        "saturated": Role(_GREY, ":", "x", "////"),
        "without": Role(_ORANGE, (0, (4, 1.6)), "s", "//"),
        "with": Role(_BLUE, "-", "o"),
        "correct": Role(_GREEN, "-", "o"),
        "wrong": Role(_VERMILLION, (0, (2.2, 1)), "X", "xx"),
        "reference": Role(_GREY, (0, (1, 1.5)), "v"),
        "first": Role(_BLUE, "-", "o"),
        "second": Role(_ORANGE, (0, (4, 1.6)), "s", "//"),
        "third": Role(_GREEN, (0, (5, 1.4, 1.2, 1.4)), "^", "\\\\"),
        "fourth": Role(_PURPLE, (0, (4, 1.2, 1, 1.2, 1, 1.2)), "D", ".."),
        "fifth": Role(_INK, (0, (9, 2)), "*", "++"),
    }
)
"""Okabe and Ito's hues, darkened or lightened until they can be read on their paper."""

THEMES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "light": MappingProxyType({"paper": "#ffffff", "panel": "#f1f3f5", "line": "#c4c9ce", "muted": "#5f6368"}),
        "dark": MappingProxyType({"paper": "#16191d", "panel": "#23282e", "line": "#4d555e", "muted": "#b4bac1"}),
    }
)

LANGUAGES = ("en", "zh")

DPI = 200
"""Pixels per inch where a picture consists of pixels."""


@dataclass(frozen=True)
class Look:
    """A preset, a theme and a language.

    Raises
        InvalidInput: a name that is not among `PRESETS`, `THEMES` and `LANGUAGES`.

    >>> Look().say("mean", "均值"), Look(lang="zh").say("mean", "均值")
    ('mean', '均值')
    """

    preset: str = "beamer169"
    theme: str = "light"
    lang: str = "en"

    def __post_init__(self) -> None:
        for name, known in (("preset", tuple(PRESETS)), ("theme", tuple(THEMES)), ("lang", LANGUAGES)):
            if getattr(self, name) not in known:
                raise InvalidInput.unknown(name, getattr(self, name), known)

    @property
    def scale(self) -> float:
        """What a size in points at beamer169 is multiplied by."""
        return PRESETS[self.preset].scale

    def say(self, en: str, zh: str) -> str:
        """The words in this look's language."""
        return zh if self.lang == "zh" else en

    def layer(self, name: str) -> str:
        """A layer's name in this look's language; one of your own as you call it.

        >>> Look().layer("my_norm"), Look(lang="zh").layer("batch_norm")
        ('my norm', '批归一化')
        """
        plain = name.replace("_", " ")
        return self.say(plain, _LAYERS.get(name, plain))

    def colour(self, name: str) -> str:
        """The colour of a role, or of the paper, its panels, its lines and its muted words."""
        theme = THEMES[self.theme]
        return theme[name] if name in theme else str(getattr(ROLES[name].colour, self.theme))

    def line(self, role: str, **more: Any) -> dict[str, Any]:
        """Keywords for `Axes.plot`: the role's colour and dash.

        >>> Look().line("forward", lw=1)
        {'color': '#1a1a1a', 'linestyle': '-', 'lw': 1}
        """
        return {"color": self.colour(role), "linestyle": ROLES[role].dash, **more}

    def points(self, role: str, **more: Any) -> dict[str, Any]:
        """Keywords for markers: the role's colour and marker."""
        return {"color": self.colour(role), "marker": ROLES[role].marker, "linestyle": "none", **more}

    def marked(self, role: str, **more: Any) -> dict[str, Any]:
        """Keywords for a line with markers."""
        return {**self.line(role), "marker": ROLES[role].marker, **more}

    def beside(self, x: float, y: float, **more: Any) -> dict[str, Any]:
        """Keywords for `Axes.annotate`: words so many points to the right of their place and above it.

        >>> Look("half").beside(0, 100)["xytext"]
        (0.0, 83.0)
        """
        return {"xytext": (x * self.scale, y * self.scale), "textcoords": "offset points", "va": "center", **more}

    def on_paper(self) -> dict[str, Any]:
        """Keywords for words that stand on a line or on a hatch: a piece of paper below them."""
        return {"bbox": {"boxstyle": "round,pad=0.25", "fc": self.colour("paper"), "ec": "none"}, "zorder": 4}

    def area(self, role: str, **more: Any) -> dict[str, Any]:
        """Keywords for a filled area: the role's colour, pale, with its hatch."""
        colour = self.colour(role)
        return {"facecolor": blend(colour, self.colour("paper"), 0.2), "edgecolor": colour, "hatch": ROLES[role].hatch,
                "linewidth": 0.0, **more}  # fmt: skip

    def tint(self, name: str, share: float = 0.14) -> str:
        """The colour of a role or of the theme, thinned with paper."""
        return blend(self.colour(name), self.colour("paper"), share)

    def rc(self) -> dict[str, Any]:
        """All of matplotlib's settings for this look, whatever the user's own are.

        Raises
            InvalidInput: the language is Chinese and no font here has its characters.
        """
        import matplotlib as mpl

        style = resources.files("bncheck.figures") / "bncheck.mplstyle"
        with resources.as_file(style) as path:
            read: Any = mpl.rc_params_from_file(path, fail_on_error=True, use_default_template=False)
        plain: dict[str, Any] = dict(read)
        settings = {**_defaults(), **plain}
        for key, value in plain.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and key.endswith(_IN_POINTS):
                settings[key] = value * self.scale
        ink, paper, line = (self.colour(name) for name in ("forward", "paper", "line"))
        settings |= dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), ink)
        settings |= dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), paper)
        settings |= {"axes.edgecolor": self.colour("muted"), "grid.color": line, "lines.color": ink}
        if self.lang == "zh":
            from bncheck.figures.studio.fonts import chinese_family

            settings["font.family"] = [chinese_family(), "DejaVu Sans"]
        return settings


def number(value: float, form: str) -> str:
    """A number in a given format, with a minus sign as in print, and no zero that has one.

    >>> number(-1.5, ".1f"), number(-0.001, ".1f")
    ('−1.5', '0.0')
    """
    text = format(value, form)
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def scientific(value: float) -> str:
    r"""A number as one digit times a power of ten, in mathematics.

    >>> print(scientific(1.53e-11), scientific(0.001))
    $2\cdot10^{-11}$ $10^{-3}$
    """
    digit, exponent = f"{value:.0e}".split("e")
    power = f"10^{{{int(exponent)}}}"
    return f"${power}$" if digit == "1" else rf"${digit}\cdot{power}$"


_LAYERS = {
    "batch_norm": "批归一化",
    "layer_norm": "层归一化",
    "instance_norm": "实例归一化",
    "group_norm": "组归一化",
    "rms_norm": "均方根归一化",
}

_IN_POINTS = ("size", "width", "pad")


def _defaults() -> dict[str, Any]:
    import matplotlib as mpl

    given: Any = mpl.rcParamsDefault
    return {key: value for key, value in dict(given).items() if not key.startswith(("backend", "interactive"))}


def blend(colour: str, paper: str, share: float) -> str:
    """A share of one colour, the rest the other.

    >>> blend("#000000", "#ffffff", 0.2)
    '#cccccc'
    """
    pairs = zip(_channels(colour), _channels(paper), strict=True)
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


def _channels(colour: str) -> list[int]:
    return [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
