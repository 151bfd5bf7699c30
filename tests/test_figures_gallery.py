"""The gallery that is kept is the one that would be made now; every figure hangs in it, and its commands run."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bncheck.case import Array
from bncheck.cli import run
from bncheck.figures import find, names
from bncheck.figures.studio import contact, gallery
from bncheck.figures.studio.rendering import Sheet

FOLDER = Path(__file__).parents[1] / "figures"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
SAMPLE = ("normal-curve", "jacobian", "vacuity", "graph-values", "graph-sweep")
ANEW = "python -m bncheck figures --gallery"

STEMS = [stem for sheet in gallery.sheets() for stem in sheet.stems]

STALE = f"figures/ shows what is no longer drawn; run: {ANEW}"


def words(svg: str) -> list[tuple[str, ...]]:
    """Every text on a drawing, with its numbers."""
    return re.findall(r"<!-- (.*?) -->|<title[^>]*>(.*?)</title>|<desc[^>]*>(.*?)</desc>", svg)


def maker(svg: str) -> str:
    """Which versions of bncheck and matplotlib have drawn it."""
    found = re.search(r"<dc:title>(bncheck [^<]*)<", svg)
    assert found
    return found[1]


def drawing(svg: str) -> tuple[list[str], Array]:
    """What is drawn, and where; not the names of clips, which change with the last digit of a number."""
    svg = re.sub(r"base64,\s*([^\"]*)", lambda found: f"pixels {pixels(found[1])}", svg)
    svg = re.sub(r"\b[a-z][0-9a-f]{10}\b", "name", svg)
    number = r"-?\d+\.\d+(?:e-?\d+)?|-?\d+"
    return re.split(number, svg), np.array([float(found) for found in re.findall(number, svg)])


def pixels(encoded: str) -> str:
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        return base64.b16encode(image.tobytes()).decode()


def same(kept: str, drawn: str) -> bool:
    """Whether two drawings say and show the same; another matplotlib may set the same words elsewhere."""
    if words(kept) != words(drawn) or maker(kept) != maker(drawn):
        return words(kept) == words(drawn)
    (shapes, places), (new_shapes, new_places) = drawing(kept), drawing(drawn)
    return shapes == new_shapes and bool(np.allclose(places, new_places, rtol=0, atol=0.01))


def is_current(sheet: Sheet) -> bool:
    kept = ((FOLDER / f"{stem}.svg").read_text(encoding="utf-8") for stem in sheet.stems)
    return all(same(svg, page.encoded("svg").decode()) for svg, page in zip(kept, sheet.pages(), strict=True))


def test_the_page_is_current() -> None:
    assert gallery.page() == README, STALE


@pytest.mark.parametrize("sheet", [s for s in gallery.sheets() if s.stem in SAMPLE], ids=lambda sheet: sheet.stem)
def test_drawings_are_current(sheet: Sheet) -> None:
    assert is_current(sheet), STALE


@pytest.mark.slow
@pytest.mark.parametrize("sheet", [*gallery.sheets()], ids=lambda sheet: sheet.stem)
def test_every_drawing_is_current(sheet: Sheet) -> None:
    assert is_current(sheet), STALE


@pytest.mark.parametrize(
    ("old", "new"),
    [("<!-- −0.76 -->", "<!-- −0.77 -->"), ("#f1f3f5", "#f1f3f6"), ("M 2", "M 3"), ("M 2", "L 2")],
)
def test_a_stale_drawing_is_seen(old: str, new: str) -> None:
    kept = (FOLDER / "graph-values.svg").read_text(encoding="utf-8")
    assert old in kept
    assert same(kept, kept)
    assert not same(kept.replace(old, new, 1), kept)


def test_a_stale_picture_is_seen() -> None:
    kept, other = ((FOLDER / f"{name}.svg").read_text(encoding="utf-8") for name in ("jacobian", "saturation-map"))
    taken, given = (re.findall(r"base64,[^\"]*", svg)[0] for svg in (kept, other))
    assert not same(kept.replace(taken, given), kept)


def test_another_matplotlib_is_held_to_the_words_alone() -> None:
    kept = (FOLDER / "graph-values.svg").read_text(encoding="utf-8")
    elsewhere = kept.replace("M 2", "M 3").replace("matplotlib ", "matplotlib 0.")
    assert same(elsewhere, kept)
    assert not same(elsewhere.replace("<!-- −0.76 -->", "<!-- −0.77 -->"), kept)


def test_every_figure_hangs_once_and_nothing_else() -> None:
    shown = [shown for chapter in gallery.LECTURE for shown in chapter.shown]
    assert sorted(one.figure for one in shown) == sorted(names())
    for one in shown:
        assert bool(one.frames) == (find(one.figure).frames is not None)
    known = "|".join(names())
    assert [path.name for path in FOLDER.glob("*.svg") if not re.fullmatch(rf"({known})(-\d\d)?", path.stem)] == []


def test_the_page_shows_every_drawing_and_runs_every_call() -> None:
    assert re.findall(r"\]\(([^)]*)\.svg\)", README) == STEMS
    asked = re.findall(r"`python -m bncheck figures ([a-z-]+)` · `from bncheck.figures import (\w+); (.*)`", README)
    assert [name for name, _, _ in asked] == [shown.figure for chapter in gallery.LECTURE for shown in chapter.shown]
    for name, module, call in asked:
        assert module == name.replace("-", "_")
        assert re.fullmatch(rf"{module}\.draw\((frame=1)?\)", call)
        assert ("frame" in call) == (find(name).frames is not None)


def test_the_gallery_is_small_and_names_no_machine() -> None:
    files = [FOLDER / "README.md", FOLDER / gallery.CONTACT, *(FOLDER / f"{stem}.svg" for stem in STEMS)]
    assert sum(path.stat().st_size for path in files) < 5_000_000
    for path in files:
        assert not re.search(rb"/(home|tmp|opt|work|Users)/", path.read_bytes()), path.name


def test_the_page_leads_to_every_chapter() -> None:
    headings = re.findall(r"^## (.*)$", README, re.MULTILINE)
    led = re.findall(r"\[([^]]*)\]\(#([^)]*)\)", README)
    assert [title for title, _ in led] == headings[:-1]
    for title, place in led:
        assert re.sub(r"\W+", "-", title.lower()).strip("-") == place


def test_the_command_hangs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = gallery.Chapter("One", (gallery.Shown("jacobian", "A matrix."), gallery.Shown("graph-fold", "A fold.", (2,))))
    monkeypatch.setattr(gallery, "LECTURE", (few,))
    assert run(["figures", "--gallery", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"5 files in {tmp_path}\n"
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {"README.md", "contact-sheet.png", "explore-batch-norm.html", "jacobian.svg", "graph-fold-02.svg"}
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == gallery.page()
    assert same(*((folder / "jacobian.svg").read_text(encoding="utf-8") for folder in (FOLDER, tmp_path)))


def test_the_contact_sheet_shows_every_drawing_in_its_place() -> None:
    """Those of a sample, which differ from one another; the sheet has a palette, and so shades of its own."""
    with Image.open(FOLDER / gallery.CONTACT) as kept:
        sheet = np.asarray(kept.convert("RGB"), dtype=float)
    assert (FOLDER / gallery.CONTACT).stat().st_size < 700_000
    names = [name for name, _ in gallery.tiles([b""] * len(STEMS))]
    drawn = {name: shown(name) for name in ("jacobian", "vacuity", "graph-values")}
    for name in drawn:
        x, y = contact.corner(names.index(name))
        place = sheet[y : y + contact.HEIGHT, x : x + contact.WIDTH]
        apart = {other: np.abs(place - drawn[other]).mean() for other in drawn}
        assert min(apart, key=lambda other: apart[other]) == name, STALE
        assert apart[name] < 4, STALE


def shown(name: str) -> Array:
    with Image.open(io.BytesIO(contact.thumbnail(find(name).draw()))) as picture:
        return np.asarray(picture, dtype=float)
