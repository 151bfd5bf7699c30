"""Every format is read back by something else: what it says of itself, its words, its letters, its frames."""

import base64
import hashlib
import inspect
import io
import re
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from fontTools import subset
from fontTools.pens.boundsPen import BoundsPen
from fontTools.ttLib import TTFont
from looks import SPOKEN
from matplotlib.backends import _backend_pdf_ps as embedding
from matplotlib.font_manager import FontProperties, findfont
from PIL import Image

from bncheck import LAYERS
from bncheck.case import Array
from bncheck.cli import run
from bncheck.figures import find
from bncheck.figures.studio import fonts, frames, page
from bncheck.figures.studio.drawing import figure
from bncheck.figures.studio.look import LANGUAGES, PRESETS, THEMES, Look
from bncheck.figures.studio.page import Page
from bncheck.figures.studio.rendering import FORMATS, Edition, Sheet, is_gallery
from bncheck.figures.studio.truetype import truetype
from bncheck.layers import find_layer

SVG = "{http://www.w3.org/2000/svg}"

"""The languages that have a font here."""

CALLED = f"{page.plain(find('graph-sweep').about.title.en)} · batch norm"
"""What the sequence is called that is drawn here."""


@cache
def sweep(lang: str = "en", theme: str = "light") -> list[Page]:
    """Three frames of a sequence."""
    return Sheet("graph-sweep", Look(lang=lang, theme=theme), frames=(1, 4, 9)).pages()


@cache
def stepped() -> str:
    return frames.html(sweep()).decode()


def embedded(pdf: bytes) -> Iterator[TTFont]:
    """The fonts in a PDF."""
    for number in re.findall(rb"/FontFile2 (\d+) 0 R", pdf):
        (packed,) = re.findall(rb"(?s)\n%s 0 obj\n.*?stream\r?\n(.*?)\r?\nendstream" % number, pdf)
        yield TTFont(io.BytesIO(zlib.decompress(packed)))


@pytest.mark.parametrize("lang", SPOKEN)
def test_letters_in_a_pdf_are_truetype(lang: str, tmp_path: Path) -> None:
    drawn = find("standardize").draw(Look(lang=lang))
    pdf = drawn.encoded("pdf")
    assert b"/Type3" not in pdf
    held = list(embedded(pdf))
    assert len(held) == pdf.count(b"/Subtype /CIDFontType2") > 2
    assert [font for font in held if "glyf" not in font or "CFF " in font] == []
    if shutil.which("pdffonts"):
        (tmp_path / "drawn.pdf").write_bytes(pdf)
        done = subprocess.run(["pdffonts", tmp_path / "drawn.pdf"], capture_output=True, text=True, check=True)
        assert [line[37:49] for line in done.stdout.splitlines()[2:]] == ["CID TrueType"] * len(held)
        assert done.stderr == ""
        read = subprocess.run(["pdftotext", tmp_path / "drawn.pdf", "-"], capture_output=True, text=True, check=True)
        assert drawn.heading in read.stdout


@pytest.mark.skipif("zh" not in SPOKEN, reason="no Chinese font")
def test_letters_keep_their_shape_and_width() -> None:
    """Where cubic curves become quadratic; the oracle is the font itself."""
    place: Any = findfont(FontProperties(family=fonts.chinese_family()))
    own = TTFont(place, fontNumber=place.face_index)
    letters = subset.Subsetter()
    letters.populate(text="批归一化，均值与方差 μ2")
    letters.subset(own)
    with truetype():
        as_file: Any = embedding.font_as_file
        written = TTFont(as_file(own))
    assert "glyf" in written
    extents = [extent(own, k) for k in range(len(own.getGlyphOrder()))]
    assert len(set(extents)) > 10
    assert [extent(written, k) for k in range(len(extents))] == [pytest.approx(each, abs=2) for each in extents]


def extent(font: TTFont, glyph: int) -> tuple[float, ...]:
    """A letter's width, and the corners of what is drawn of it, in the font's units."""
    name = font.getGlyphName(glyph)
    pen = BoundsPen(font.getGlyphSet())
    font.getGlyphSet()[name].draw(pen)
    return (font["hmtx"][name][0], *(pen.bounds or ()))


def test_a_sequence_is_one_pdf_with_a_page_for_each_frame() -> None:
    pdf = frames.pdf(sweep())
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 3
    assert f"{CALLED})" in pdf.replace(b"\0", b"").decode("latin-1")
    assert len(pdf) < sum(len(page.encoded("pdf")) for page in sweep())
    assert not re.search(rb"D:20\d\d", pdf)


@pytest.mark.parametrize("dpi", [72, 300])
def test_a_png_has_the_pixels_that_are_asked_for(dpi: int) -> None:
    drawn = find("jacobian").draw(Look("half"))
    with Image.open(io.BytesIO(drawn.encoded("png", dpi=dpi))) as picture:
        assert picture.size == tuple(int(inches * dpi) for inches in PRESETS["half"][:2])
        assert picture.info["Title"] == drawn.heading
        assert picture.info["Description"] == drawn.said
    assert drawn.encoded("svg", dpi=dpi) == drawn.encoded("svg")


@pytest.mark.parametrize("lang", SPOKEN)
@pytest.mark.parametrize("svg_text", [False, True])
def test_an_svg_says_what_is_drawn(lang: str, svg_text: bool) -> None:
    drawn = find("jacobian").draw(Look(lang=lang))
    root = ElementTree.fromstring(drawn.encoded("svg", svg_text=svg_text))
    title, description = root[:2]
    assert (root.get("role"), title.tag, description.tag) == ("img", f"{SVG}title", f"{SVG}desc")
    assert root.get("aria-labelledby") == title.get("id") != description.get("id") == root.get("aria-describedby")
    assert root.get("{http://www.w3.org/XML/1998/namespace}lang") == lang
    assert (title.text, description.text) == (drawn.heading, drawn.said)
    assert page.plain(drawn.look.say(*drawn.about.reading)) in drawn.said
    words = {"".join(text.itertext()) for text in root.iter(f"{SVG}text")}
    assert words == set() or svg_text
    assert (drawn.heading in words) == svg_text
    outlines = [path for path in root.iter(f"{SVG}path") if path.get("id")]
    assert svg_text or len(outlines) > 20


def test_two_drawings_can_stand_in_one_document() -> None:
    ids = [re.findall(r'(?:title|desc) id="([^"]*)"', page.encoded("svg").decode()) for page in sweep()]
    assert len({name for pair in ids for name in pair}) == 6


def test_a_gif_shows_every_frame_for_two_seconds() -> None:
    with Image.open(io.BytesIO(frames.gif(sweep(), 100))) as moving:
        assert moving.info["loop"] == 0
        assert sweep()[0].said in moving.info["comment"].decode()
        shown = []
        for k in range(3):
            moving.seek(k)
            assert moving.info["duration"] == 2000
            shown.append(np.asarray(moving.convert("RGB"), dtype=float))
        with pytest.raises(EOFError):
            moving.seek(3)
    for k, drawn in enumerate(sweep()):
        apart = [np.abs(picture - pixels(drawn)).mean() for picture in shown]
        assert np.argmin(apart) == k
        assert apart[k] < 0.5
        assert sorted(apart)[1] > 1


def pixels(drawn: Page) -> Array:
    with Image.open(io.BytesIO(drawn.encoded("png", dpi=100))) as picture:
        return np.asarray(picture.convert("RGB"), dtype=float)


def test_a_gif_has_no_dots_in_the_place_of_a_colour() -> None:
    """Its paper is one colour, and that of the theme."""
    dark = sweep(theme="dark")
    with Image.open(io.BytesIO(frames.gif(dark, 100))) as moving:
        corner = np.asarray(moving.convert("RGB"))[:8].reshape(-1, 3)
    assert {f"#{bytes(colour).hex()}" for colour in corner.tolist()} == {dark[0].look.colour("paper")}


def test_a_page_asks_nothing_of_any_network_and_runs_its_own_script_alone() -> None:
    assert re.findall(r"https?://|src=|url\((?!#)|@import", stepped()) == []
    (script,) = re.findall(r"(?s)<script>(.*?)</script>", stepped())
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', stepped())
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert f"<title>{CALLED}</title>" in stepped()


def test_a_page_holds_every_frame_and_what_they_share_once() -> None:
    """With what they refer to put back in, frames have the outlines and places of the drawings."""
    (stock,) = re.findall(r"(?s)<defs>(.*?)</defs>", stepped())
    shared = {part.attrib["id"]: part for part in ElementTree.fromstring(f"<defs>{stock}</defs>")}
    sections = re.findall(r"<section[^>]*>(.*?)</section>", stepped())
    assert len(sections) == 3
    for section, drawn in zip(sections, sweep(), strict=True):
        svg = drawn.encoded("svg")
        assert outlines(ElementTree.fromstring(section), shared) == outlines(ElementTree.fromstring(svg), {})
    assert len(stepped()) < 0.75 * sum(len(drawn.encoded("svg")) for drawn in sweep())
    names = re.findall(r' id="([^"]*)"', stepped())
    assert len(names) == len(set(names))
    assert set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', stepped())) <= {
        pair for name in names for pair in ((name, ""), ("", name))
    }


def outlines(drawing: ElementTree.Element, shared: dict[str, ElementTree.Element]) -> list[tuple[str, ...]]:
    """What is drawn, in order: lines with their looks, letters with their places."""
    found: list[tuple[str, ...]] = []
    for part in drawing:
        name = (part.get("href") or part.get("{http://www.w3.org/1999/xlink}href") or "").removeprefix("#")
        tag = part.tag.removeprefix(SVG)
        if name in shared and shared[name].tag == "g":
            part, tag = shared[name], "g"
        if tag == "g":
            found += [(part.get("style", ""), part.get("transform", "")), *outlines(part, shared)]
        elif tag in ("path", "use"):
            look = (part.get("style", ""), part.get("transform", ""), part.get("x", ""), part.get("y", ""))
            found.append((" ".join(part.get("d", "").split()), name, *look))
    return found


def test_a_page_is_stepped_through_by_keys_buttons_and_fingers(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "sweep.html").write_text(stepped(), encoding="utf-8")
    complaints: list[str] = []
    shown = browser.new_context(has_touch=True).new_page()
    shown.on("console", lambda message: complaints.append(message.text))
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.goto(f"{(tmp_path / 'sweep.html').as_uri()}#2")
    place = "[document.querySelector('output').textContent, frames.findIndex(frame => frame.offsetHeight > 0) + 1]"
    assert shown.evaluate(place) == ["2 / 3", 2]
    for key, expected in {"ArrowRight": 3, "PageDown": 3, "Home": 1, "ArrowLeft": 1, " ": 2, "End": 3}.items():
        shown.keyboard.press(key)
        assert shown.evaluate(place) == [f"{expected} / 3", expected], key
    shown.get_by_role("button", name="Back").click()
    assert shown.evaluate(place) == ["2 / 3", 2]
    assert shown.evaluate("location.hash") == "#2"
    swipe = """across => ["touchstart", "touchend"].forEach((kind, k) => {
        const touch = new Touch({identifier: 1, target: document.body, clientX: 200 + k * across, clientY: 9});
        document.body.dispatchEvent(new TouchEvent(kind, {touches: k ? [] : [touch], changedTouches: [touch],
                                                          bubbles: true}));
    })"""
    for across, expected in ((-20, 2), (-90, 3), (90, 2)):
        shown.evaluate(swipe, across)
        assert shown.evaluate(place) == [f"{expected} / 3", expected], across
    shown.context.close()
    assert complaints == []


def test_no_two_drawings_have_one_name() -> None:
    looks = [Look(preset, theme, lang) for preset in PRESETS for theme in THEMES for lang in LANGUAGES]
    layers = [None, *(layer for layer in LAYERS.values() if layer.is_plain)]
    drawn = [Sheet("graph-sweep", look, seed, layer, (1, 2)) for look in looks for seed in (0, 3) for layer in layers]
    names = [edition.name(stem, form) for sheet in drawn for stem in sheet.stems for edition, form in EDITIONS]
    assert len(names) == len(set(names)) == 20 * 2 * len(layers) * 2 * len(EDITIONS)
    assert Sheet("accuracy-offset", against=("torch",)).stem == "accuracy-offset-torch"
    assert Sheet("training-depth", results=Path("runs/mine.json")).stem == "training-depth-mine"


EDITIONS = [(Edition(("png",)), "png"), (Edition(("png",), dpi=300), "png"), (Edition(), "svg"),
            (Edition(("svg",), svg_text=True), "svg")]  # fmt: skip


def test_a_layer_of_ones_own_is_told_from_one_of_that_name(tmp_path: Path) -> None:
    mine = tmp_path / "my_file.py"
    mine.write_text("def batch_norm(x, eps, *, mean, sqrt):\n    return {'y': x / sqrt(mean(x * x) + eps)}\n")
    own = find_layer(f"{mine}:batch_norm")
    assert Sheet("graph-values", layer=own).stem == "graph-values-my-file-batch-norm"


def test_every_format_is_written_under_its_name() -> None:
    sheet = Sheet("graph-sweep", Look(theme="dark"), frames=(2, 11))
    names = [name for name, _ in sheet.encoded(Edition(FORMATS, dpi=60, svg_text=True))]
    assert [name for name in names if name.endswith(("svg", "png"))] == [
        "graph-sweep-dark-02-text.svg",
        "graph-sweep-dark-11-text.svg",
        "graph-sweep-dark-02-60dpi.png",
        "graph-sweep-dark-11-60dpi.png",
    ]
    whole = {"graph-sweep-dark.pdf", "graph-sweep-dark-60dpi.gif", "graph-sweep-dark-text.html"}
    assert {name for name in names if name.endswith(("pdf", "gif", "html"))} == whole
    assert [name for name, _ in Sheet("jacobian").encoded(Edition(("gif", "png", "gv")))] == ["jacobian.png"]


def test_figures_go_to_a_folder_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["figures", "standardize"]) == 0
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.svg")] == ["bncheck-figures/standardize.svg"]


def test_a_gallery_is_not_drawn_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = Path(__file__).parents[1] / "figures"
    assert is_gallery(kept)
    (tmp_path / "README.md").write_bytes((kept / "README.md").read_bytes())
    assert run(["figures", "standardize", "--out", str(tmp_path)]) == 2
    assert "expected a folder that is not a gallery's" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_a_gallery_takes_no_readme_s_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text("# Mine\n")
    assert run(["figures", "--gallery", "--out", str(tmp_path)]) == 2
    assert "expected a folder without a README.md that is not a gallery's" in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == "# Mine\n"


def test_a_look_may_be_given_by_its_parts() -> None:
    def draw(look: Look = Look(), seed: int = 0, *, frame: int = 1) -> Any:
        return look, seed, frame

    drawn: Any = figure(draw)
    assert drawn(theme="dark", preset="half", lang="zh") == (Look("half", "dark", "zh"), 0, 1)
    assert drawn(Look("a4", lang="zh"), 3, theme="dark", frame=2) == (Look("a4", "dark", "zh"), 3, 2)
    assert [*inspect.signature(drawn).parameters] == ["look", "seed", "frame", "preset", "theme", "lang"]
    with pytest.raises(TypeError, match="colour"):
        drawn(colour="red")
