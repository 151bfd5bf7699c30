"""In which languages figures can be drawn here: Chinese needs a font that has its characters."""

from bncheck.figures.studio import fonts
from bncheck.figures.studio.look import Look

SPOKEN = ["en", "zh"] if fonts.found_family() else ["en"]


def spoken(looks: list[Look]) -> list[Look]:
    """Those whose language has a font here."""
    return [look for look in looks if look.lang in SPOKEN]
