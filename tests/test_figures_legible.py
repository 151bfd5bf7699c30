"""Figures can be read: from the last row of a lecture hall, in a printed column, and without colours."""

from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch

from bncheck.figures import find, names
from bncheck.figures.studio import page as sheet
from bncheck.figures.studio.look import PRESETS, THEMES, About, Look, Words
from bncheck.figures.studio.page import Page, new_page
from bncheck.figures.studio.structure import small_print

PLOTS = [name for name in names() if not name.startswith("graph-")]

ABOUT = About(*[Words("some words", "一些字")] * 3)


@cache
def drawn(name: str, preset: str = "beamer169") -> Page:
    return find(name).draw(Look(preset))


@pytest.mark.parametrize("name", names())
def test_the_last_row_can_read_every_figure(name: str) -> None:
    assert small_print(drawn(name)) == []


@pytest.mark.parametrize("preset", ["beamer43", "ppt169", "a4", "half"])
def test_a_plot_with_much_text_can_be_read_on_every_page(preset: str) -> None:
    assert small_print(drawn("jacobian", preset)) == []


def test_what_can_be_read_is_a_share_of_a_projected_page_and_a_size_in_print() -> None:
    shares = {name: preset.least / (72 * preset.height) for name, preset in PRESETS.items()}
    assert [round(shares[name], 4) for name in ("beamer169", "beamer43", "ppt169")] == [0.032, 0.03, 0.032]
    assert [PRESETS[name].least for name in ("a4", "half")] == [7, 7]


@pytest.mark.filterwarnings("ignore:There are no gridspecs")
@pytest.mark.parametrize("preset", PRESETS)
def test_small_print_is_named_and_the_foot_is_no_content(preset: str) -> None:
    least = PRESETS[preset].least
    with new_page(ABOUT, Look(preset), 0) as page:
        page.text(0.5, 0.5, "readable", fontsize=least)
        assert small_print(page) == []
        page.text(0.5, 0.4, "not readable", fontsize=0.99 * least)
    (said,) = small_print(page)
    assert said.startswith("'not readable' is ")
    assert said.endswith(f"less than {least:.1f}")


@pytest.mark.filterwarnings("ignore:There are no gridspecs")
@pytest.mark.parametrize("preset", PRESETS)
def test_the_foot_is_hardly_smaller_and_short(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_page(ABOUT, Look(preset), 0) as page:
        assert foot_is_readable(page)
    monkeypatch.setattr(sheet, "CAPTION", 6.0)
    with new_page(ABOUT, Look(preset), 0) as page:
        assert not foot_is_readable(page)


def foot_is_readable(page: Page) -> bool:
    """Whether the title stands out, the caption is nearly as high as content must be, and the stamp not tiny."""
    least = PRESETS[page.look.preset].least
    title, stamp, *caption = (float(text.get_fontsize()) for text in page.marginal)
    return title > 1.3 * least and min(caption) >= 0.9 * least and stamp >= 0.6 * least


@pytest.mark.parametrize("name", PLOTS)
def test_captions_are_short(name: str) -> None:
    assert len(drawn(name).marginal) <= 2 + 3


@pytest.mark.parametrize("name", PLOTS)
def test_lines_differ_in_dash_and_marker(name: str) -> None:
    assert [pair for axes in drawn(name).axes for pair in alike(labelled(axes))] == []


@pytest.mark.parametrize("name", [name for name in PLOTS if name != "saturation-map"])
def test_no_two_entries_of_a_key_look_alike_without_colours(name: str) -> None:
    """Of the map, whose key shows its colours, see below."""
    page = drawn(name)
    inside = [axes.get_legend() for axes in page.axes]
    for legend in [*page.legends, *(legend for legend in inside if legend is not None)]:
        signs = [sign(handle) for handle in legend.legend_handles]
        assert len(set(signs)) == len(signs), signs


@pytest.mark.parametrize(
    ("styles", "count"),
    [
        (["-o", "--s", ":^"], 0),
        (["-o", "-s"], 1),
        (["-o", "--o"], 1),
        (["-", "--"], 1),
        (["o", "s", "-"], 0),
        (["o", "-o"], 1),
    ],
)
def test_lines_that_are_alike_can_be_seen(styles: list[str], count: int) -> None:
    axes = Figure().add_subplot()
    for k, style in enumerate(styles):
        axes.plot([0, 1], [k, k + 1], style, label=str(k))
    axes.plot([0, 1], [0, 0], styles[0])
    assert len(alike(labelled(axes))) == count


def labelled(axes: Axes) -> list[Line2D]:
    """The lines that a key names; not those that are there for the key alone."""
    return [line for line in axes.lines if not str(line.get_label()).startswith("_") and len(line.get_path())]


def alike(lines: list[Line2D]) -> list[tuple[str, str]]:
    """The labels of each pair that has one marker, or one dash."""
    pairs = combinations(lines, 2)
    return [
        (str(a.get_label()), str(b.get_label())) for a, b in pairs if marker(a) == marker(b) or dash(a) == dash(b) != ""
    ]


def sign(handle: Any) -> tuple[object, ...]:
    """All that an entry of a key shows besides its hue; of a patch its hatch and how light it is."""
    if isinstance(handle, Line2D):
        return dash(handle), marker(handle), handle.get_linewidth()
    return handle.get_hatch(), round(sum(handle.get_facecolor()[:3]))


def marker(line: Line2D) -> str:
    return str(line.get_marker())


def dash(line: Any) -> str:
    """How a line is broken, in multiples of its width; nothing of points alone."""
    return "" if line.get_linestyle() in ("None", "none", "") else str(line._unscaled_dash_pattern)


@pytest.mark.parametrize("theme", THEMES)
def test_the_map_can_be_read_in_grey(theme: str) -> None:
    image = find("saturation-map").draw(Look(theme=theme)).axes[0].images[0]
    shades = sorted(float(np.dot(image.cmap(k)[:3], (0.299, 0.587, 0.114))) for k in range(3))
    assert min(np.diff(shades)) > 0.12


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_stands_on_one_zero_and_makes_no_room_for_a_legend(name: str) -> None:
    assert [flaw for axes in drawn(name).axes for flaw in (*afloat(axes), *stretched(axes))] == []


def test_areas_afloat_and_axes_stretched_for_a_legend_can_be_seen() -> None:
    axes = Figure().add_subplot()
    axes.stairs([1, 2], label="area")
    axes.legend()
    axes.set_ylim(0, 2.2)
    assert afloat(axes) == stretched(axes) == []
    axes.stairs([1, 2], baseline=-1)
    axes.set_ylim(-3, 2.2)
    assert (len(afloat(axes)), len(stretched(axes))) == (1, 1)


def afloat(axes: Axes) -> list[str]:
    """Areas that do not begin at the zero of their axis."""
    areas: list[Any] = axes.findobj(StepPatch)
    return [f"an area begins at {area.get_data().baseline}" for area in areas if area.get_data().baseline != 0]


def stretched(axes: Axes) -> list[str]:
    """Axes with a legend of their own that what is drawn does not fill to three quarters."""
    drawn_at = axes.transLimits.transform(axes.transScale.transform(axes.dataLim.get_points()))[:, 1]
    share = float(np.ptp(np.clip(drawn_at, 0, 1)))
    return [f"{share:.2f} of the height is used"] if axes.get_legend() is not None and share < 0.75 else []
