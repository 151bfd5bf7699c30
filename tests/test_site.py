"""The site builds without a warning, leads nowhere that is not there, needs no network, and all can read it."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urldefrag

import pytest

import bncheck
from bncheck.bugs.catalogue import BUGS

GRAVE = ("critical", "serious")
ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def made() -> Iterator[ModuleType]:
    """What makes pages from the catalogue."""
    yield from _extension("made")


@pytest.fixture(scope="module")
def docstrings() -> Iterator[ModuleType]:
    """What makes fields of docstrings."""
    pytest.importorskip("sphinx")
    yield from _extension("docstrings")


def _extension(name: str) -> Iterator[ModuleType]:
    sys.path.insert(0, str(DOCS / "_ext"))
    yield __import__(name)
    sys.path.remove(str(DOCS / "_ext"))


def test_docstrings_become_fields_and_names_links(docstrings: ModuleType) -> None:
    told = """A line on `verdict`, `Case.x` and `nothing`.

    Shapes
        x: any,
        or more

    Raises
        InvalidInput: bad, and
            more of it.
        LookupError: none.

    >>> `1`
    """
    lines = docstrings.translated([line.removeprefix("    ") for line in told.splitlines()], "bncheck.Check")
    assert [line for line in lines if line.strip()] == [
        "A line on :py:obj:`verdict <bncheck.Check.verdict>`, :py:obj:`Case.x <bncheck.Case.x>` and ``nothing``.",
        ":Shapes: x: any,",
        "    or more",
        ":raises InvalidInput: bad, and",
        "    more of it.",
        ":raises LookupError: none.",
        ">>> `1`",
    ]


def test_every_planted_bug_has_its_row_in_the_benchmarks(made: ModuleType) -> None:
    caught = made.measured((DOCS / "benchmarks.md").read_text(encoding="utf-8"))
    assert set(caught) == {name for name, bug in BUGS.items() if bug.planted}
    assert caught["zero"] == ("100", "54.5", "100")
    assert caught["mean-path-missing"] == ("100", "93.5", "100")  # in a row with two others


def test_every_bug_has_its_page_in_a_family(made: ModuleType) -> None:
    pages = made.bugs()
    assert set(pages) == {f"bugs/{name}.md" for name in (*BUGS, "index")}
    families = [title for title, _, _ in made.families()]
    assert set(families) <= {title for title, _ in made.FAMILIES.values()}, "say where the bugs of the new family are"
    page = pages["bugs/mean-path-missing.md"]
    for words in (
        BUGS["mean-path-missing"].wrong,
        BUGS["mean-path-missing"].hides,
        "+ dμ/m",
        "`batch_norm`",
        "| 93.5 |",
    ):
        assert words in page
    assert "`rms_norm`" not in page  # which has no mean


def test_every_figure_of_the_gallery_hangs_in_the_lecture(made: ModuleType) -> None:
    page = made.gallery()["gallery.md"]
    kept = (DOCS.parent / "figures" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\.\./figures/(.*\.svg)", page) == re.findall(r"\((.*\.svg)\)", kept)
    assert page.count("```sh\npython -m bncheck figures") == kept.count("` · `from bncheck.figures import ") > 40


class Page(HTMLParser):
    """What a page leads to, what it loads, and where it can be entered."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attributes}
        self.anchors |= {named[name] for name in ("id", "name") if name in named}
        if tag == "a" and "href" in named:
            self.links.append(named["href"])
        elif tag == "link" and named.get("rel") not in ("canonical", "index", "search", "next", "prev", "author"):
            self.loads.append(named["href"])
        elif tag in ("script", "img", "iframe", "source", "video") and "src" in named:
            self.loads.append(named["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as CI builds it."""
    for package in ("furo", "myst_parser", "sphinx_copybutton", "matplotlib"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [ROOT / ".ci" / "docs", folder], capture_output=True, check=False, encoding="utf-8", env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.mark.slow
def test_the_site_leads_nowhere_that_is_not_there_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = {path.relative_to(site).as_posix(): Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert {"index.html", "gallery.html", "explorer.html", "reference/python.html", "bugs/zero.html"} <= set(pages)
    assert {f"bncheck.{name}" for name in bncheck.__all__} <= pages["reference/python.html"].anchors
    broken = [
        f"{name}: {link}"
        for name, page in pages.items()
        for link in (*page.links, *page.loads)
        if not re.match(r"https://|mailto:|data:", link) and not _there(site, name, link, pages)
    ]
    assert broken == []
    elsewhere = [f"{n}: {each}" for n, page in pages.items() for each in page.loads if re.match(r"(?!data:)\w+:", each)]
    assert elsewhere == []
    for sheet in site.rglob("*.css"):
        assert re.findall(r"url\([\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")) == [], sheet


def _there(site: Path, page: str, link: str, pages: dict[str, Page]) -> bool:
    place, anchor = urldefrag(link.partition("?")[0] if "#" not in link else link)
    path = (site / page).parent / unquote(place) if place else site / page
    path = path.resolve()
    if not path.exists():
        return False
    target = pages.get(path.relative_to(site.resolve()).as_posix())
    return target is None or unquote(anchor) in target.anchors or page.startswith("explore-")


@pytest.mark.slow
@pytest.mark.parametrize("page", ["index", "reference/python", "bugs/mean-path-missing", "gallery"])
def test_all_can_read_it(page: str, site: Path, browser: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    quiet = functools.partial(_Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for scheme, width in (("light", 1280), ("dark", 390)):
            shown = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            asked: list[str] = []
            shown.on("request", lambda request, asked=asked: asked.append(request.url))
            shown.goto(f"http://127.0.0.1:{server.server_port}/{page}.html")
            assert shown.evaluate("document.documentElement.scrollWidth") <= width
            violations = axe.Axe().run(shown).response["violations"]
            grave = [f"{v['id']}: {v['nodes'][0]['html']}" for v in violations if v["impact"] in GRAVE]
            assert grave == []
            assert [url for url in asked if not url.startswith(("http://127.0.0.1", "data:"))] == []
            shown.close()
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002  # so it is called there
        pass
