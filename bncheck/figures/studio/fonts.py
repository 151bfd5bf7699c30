"""Which font on this machine has Chinese characters.

The family must stand first in a text's list: matplotlib looks no further for a text that holds a formula.
"""

from __future__ import annotations

from functools import lru_cache

from bncheck.errors import InvalidInput

FAMILIES = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "Noto Sans CJK JP",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "PingFang SC", "Hiragino Sans GB", "Heiti SC",
    "Heiti TC", "Microsoft YaHei", "SimHei", "Noto Serif CJK SC", "AR PL UMing CN", "Arial Unicode MS",
)  # fmt: skip
"""Families with simplified Chinese characters, the better ones for slides first."""


@lru_cache(maxsize=1)
def found_family() -> str | None:
    """The first of `FAMILIES` that is installed, if any."""
    from matplotlib import font_manager

    known = font_manager.fontManager
    for path in font_manager.findSystemFonts():  # matplotlib's own list may be older than a font just installed
        if path not in {entry.fname for entry in known.ttflist}:
            try:
                known.addfont(path)
            except (OSError, RuntimeError, ValueError):  # a file that only looks like a font
                continue
    installed = {entry.name for entry in known.ttflist}
    return next((family for family in FAMILIES if family in installed), None)


def chinese_family() -> str:
    """The same; InvalidInput where none is installed, instead of boxes."""
    family = found_family()
    if family is None:
        raise InvalidInput(
            "lang", "zh", "a font with Chinese characters, and none is installed", "Run: apt install fonts-noto-cjk."
        )
    return family


def described() -> str:
    """What `doctor` says: the family, or what is missing."""
    try:
        return found_family() or "none; apt install fonts-noto-cjk for figures in Chinese"
    except ImportError:
        return "not known without matplotlib"
